# SPDX-License-Identifier: Apache-2.0
"""``sigbox bundle``: inspect, create, upgrade."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from client.rekor import prove_entry
from client.transport import Response
from sigcore import dsse, keys, x509
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import Malformed, Refused
from sigcore.legacy_bundle import VERSION_01, parse_legacy_bundle
from sigcore.log_entry import encode_log_entry
from sigcore.strict import encode_base64
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minilog import answer_v1
from tests.unit.client.minisig import ARTIFACT, ATTESTATIONS, EMAIL, ISSUER

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
KEY = keys.generate_p256()
VERSION_02 = "application/vnd.dev.sigstore.bundle+json;version=0.2"


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("root.json").write_bytes(encode_trusted_root(sigstore.root))
    Path("file").write_bytes(ARTIFACT)
    return tmp_path


def verifies(bundle: str, *who: str, command: str = "verify-blob") -> bool:
    return main([command, "file", "--bundle", bundle, *(who or WHO), "--trusted-root", "root.json"]) == 0


def legacy(bundle, signature: bytes | None = None) -> dict:
    """As cosign wrote it before the Sigstore bundle."""
    (entry,) = bundle.log_entries
    pem = (
        x509.encode_certificate_pem(bundle.certificate)
        if bundle.certificate
        else keys.encode_public_key_pem(KEY.public_key())
    )
    payload = {
        "body": encode_base64(entry.body),
        "integratedTime": entry.integrated_time,
        "logIndex": entry.index,
        "logID": entry.log_id.hex(),
    }
    return {
        "base64Signature": encode_base64(signature or bundle.signature),
        "cert": encode_base64(pem.encode()),
        "rekorBundle": {"SignedEntryTimestamp": encode_base64(entry.promise), "Payload": payload},
    }


# --- inspect -----------------------------------------------------------------------------------------
def inspected(capsys, bundle) -> dict:
    Path("b").write_bytes(encode_bundle(bundle))
    capsys.readouterr()
    assert main(["bundle", "inspect", "b"]) == 0
    assert capsys.readouterr().out.isascii()
    assert main(["bundle", "inspect", "b", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_part_is_shown(folder, sigstore, capsys):
    bundle = sigstore.sign(scts=2)
    parts = inspected(capsys, bundle)
    assert parts["content"]["digest"]["hex"] == bundle.content.digest.hex()
    assert parts["certificate"]["subjectAlternativeName"] == {"kind": "Email", "value": EMAIL}
    assert parts["certificate"]["fulcio"] == {"issuer": ISSUER}
    assert [one["time"] for one in parts["certificate"]["scts"]] == [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.001000Z",
    ]
    assert {one["name"] for one in parts["certificate"]["extensions"]} >= {"subjectAltName", "keyUsage"}
    (entry,) = parts["logEntries"]
    assert entry["body"]["kind"] == "hashedrekord"
    assert entry["proof"]["checkpoint"]["origin"] == "sig.example"
    assert parts["timestamps"][0]["time"] == "2026-03-01T12:00:00Z"


@pytest.mark.parametrize("kind", ATTESTATIONS)
def test_a_statement_is_shown(folder, sigstore, capsys, kind):
    parts = inspected(capsys, sigstore.attest(kind))
    assert parts["content"]["payload"]["predicateType"] == "https://example.com/p/v1"
    assert parts["logEntries"][0]["kind"] == kind


def test_what_cannot_be_read_says_so_in_its_place(folder, sigstore, capsys):
    good = sigstore.sign()
    entry = replace(good.log_entries[0], body=b"\xff", proof=replace(good.log_entries[0].proof, checkpoint="none"))
    parts = inspected(capsys, replace(good, certificate=b"\x30\x00", timestamps=(b"x",), log_entries=(entry,)))
    assert "cannot be read" in parts["certificate"]
    assert "cannot be read" in parts["timestamps"][0]
    assert "cannot be read" in parts["logEntries"][0]["body"]
    assert "cannot be read" in parts["logEntries"][0]["proof"]["checkpoint"]


def test_v12_a_hostile_bundle_ends_with_a_message(folder, sigstore, capsys):
    """Every cut and many changed bytes: no traceback, no internal error, whatever the code."""
    data = encode_bundle(sigstore.sign(scts=1))
    for position in range(0, len(data), 37):
        for changed in (
            data[:position],
            data[:position] + b"\x00" + data[position + 1 :],
            data[:position] + b"A" + data[position + 1 :],
        ):
            Path("b").write_bytes(changed)
            assert main(["bundle", "inspect", "b"]) in (0, 2, 3)
            assert "internal error" not in capsys.readouterr().err


def test_text_of_a_stranger_moves_no_cursor(folder, sigstore, capsys):
    bundle = sigstore.attest("dsse 0.0.2", json.dumps({"\x1b[2J": "\x1b[31m"}).encode())
    Path("b").write_bytes(encode_bundle(bundle))
    assert main(["bundle", "inspect", "b"]) == 0
    assert "\x1b" not in capsys.readouterr().out


# --- create ------------------------------------------------------------------------------------------
def parts_of(bundle) -> list[str]:
    """The bundle's parts as files, and the options that name them."""
    Path("sig").write_text(encode_base64(bundle.signature))
    given = ["--artifact", "file", "--signature", "sig"]
    for number, entry in enumerate(bundle.log_entries):
        Path(f"entry{number}").write_text(json.dumps(encode_log_entry(entry)))
        given += ["--entry", f"entry{number}"]
    for number, response in enumerate(bundle.timestamps):
        Path(f"time{number}").write_text(json.dumps({"SignedRFC3161Timestamp": encode_base64(response)}))
        given += ["--rfc3161-timestamp", f"time{number}"]
    if bundle.certificate is not None:
        Path("pem").write_text(x509.encode_certificate_pem(bundle.certificate))
        return [*given, "--certificate", "pem"]
    Path("pub").write_text(keys.encode_public_key_pem(KEY.public_key()))
    return [*given, "--key", "pub"]


