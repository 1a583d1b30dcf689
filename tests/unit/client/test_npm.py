# SPDX-License-Identifier: Apache-2.0
"""``sigbox npm``: the name in a tarball, its provenance judged by the one verifier, and the document of a registry."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from client.packages import npm
from client.packages.npm import Package, parse_attestations, provenance_statement, read_package
from client.packages.provenance import NEEDED
from sigcore import limits
from sigcore.bundle import encode_bundle
from sigcore.errors import Malformed
from sigcore.intoto import Statement, Subject, encode_statement
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.unit.client.minisig import EMAIL, ISSUER

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
MANIFEST = b'{"name": "@acme/demo", "version": "1.0.0-rc.1"}'
DEMO = Package("@acme/demo", "1.0.0-rc.1")


def tarball(*files: tuple[str, bytes], **attributes) -> bytes:
    """A gzipped archive, each file with ``attributes``."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for attribute, value in attributes.items():
                setattr(member, attribute, value)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


PACKED = tarball(("package/index.js", b"1"), ("package/package.json", MANIFEST), ("package/lib/package.json", b"{}"))
SHA512 = ("sha512", hashlib.sha512(PACKED).hexdigest())


def read(data: bytes) -> Package:
    return read_package(io.BytesIO(data), what="it")


# --- the name ------------------------------------------------------------------------------------------
def test_name_and_version_are_those_of_the_manifest_at_the_top():
    assert read(PACKED) == DEMO
    assert DEMO.url == "pkg:npm/%40acme/demo@1.0.0-rc.1"
    assert read(tarball(("./any/package.json", b'{"name": "demo", "version": "0.1.0"}'))).url == "pkg:npm/demo@0.1.0"


@pytest.mark.parametrize(
    ("data", "because"),
    [
        (b"", "no gzipped tar archive"),
        (b"text", "no gzipped tar archive"),
        (PACKED[:-20], "no gzipped tar archive"),
        (PACKED[:40], "no gzipped tar archive"),
        (gzip.compress(b"text"), "no gzipped tar archive"),
        (tarball(("package/index.js", b"1")), "0 files package/package.json"),
        (tarball(("package/package.json", MANIFEST), ("other/package.json", MANIFEST)), "has 2 files"),
        (tarball(("package/package.json", b""), type=tarfile.SYMTYPE, linkname="../x"), "no regular file"),
        (tarball(("package/package.json", b" " * (limits.PACKAGE_MANIFEST + 1))), "no regular file of at most"),
        (tarball(("package/package.json", b"{")), "is not JSON"),
        (tarball(("package/package.json", b'{"name": "demo"}')), "version is missing"),
        (tarball(("package/package.json", b'{"name": "a/b", "version": "1.0.0"}')), "no name of a package"),
        (tarball(("package/package.json", b'{"name": "demo@2", "version": "1.0.0"}')), "no name of a package"),
        (tarball(("package/package.json", b'{"name": "demo", "version": "1.0"}')), "expected three numbers"),
        (tarball(("package/package.json", b'{"name": "a", "name": "b", "version": "1.0.0"}')), "duplicate"),
    ],
    ids=lambda value: "archive" if isinstance(value, bytes) else value,  # some have the time in them
)
def test_what_is_no_package(data, because):
    with pytest.raises(Malformed, match=because):
        read(data)


def test_what_unpacks_to_too_much_is_not_unpacked(monkeypatch):
    monkeypatch.setattr(limits, "PACKAGE", 1 << 20)
    with pytest.raises(Malformed, match="unpacks to more than 1048576 bytes"):
        read(tarball(("package/package.json", MANIFEST), ("package/zeros", bytes(2 << 20))))
    assert read(PACKED) == DEMO


# --- verify --------------------------------------------------------------------------------------------
@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("root.json").write_bytes(encode_trusted_root(sigstore.root))
    Path("demo.tgz").write_bytes(PACKED)
    return tmp_path


@pytest.fixture
def made(sigstore):
    return sigstore.attest("dsse 0.0.1", provenance_statement(DEMO, hashlib.sha512(PACKED).digest(), {"a": 1}))


def verify(bundle, *options: str, who=WHO) -> int:
    Path("demo.tgz.sigstore.json").write_bytes(encode_bundle(bundle))
    return main(["npm", "verify", "demo.tgz", *who, "--trusted-root", "root.json", *options])


def test_a_package_and_its_provenance(folder, made, capsys):
    assert verify(made) == 0
    assert f"{EMAIL} attested https://slsa.dev/provenance/v1" in capsys.readouterr().err
    assert verify(made, who=("--certificate-identity", "mallory@example.com", *WHO[2:])) == 1
    Path("demo.tgz").write_bytes(tarball(("package/package.json", MANIFEST), ("package/more.js", b"evil")))
    assert verify(made) == 1
    assert "REFUSED demo.tgz" in capsys.readouterr().err


