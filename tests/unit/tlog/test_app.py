# SPDX-License-Identifier: Apache-2.0
"""The logs as processes of their own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sigcore import certify, keys
from tlog.anchor import MemoryAnchor
from tlog.app import make_ct_app, make_rekor_app, make_rekor_v1_app
from tlog.certificate_log import CertificateLogService
from tlog.rekor_v2 import RekorV2
from tlog.signature_log import RekorV1
from tlog.storage.memory import MemoryStore
from tlog.storage.search_index import MemoryIndex

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def make_rekor():
    return make_rekor_app(
        RekorV2(MemoryStore(), MemoryAnchor(), origin="log.example", key=keys.generate_p256(), clock=lambda: NOW)
    )


def make_rekor_v1():
    key = keys.generate_p256()
    return make_rekor_v1_app(
        RekorV1(MemoryStore(), MemoryAnchor(), MemoryIndex(), host="log.example", key=key, clock=lambda: NOW)
    )


def make_ct():
    subject = certify.Subject("root", "ca", NOW, NOW.replace(year=2036))
    root = certify.make_root(keys.generate_p256(), subject)
    return make_ct_app(
        CertificateLogService(
            MemoryStore(),
            MemoryAnchor(),
            origin="ct.example",
            key=keys.generate_p256(),
            roots=(root,),
            clock=lambda: NOW,
        )
    )


@pytest.mark.parametrize(
    ("make", "path"), [(make_rekor, "/checkpoint"), (make_rekor_v1, "/api/v1/log"), (make_ct, "/ct/v1/get-sth")]
)
async def test_a_split_service_is_seeded_and_healthy(aiohttp_client, make, path):
    client = await aiohttp_client(make())
    assert (await client.get(path)).status == 200
    health = await client.get("/healthz")
    assert (health.status, await health.json()) == (200, {"status": "ok", "tree_size": 1})