def test_parts_make_the_bundle_that_they_came_from(folder, sigstore):
    for bundle, who in (
        (sigstore.sign(), WHO),
        (sigstore.sign_v1(), WHO),
        (sigstore.sign_v1(key=KEY), ("--key", "pub")),
    ):
        assert main(["bundle", "create", *parts_of(bundle), "--out", "made"]) == 0
        assert verifies("made", *who)
        made = parse_bundle(Path("made").read_bytes())
        assert replace(made, key_hint=None) == replace(bundle, key_hint=None)


@pytest.mark.parametrize(
    "spell", [lambda der: der, lambda der: encode_base64(x509.encode_certificate_pem(der).encode()).encode()]
)
def test_a_certificate_in_other_spellings(folder, sigstore, spell):
    bundle = sigstore.sign()
    given = parts_of(bundle)
    Path("pem").write_bytes(spell(bundle.certificate))
    Path("sig").write_bytes(bundle.signature)
    Path("time0").write_bytes(bundle.timestamps[0])
    assert main(["bundle", "create", *given, "--out", "made"]) == 0
    assert verifies("made")


def test_an_attestation_of_parts(folder, sigstore):
    bundle = sigstore.attest("dsse 0.0.1")
    given = parts_of(bundle)
    Path("envelope").write_text(dsse.encode_envelope(bundle.content))
    given[given.index("--signature") : given.index("--signature") + 2] = ["--attestation", "envelope"]
    assert main(["bundle", "create", *given, "--out", "made"]) == 0
    assert verifies("made", command="verify-blob-attestation")


def test_parts_that_do_not_belong_together_are_refused(folder, sigstore, capsys):
    given, other = parts_of(sigstore.sign()), sigstore.sign()
    Path("entry0").write_text(json.dumps(encode_log_entry(other.log_entries[0])))
    assert main(["bundle", "create", *given]) == 1
    assert "not about this signature" in capsys.readouterr().err
    given = parts_of(sigstore.sign())
    Path("pem").write_text(x509.encode_certificate_pem(other.certificate))
    assert main(["bundle", "create", *given]) == 1
    assert "does not verify" in capsys.readouterr().err
    Path("file").write_bytes(b"changed")
    assert main(["bundle", "create", *parts_of(other)]) != 0


def test_a_bundle_without_an_entry_must_be_wanted(folder, sigstore, capsys):
    given = parts_of(replace(sigstore.sign(), log_entries=()))
    assert main(["bundle", "create", *given]) == 2
    assert main(["bundle", "create", *given, "--ignore-tlog"]) == 0
    assert not parse_bundle(capsys.readouterr().out.encode()).log_entries
    assert main(["bundle", "create", *given, "--key", "pem"]) == 2
    assert main(["bundle", "create", "--artifact", "file", "--certificate", "pem"]) == 2