def statement(*subjects: Subject, kind: str = npm.PROVENANCE) -> bytes:
    return encode_statement(Statement(subjects, kind, {}))


@pytest.mark.parametrize(
    ("payload", "because"),
    [
        (statement(Subject("pkg:npm/%40acme/demo@1.0.0", (SHA512,))), "expected 'pkg:npm/%40acme/demo@1.0.0-rc.1'"),
        (statement(Subject("pkg:npm/@acme/demo@1.0.0-rc.1", (SHA512,))), "the statement is about 'pkg:npm/@acme/demo"),
        (statement(Subject(DEMO.url, (SHA512,)), Subject("other", (SHA512,))), "2 subjects"),
        (statement(Subject(DEMO.url, (("sha256", hashlib.sha256(PACKED).hexdigest()),))), "no digest by sha512"),
        (statement(Subject(DEMO.url, (SHA512,)), kind="https://example.com/other"), "which is no provenance"),
    ],
)
def test_a_genuine_statement_about_something_else(folder, sigstore, capsys, payload, because):
    assert verify(sigstore.attest("dsse 0.0.1", payload)) == 1
    assert because in capsys.readouterr().err


def test_a_digest_is_no_package(folder, capsys):
    who = (*WHO, "--trusted-root", "root.json")
    assert main(["npm", "verify", f"sha256:{'00' * 32}", "--bundle", "b", *who]) == 2
    assert "the statement must name the package" in capsys.readouterr().err


# --- the document of a registry --------------------------------------------------------------------------
PUBLISHED = {"predicateType": "https://github.com/npm/attestation/tree/main/specs/publish/v0.1", "bundle": {"any": 1}}


def document(*rows: dict) -> bytes:
    return json.dumps({"attestations": rows}).encode()


def row(bundle, kind: str = npm.PROVENANCE) -> dict:
    return {"predicateType": kind, "bundle": json.loads(encode_bundle(bundle))}


def judged(data: bytes) -> int:
    Path("document.json").write_bytes(data)
    words = ("--attestations", "document.json", "--trusted-root", "root.json")
    return main(["npm", "verify", "demo.tgz", *words, *WHO])


def test_the_provenance_in_a_document_is_verified_and_the_rest_told_of(folder, made, capsys):
    assert judged(document(PUBLISHED, row(made))) == 0
    assert f"passed over {PUBLISHED['predicateType']}" in capsys.readouterr().err
    Path("demo.tgz").write_bytes(tarball(("package/package.json", MANIFEST)))
    assert judged(document(PUBLISHED, row(made))) == 1


def test_a_document_that_calls_its_bundle_something_else_is_refused(folder, made, capsys):
    assert judged(document(row(made, "https://slsa.dev/provenance/v0.2"))) == 1
    assert "expected 'https://slsa.dev/provenance/v0.2'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [0, 2])
def test_one_provenance_is_expected(folder, made, capsys, number):
    assert judged(document(PUBLISHED, *[row(made)] * number)) == 2
    assert f"holds {number} provenances, expected one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "because"),
    [
        (b"[]", "expected an object"),
        (document(), "has no attestations"),
        (document({"bundle": {}}), "predicateType is missing"),
        (document({"predicateType": npm.PROVENANCE}), "bundle is missing"),
        (document({"predicateType": npm.PROVENANCE, "bundle": {}}), "mediaType is missing"),
    ],
)
def test_what_is_no_document(data, because):
    with pytest.raises(Malformed, match=because):
        parse_attestations(data)


def test_a_document_is_instead_of_a_bundle(folder, made, capsys):
    Path("document.json").write_bytes(document(row(made)))
    words = ("--attestations", "document.json", "--bundle", "b", "--trusted-root", "root.json")
    assert main(["npm", "verify", "demo.tgz", *words, *WHO]) == 2
    assert "not beside --bundle" in capsys.readouterr().err


# --- what can be said -------------------------------------------------------------------------------------
def test_outside_of_a_job_the_provenance_must_be_given(folder, monkeypatch, capsys):
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    assert main(["npm", "attest", "demo.tgz", "--trusted-root", "root.json"]) == 2
    assert "GITHUB_WORKFLOW_REF is not set" in capsys.readouterr().err


def test_the_shim_is_printed(capsys):
    assert main(["npm", "shim"]) == 0
    assert "// SPDX-License-Identifier: Apache-2.0" in capsys.readouterr().out
