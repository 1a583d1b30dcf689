# SPDX-License-Identifier: Apache-2.0
"""``sigbox pypi``: attestations of PEP 740, judged by the one verifier, and by the name of the file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from client.packages.provenance import NEEDED
from client.packages.pypi import PREDICATES, identify, publish_statement
from sigcore import pep740
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import Malformed, Refused
from sigcore.intoto import Statement, Subject, encode_statement, parse_statement
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minisig import EMAIL, ISSUER

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
WHEEL, SOURCE = "demo_app-1.0-py3-none-any.whl", "demo_app-1.0.tar.gz"
CONTENT = b"a distribution\n"
DIGEST = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("root.json").write_bytes(encode_trusted_root(sigstore.root))
    for name in (WHEEL, SOURCE):
        Path(name).write_bytes(CONTENT)
    return tmp_path


@pytest.fixture
def made(sigstore):
    """The bundle of a publish attestation for the wheel."""
    return sigstore.attest("dsse 0.0.1", publish_statement(WHEEL, DIGEST))


def verify(bundle, capsys, file: str = WHEEL, *options: str) -> tuple[int, str]:
    """The exit code, and what is said, of verifying ``file`` by the attestation of ``bundle``."""
    Path("a").write_bytes(pep740.encode_attestation(bundle))
    capsys.readouterr()
    code = main(["pypi", "verify", file, "--attestation", "a", *WHO, "--trusted-root", "root.json", *options])
    return code, capsys.readouterr().err


# --- the form ----------------------------------------------------------------------------------------
def test_an_attestation_is_the_bundle_in_other_words(made):
    data = pep740.encode_attestation(made)
    assert pep740.parse_attestation(data) == made
    document = json.loads(data)
    assert document["version"] == 1
    assert set(document["verification_material"]) == {"certificate", "transparency_entries"}
    assert set(document["envelope"]) == {"statement", "signature"}


def changed(made, path: str, value) -> bytes:
    document = json.loads(pep740.encode_attestation(made))
    *names, last = path.split(".")
    place = document
    for name in names:
        place = place[int(name) if name.isdigit() else name]
    place[last] = value
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "value", "because"),
    [
        ("version", 2, "version is 2, expected 1"),
        ("version", True, "expected an integer"),
        ("more", 1, "unknown member 'more'"),
        ("verification_material.timestamps", [], "unknown member 'timestamps'"),
        ("verification_material.transparency_entries", [], "expected the entry of a transparency log"),
        ("verification_material.transparency_entries.0.inclusionProof", None, "no inclusionProof"),
        (
            "verification_material.transparency_entries.0.inclusionProof.checkpoint",
            None,
            "no inclusionProof with a che",
        ),
        ("verification_material.transparency_entries.0.inclusionPromise", None, "no log entry promises a time"),
        ("verification_material.certificate", "=", "not base64"),
        ("envelope.signatures", [], "unknown member 'signatures'"),
        ("envelope.statement", 7, "expected a string"),
    ],
)
def test_another_form_is_refused_with_its_place(made, path, value, because):
    with pytest.raises(Malformed, match=because):
        pep740.parse_attestation(changed(made, path, value))


def test_what_pep_740_has_no_place_for_is_not_left_out_in_silence(sigstore, made):
    v2 = sigstore.attest("dsse 0.0.2", publish_statement(WHEEL, DIGEST))
    with pytest.raises(Refused, match="no place for timestamps"):
        pep740.encode_attestation(v2)
    with pytest.raises(Refused, match="signature of a file"):
        pep740.encode_attestation(sigstore.sign_v1())
    with pytest.raises(Refused, match="certificates only"):
        pep740.encode_attestation(replace(made, certificate=None, key_hint="k"))
    with pytest.raises(Refused, match=r"older than version 0\.3"):
        pep740.encode_attestation(replace(made, media_type="application/vnd.dev.sigstore.bundle+json;version=0.2"))
    with pytest.raises(Refused, match=r"expected application/vnd\.in-toto"):
        pep740.encode_attestation(replace(made, content=replace(made.content, payload_type="text/plain")))


def test_the_entry_that_promises_a_time_stands_first(sigstore, made):
    other = sigstore.attest("dsse 0.0.2").log_entries
    both = pep740.parse_attestation(pep740.encode_attestation(replace(made, log_entries=(*other, *made.log_entries))))
    assert both.log_entries == (*made.log_entries, *other)


# --- names -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (WHEEL, "Demo.App-1.0-py3-none-any.whl"),
        (SOURCE, "demo-app-1.0.tar.gz"),
        ("a-1.0-1-py3-none-any.whl", "A-1.0-1-py3-none-any.whl"),
        ("a-1!2.0rc1+local.1.tar.gz", "A-1!2.0rc1+local.1.tar.gz"),
    ],
)
def test_spellings_of_one_name(one, other):
    assert identify(one) == identify(other)


def test_other_projects_versions_and_kinds_are_others():
    names = [
        WHEEL,
        SOURCE,
        "demo_app-1.0.zip",
        "demo_app-1.0.1.tar.gz",
        "demo_apq-1.0.tar.gz",
        "demo_app-1.0-1-py3-none-any.whl",
        "demo_app-1.0-cp311-none-any.whl",
    ]
    assert len({identify(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "name", ["", "demo.txt", "demo-1.0.whl", "demo.tar.gz", "-1.0.tar.gz", "demo-x.tar.gz", "a/b-1.zip"]
)
def test_what_is_no_distribution(name):
    with pytest.raises(Malformed, match="no name of a Python distribution"):
        identify(name)


# --- verify ------------------------------------------------------------------------------------------
def test_a_file_and_its_attestation(folder, made, capsys):
    code, said = verify(made, capsys)
    assert code == 0
    assert f"{EMAIL} attested {PREDICATES['publish']}" in said


def test_each_changed_byte_of_the_parts_is_refused(folder, made, capsys):
    for path in ("verification_material.certificate", "envelope.statement", "envelope.signature"):
        parts = json.loads(pep740.encode_attestation(made))
        above, name = path.split(".")
        text = parts[above][name]
        middle = len(text) // 2
        parts[above][name] = f"{text[:middle]}{'A' if text[middle] != 'A' else 'B'}{text[middle + 1 :]}"
        Path("b").write_text(json.dumps(parts))
        assert main(["pypi", "verify", WHEEL, "--attestation", "b", *WHO, "--trusted-root", "root.json"]) == 1, path
    Path(WHEEL).write_bytes(CONTENT + b".")
    code, said = verify(made, capsys)
    assert (code, "REFUSED" in said) == (1, True)


def test_another_signer_is_refused(folder, made, capsys):
    Path("a").write_bytes(pep740.encode_attestation(made))
    who = ("--certificate-identity", "mallory@example.com", "--certificate-oidc-issuer", ISSUER)
    assert main(["pypi", "verify", WHEEL, "--attestation", "a", *who, "--trusted-root", "root.json"]) == 1
    assert f"the signer is '{EMAIL}'" in capsys.readouterr().err


def test_a_file_of_another_name_with_the_same_bytes_is_refused(folder, made, capsys):
    code, said = verify(made, capsys, SOURCE)
    assert code == 1
    assert f"the statement is about '{WHEEL}', expected '{SOURCE}'" in said


def statement(*subjects: Subject, kind: str = PREDICATES["publish"]) -> bytes:
    return encode_statement(Statement(subjects, kind, None))


SHA256 = ("sha256", DIGEST.hex())


@pytest.mark.parametrize(
    ("payload", "because"),
    [
        (statement(Subject(WHEEL, (SHA256,)), Subject(SOURCE, (SHA256,))), "2 subjects"),
        (statement(Subject(WHEEL, (("sha512", hashlib.sha512(CONTENT).hexdigest()),))), "no digest by sha256"),
        (statement(Subject("demo", (SHA256,))), "'demo' is no name of a Python distribution"),
        (statement(Subject(WHEEL, (SHA256,)), kind="https://example.com/other"), "which no index takes"),
    ],
)
def test_a_genuine_statement_that_is_no_attestation_of_pep_740(folder, sigstore, capsys, payload, because):
    code, said = verify(sigstore.attest("dsse 0.0.1", payload), capsys)
    assert code == 1
    assert because in said


def test_the_type_that_is_demanded(folder, made, capsys):
    assert verify(made, capsys, WHEEL, "--type", "publish")[0] == 0
    code, said = verify(made, capsys, WHEEL, "--type", "slsaprovenance1")
    assert code == 1
    assert "expected 'https://slsa.dev/provenance/v1'" in said


def test_without_the_promise_nothing_says_when(folder, made, capsys):
    (entry,) = made.log_entries
    bare = json.loads(pep740.encode_attestation(made))
    bare["verification_material"]["transparency_entries"][0]["inclusionPromise"] = None
    Path("b").write_text(json.dumps(bare))
    assert entry.promise
    assert main(["pypi", "verify", WHEEL, "--attestation", "b", *WHO, "--trusted-root", "root.json"]) == 1
    assert "no log entry promises a time" in capsys.readouterr().err


def test_a_digest_is_no_file(folder, capsys):
    assert main(["pypi", "verify", f"sha256:{DIGEST.hex()}", *WHO, "--trusted-root", "root.json"]) == 2
    assert "the statement must name the file" in capsys.readouterr().err


def test_the_attestation_is_missing(folder, capsys):
    assert main(["pypi", "verify", WHEEL, *WHO, "--trusted-root", "root.json"]) == 2
    said = capsys.readouterr().err
    assert f"{WHEEL}.publish.attestation cannot be read" in said
    assert "sigbox pypi attest" in said


# --- what an index hands out ---------------------------------------------------------------------------
def provenance(*bundles) -> bytes:
    """As the Integrity API answers it: a group for each publisher."""
    rows = [json.loads(pep740.encode_attestation(bundle)) for bundle in bundles]
    groups = [{"publisher": {"kind": "Any"}, "attestations": [row]} for row in rows]
    return json.dumps({"version": 1, "attestation_bundles": groups}).encode()


def judged(data: bytes, *options: str) -> int:
    Path("provenance.json").write_bytes(data)
    words = ("--provenance", "provenance.json", "--trusted-root", "root.json")
    return main(["pypi", "verify", WHEEL, *words, *WHO, *options])


def test_every_attestation_of_a_provenance_must_hold(folder, sigstore, made, capsys):
    slsa = sigstore.attest("dsse 0.0.1", publish_statement(WHEEL, DIGEST, PREDICATES["slsaprovenance1"], {"a": 1}))
    foreign = sigstore.attest("dsse 0.0.1", publish_statement(SOURCE, DIGEST))
    assert judged(provenance(made, slsa), "--json") == 0
    assert [row["verified"] for row in json.loads(capsys.readouterr().out)] == [True, True]
    for bundles in ((made, foreign), (foreign, made)):
        assert judged(provenance(*bundles)) == 1
        assert f"the statement is about '{SOURCE}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("document", "because"),
    [
        ({"version": 1, "attestation_bundles": []}, "has 0 attestations"),
        ({"version": 1, "attestation_bundles": [{"publisher": {}}]}, "has 0 attestations"),
        ({"version": 2, "attestation_bundles": []}, "version is 2, expected 1"),
        ({"version": 1, "attestation_bundles": [], "more": 1}, "unknown member 'more'"),
        ({"version": 1, "attestation_bundles": [{"attestations": [{}] * 33}]}, "33 elements, the limit is 32"),
        ({"version": 1, "attestation_bundles": [{"attestations": [{}] * 17}] * 2}, "has 34 attestations"),
        ({"version": 1, "attestation_bundles": [{"attestations": [{}]}]}, "version is missing"),
    ],
)
def test_what_is_no_provenance(document, because):
    with pytest.raises(Malformed, match=because):
        pep740.parse_provenance(json.dumps(document).encode())


def test_a_provenance_is_instead_of_an_attestation(folder, made, capsys):
    assert judged(provenance(made), "--attestation", "a") == 2
    assert "not beside --attestation" in capsys.readouterr().err


# --- in the place of a bundle, and converted -----------------------------------------------------------
def test_other_commands_read_it_where_they_read_a_bundle(folder, made, capsys):
    Path("a").write_bytes(pep740.encode_attestation(made))
    assert main(["verify-blob-attestation", WHEEL, "--bundle", "a", *WHO, "--trusted-root", "root.json"]) == 0
    assert main(["bundle", "inspect", "a", "--json"]) == 0


def test_converting_there_and_back_changes_no_byte(folder, made, capsys):
    Path("bundle").write_bytes(encode_bundle(made))
    assert main(["pypi", "convert", "bundle", "--out", "attestation"]) == 0
    assert main(["pypi", "convert", "attestation", "--out", "again"]) == 0
    assert Path("again").read_bytes() == Path("bundle").read_bytes()
    assert parse_bundle(Path("again").read_bytes()) == made
    assert main(["pypi", "convert", "attestation"]) == 0
    assert capsys.readouterr().out.strip().encode() == Path("bundle").read_bytes()


def test_converting_says_that_timestamps_are_left_out(folder, sigstore, made, capsys):
    stamped = replace(made, timestamps=(sigstore.timestamp(made.signature),))
    Path("bundle").write_bytes(encode_bundle(stamped))
    assert main(["pypi", "convert", "bundle", "--out", "attestation"]) == 0
    assert "no place for timestamps" in capsys.readouterr().err
    assert pep740.parse_attestation(Path("attestation").read_bytes()) == made


def test_a_bundle_that_cannot_become_one_is_refused_and_nothing_is_written(folder, sigstore, capsys):
    Path("bundle").write_bytes(encode_bundle(sigstore.attest("dsse 0.0.2")))
    assert main(["pypi", "convert", "bundle", "--out", "attestation"]) == 1
    assert "--rekor-version 1" in capsys.readouterr().err
    assert not Path("attestation").exists()


# --- what can be said ------------------------------------------------------------------------------------
def test_outside_of_a_job_the_provenance_must_be_given(folder, monkeypatch, capsys):
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    assert main(["pypi", "attest", WHEEL, "--type", "slsaprovenance1", "--trusted-root", "root.json"]) == 2
    assert "GITHUB_WORKFLOW_REF is not set" in capsys.readouterr().err


# --- statements ----------------------------------------------------------------------------------------
def test_a_predicate_of_null_is_none():
    found = parse_statement(publish_statement(WHEEL, DIGEST))
    assert found.predicate == {}
    assert json.loads(publish_statement(WHEEL, DIGEST))["predicate"] is None