# --- legacy and upgrade --------------------------------------------------------------------------------
def test_cosigns_own_bundle_verifies(folder, sigstore):
    Path("old").write_text(json.dumps(legacy(sigstore.sign_v1())))
    assert verifies("old")
    Path("pub").write_text(keys.encode_public_key_pem(KEY.public_key()))
    Path("old").write_text(json.dumps(legacy(sigstore.sign_v1(key=KEY))))
    assert verifies("old", "--key", "pub")
    attested = sigstore.attest("dsse 0.0.1")
    Path("old").write_text(json.dumps(legacy(attested, dsse.encode_envelope(attested.content).encode())))
    assert verifies("old", command="verify-blob-attestation")


def test_cosigns_own_bundle_of_a_key_names_no_key(folder, sigstore, capsys):
    """So cosign 2 writes it; what it was signed with is for the verifier to know, and nobody's identity."""
    Path("pub").write_text(keys.encode_public_key_pem(KEY.public_key()))
    Path("foreign").write_text(keys.encode_public_key_pem(keys.generate_p256().public_key()))
    old = legacy(sigstore.sign_v1(key=KEY))
    del old["cert"]
    Path("old").write_text(json.dumps(old))
    assert verifies("old", "--key", "pub")
    assert not verifies("old", "--key", "foreign")
    assert not verifies("old")
    assert "signed with a bare key" in capsys.readouterr().err


def test_v01_a_foreign_entry_in_cosigns_own_bundle_is_refused(folder, sigstore):
    """CVE-2022-36056: the entry of another signature."""
    mine = legacy(sigstore.sign_v1())
    mine["rekorBundle"] = legacy(sigstore.sign_v1())["rekorBundle"]
    Path("old").write_text(json.dumps(mine))
    assert not verifies("old")


@pytest.mark.parametrize(
    "change",
    [
        {"rekorBundle": None},
        {"more": 1},
        {"cert": "AAAA"},
        {"base64Signature": "!"},
        {
            "rekorBundle": {
                "SignedEntryTimestamp": "AAAA",
                "Payload": {"body": "e30=", "integratedTime": 1, "logIndex": 1, "logID": "00"},
            }
        },
    ],
)
def test_what_is_no_bundle_of_cosign(sigstore, change):
    with pytest.raises(Malformed):
        parse_legacy_bundle(json.dumps(legacy(sigstore.sign_v1()) | change).encode())


@pytest.mark.parametrize("media_type", [VERSION_01, VERSION_02])
def test_older_versions_become_the_newest(folder, sigstore, media_type):
    bundle = replace(sigstore.sign_v1(), media_type=media_type, intermediates=(sigstore.ca.intermediate.der,))
    Path("old").write_bytes(encode_bundle(bundle))
    assert main(["bundle", "upgrade", "old", "--out", "new"]) == 0
    new = json.loads(Path("new").read_bytes())
    assert new["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert "certificate" in new["verificationMaterial"]
    assert verifies("new")
    assert main(["bundle", "upgrade", "new", "--out", "newer"]) == 0
    assert json.loads(Path("newer").read_bytes()) == new


def test_a_promise_alone_is_no_proof(folder, sigstore, capsys):
    Path("old").write_text(json.dumps(legacy(sigstore.sign_v1())))
    assert main(["bundle", "upgrade", "old", "--out", "new"]) == 3
    assert "--rekor-url" in capsys.readouterr().err
    assert not os.path.exists("new")  # noqa: PTH110 - a file that must not be there


class Rekor:
    """A log that answers with one entry."""

    def __init__(self, entry) -> None:
        self.entry, self.urls = entry, []

    async def request(self, method, url, **_given) -> Response:
        self.urls.append((method, url))
        return Response(200, json.dumps(answer_v1(self.entry)).encode())

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


def test_the_log_is_asked_for_the_proof(folder, sigstore, monkeypatch):
    bundle = sigstore.sign_v1()
    rekor = Rekor(bundle.log_entries[0])
    monkeypatch.setattr("stack.cli.bundle.AiohttpTransport", lambda **_: rekor)
    Path("old").write_text(json.dumps(legacy(bundle)))
    assert main(["bundle", "upgrade", "old", "--rekor-url", "http://rekor.example/", "--out", "new"]) == 0
    assert rekor.urls == [("GET", f"http://rekor.example/api/v1/log/entries?logIndex={bundle.log_entries[0].index}")]
    assert verifies("new")


async def test_another_entry_or_a_wrong_proof_is_not_taken(sigstore):
    entry, other = sigstore.sign_v1().log_entries[0], sigstore.sign_v1().log_entries[0]
    promised = replace(entry, proof=None)
    with pytest.raises(Refused, match="another entry"):
        await prove_entry(Rekor(other), "http://x", promised)
    with pytest.raises(Refused):
        await prove_entry(Rekor(replace(entry, proof=replace(entry.proof, root=bytes(32)))), "http://x", promised)
