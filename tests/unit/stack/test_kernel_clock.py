# SPDX-License-Identifier: Apache-2.0
"""The kernel's word on its clock, and what is refused and warned of by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Unavailable
from sigcore.timestamp import TimestampRequest, encode_request
from stack import bootstrap, kernel_clock
from stack.compose import tsa_part
from stack.config import Home
from stack.doctor.finding import Warned
from stack.doctor.here import Here, time
from stack.kernel_clock import UNSYNCHRONISED, check_synchronised, fault
from stack.trust.documents import save_documents

QUERY = {"Content-Type": "application/timestamp-query"}
REQUEST = encode_request(TimestampRequest(HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_256.digest(b"a signature")))


def says(monkeypatch: pytest.MonkeyPatch, status: int | None) -> None:
    monkeypatch.setattr(kernel_clock, "status", lambda: status)


def test_the_kernel_is_asked_and_answers_without_privileges_or_not_at_all():
    found = kernel_clock.status()
    assert found is None or 0 <= found < 0x10000


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (0, ""),
        (0x2001, ""),
        (UNSYNCHRONISED, "is not synchronised"),
        (0x2041, "is not synchronised"),
        (None, "does not say"),
    ],
)
def test_the_bit_decides_and_silence_is_no_yes(monkeypatch, status, word):
    says(monkeypatch, status)
    assert (word in fault()) if word else fault() == ""
    here = Here(Home(Path("x")), datetime.now(UTC))
    if not word:
        check_synchronised()
        assert "synchronised" in time(here)
        return
    with pytest.raises(Unavailable, match=f"timeNotAvailable: .*{word}"):
        check_synchronised()
    with pytest.raises(Warned, match=word):
        time(here)


@pytest.mark.parametrize("required", [True, False])
async def test_no_timestamp_and_no_readiness_while_the_clock_is_not_synchronised(
    monkeypatch, tmp_path, aiohttp_client, required
):
    home, now, url = Home(tmp_path / "data"), datetime.now(UTC), "http://localhost:7780"
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=now)
    material = bootstrap.load_material(home)
    save_documents(home, material.public, settings)
    settings = replace(settings, require_synchronised_clock=required)
    part = tsa_part(home, settings, (material.tsa_key, material.tsa_chain), partial(datetime.now, UTC))
    app = web.Application()
    app.add_routes(part.routes)
    client = await aiohttp_client(app)
    for status in (UNSYNCHRONISED, 0):
        says(monkeypatch, status)
        refused = required and status == UNSYNCHRONISED
        async with client.post("/api/v1/timestamp", data=REQUEST, headers=QUERY) as answer:
            assert answer.status == (503 if refused else 200)
            if refused:
                assert (await answer.json())["message"].startswith("timeNotAvailable: the kernel says")
        if refused:
            with pytest.raises(Unavailable, match="not synchronised"):
                part.checks["tsa"](datetime.now(UTC))
        else:
            part.checks["tsa"](datetime.now(UTC))
