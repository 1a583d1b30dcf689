# SPDX-License-Identifier: Apache-2.0
"""The inspector against third-party bundles: it accepts and refuses as they must be, and says at which check."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html import unescape
from pathlib import Path

import pytest
from aiohttp import FormData

from sigcore.errors import SigError
from sigcore.trustroot import parse_trusted_root
from sigcore.x509 import encode_certificate_pem
from stack.web.console.inspected import Demand, inspect
from stack.web.console.said import sentence
from tests.unit.client.test_conformance import ACCEPTED, IDENTITY, ISSUER, REFUSED, given, text
from tests.unit.stack.console.conftest import EMPTY_ROOT
from tests.unit.tlog.catalog.conftest import certificate


async def post(console, status: int = 200, headers=None, **fields) -> str:
    form = FormData()
    for name, value in fields.items():
        if isinstance(value, bytes):
            form.add_field(name, io.BytesIO(value), filename="f")
        else:
            form.add_field(name, value)
    async with console.post("/inspect", data=form, headers=headers) as response:
        assert response.status == status, await response.text()
        return unescape(await response.text())


async def test_certificates_and_trusted_roots_are_taken_apart(console):
    pem = encode_certificate_pem(certificate("alice@example.com", 3).der)
    page = await post(console, text=pem)
    assert "alice@example.com" in page
    assert "Every check holds" not in page


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "nothing was put in"),
        ({"text": "hello"}, "neither a Sigstore bundle"),
        ({"text": "{}"}, "neither a Sigstore bundle"),
        ({"text": "{"}, "document"),
        ({"file": b"\x30\x03\x02\x01\x01"}, "response"),
        ({"file": b"{" * (1024 * 1024 + 5)}, "more than"),
        ({"text": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, "certificate"),
        ({"text": "x", "identity": "a" * 5000}, "more than 4096 characters"),
    ],
)
async def test_what_cannot_be_looked_into_is_said(console, fields, said):
    assert said.lower() in (await post(console, 400, **fields)).lower()


async def test_a_form_of_another_site_is_refused_w(console):
    page = await post(console, 403, {"Sec-Fetch-Site": "cross-site"}, text="x")
    assert "another site" in page


async def test_a_part_whose_head_cannot_be_read_is_refused_w01(console):
    body = b'--B\r\nContent-Disposition: form-data; name="file"; filename="\x01x"\r\n\r\n{}\r\n--B--\r\n'
    async with console.post(
        "/inspect", data=body, headers={"Content-Type": "multipart/form-data; boundary=B"}
    ) as response:
        assert response.status == 400
        assert "The body is not a form" in await response.text()


async def test_a_bundle_that_cannot_be_read_is_refused_with_the_reason(console):
    media = "application/vnd.dev.sigstore.bundle.v0.3+json"
    page = await post(console, text=json.dumps({"mediaType": media}), root=EMPTY_ROOT)
    assert "Refused." in page
    assert "does not hold" in page


# --- the conformance cases ---------------------------------------------------------------------------
def looked_into(case: Path, **changes: str):
    """The case as a reader would put it in who names everything that the case names."""
    digest = hashlib.sha256(given(case, "artifact", case.parent / "a.txt").read_bytes()).hexdigest()
    who = {"identity": text(case, "identity", IDENTITY), "issuer": text(case, "issuer", ISSUER)}
    if (case / "key.pub").exists():
        who = {"key": (case / "key.pub").read_text("latin-1")}
    root = given(case, "trusted_root.json", case.parent.parent / "production_trusted_root.json").read_bytes()
    demand = Demand(**{"digest": digest, **who, **changes})
    return inspect((case / "bundle.sigstore.json").read_bytes(), demand, parse_trusted_root(root))


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_accepted_case_is_accepted_with_every_check(cases, name):
    found = looked_into(cases / name)
    assert found.error is None
    assert found.open == ()
    assert {part.name for part in found.parts} >= {"digest", "key", "entry", "signature"}
    assert found.outline


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_case_is_refused_at_its_last_check(cases, name):
    try:
        found = looked_into(cases / name)
    except SigError:
        return  # it, or its trusted root, cannot even be taken for what it says to be
    assert found.error is not None
    assert [bool(part.refusal) for part in found.parts] == [False] * (len(found.parts) - 1) + [True]


@pytest.mark.parametrize("name", REFUSED)
def test_why_a_case_is_refused_is_said_in_japanese_too(cases, name):
    try:
        error = looked_into(cases / name).error
    except SigError:
        return  # as above
    assert error is not None
    for told in filter(None, (error.message, error.hint)):
        assert re.search(r"[\u3040-\u30ff]", sentence("ja", told)), told


def test_what_is_not_named_is_left_open_and_said(cases):
    found = looked_into(cases / "happy-path-v0.3", digest="", identity="", issuer="")
    assert found.error is None
    assert len(found.open) == 2


@pytest.mark.parametrize("field", ["digest", "identity", "issuer"])
def test_another_demand_is_refused(cases, field):
    other = "00" * 32 if field == "digest" else "https://other.example"
    assert looked_into(cases / "happy-path-v0.3", **{field: other}).error is not None


async def test_timestamps_and_trusted_roots_are_taken_apart(console, cases):
    document = json.loads((cases / "rekor2-happy-path" / "bundle.sigstore.json").read_bytes())
    (stamp,) = document["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    assert "policy" in await post(console, file=base64.b64decode(stamp["signedTimestamp"]))
    root = (cases.parent / "production_trusted_root.json").read_bytes()
    assert "rekor.sigstore.dev" in await post(console, file=root)


async def test_a_bundle_is_verified_against_the_trusted_root_that_was_given(console, cases):
    bundle = (cases / "happy-path-v0.3" / "bundle.sigstore.json").read_bytes()
    root = (cases.parent / "production_trusted_root.json").read_bytes()
    page = await post(console, file=bundle, root=root)
    assert "Every check holds." in page
    assert "Nobody was demanded" in page
    assert "Refused." in await post(console, file=bundle, root=EMPTY_ROOT)
