# SPDX-License-Identifier: Apache-2.0
"""Keys in a KMS: the client asks the program of the key reference, and believes it nothing that it can check."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from sigcore.keys import encode_private_key, generate_p256
from tests import kms_program
from tests.stack_process import RunningStack, sigbox


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kms_program.install(tmp_path / "bin")
    return tmp_path


def run(folder: Path, *arguments: str | Path) -> CompletedProcess[str]:
    return sigbox(*arguments, PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", cwd=folder)


def good(folder: Path, *arguments: str | Path) -> str:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_key_is_made_shown_and_signs_files_and_statements(folder: Path, stack: RunningStack):
    key = f"localfile://{folder / 'held.pem'}"
    good(folder, "generate-key-pair", "--kms", key, "--output-key-prefix", "made")
    assert good(folder, "public-key", "--key", key) == (folder / "made.pub").read_text()
    assert not (folder / "made.key").exists()
    artifact = folder / "release.txt"
    artifact.write_bytes(b"content")
    trust = ("--trust-config", stack.trust_config)
    good(folder, "sign-blob", artifact, "--key", key, *trust)
    root = ("--trusted-root", stack.trusted_root)
    good(folder, "verify-blob", artifact, "--key", "made.pub", *root)
    good(folder, "verify-blob", artifact, "--key", key, *root)

    signed = ("--bundle", "v1.json", "--output-signature", "release.sig", "--rekor-version", "1")
    good(folder, "sign-blob", artifact, "--key", key, *signed, *trust)
    detached = (artifact, "--signature", "release.sig", "--key", key)
    good(folder, "verify-blob", *detached, "--online", "--rekor-url", stack.url, *root)

    (folder / "predicate.json").write_text("{}")
    good(folder, "attest-blob", artifact, "--predicate", "predicate.json", "--key", key, "--bundle", "att.json", *trust)
    good(folder, "verify-blob-attestation", artifact, "--bundle", "att.json", "--key", key, *root)

    good(folder, "generate-key-pair", "--kms", f"localfile://{folder / 'other.pem'}", "--output-key-prefix", "other")
    refused = run(folder, "verify-blob", artifact, "--key", f"localfile://{folder / 'other.pem'}", *root)
    assert refused.returncode == 1, refused.stderr


def test_a_program_that_is_not_there_is_named_with_where_it_was_looked_for(folder: Path):
    done = run(folder, "public-key", "--key", "nowhere://key")
    assert done.returncode == 2
    assert "sigstore-kms-nowhere" in done.stderr
    assert str(folder / "bin") in done.stderr


LIAR = kms_program.SOURCE.replace(
    'return {"signature": b64(key.sign(digest', 'return {"signature": b64(key.sign(digest[::-1]'
)


def test_a_program_that_signs_something_else_is_found_out_before_anything_is_logged(folder: Path, stack: RunningStack):
    kms_program.install(folder / "bin", LIAR, "liar")
    key, trust = f"liar://{folder / 'held.pem'}", ("--trust-config", stack.trust_config)
    good(folder, "generate-key-pair", "--kms", key)
    (folder / "release.txt").write_bytes(b"content")
    done = run(folder, "sign-blob", "release.txt", "--key", key, *trust)
    assert done.returncode == 3
    assert "the signature that sigstore-kms-liar answered does not verify" in done.stderr
    assert not (folder / "release.txt.sigstore.json").exists()
    (folder / "bin" / "sigstore-kms-liar").write_text((folder / "bin" / "sigstore-kms-localfile").read_text())
    good(folder, "sign-blob", "release.txt", "--key", key, *trust)


def test_the_programs_own_reason_is_shown_and_what_is_there_is_not_replaced(folder: Path):
    done = run(folder, "public-key", "--key", f"localfile://{folder / 'absent.pem'}")
    assert done.returncode == 2
    assert "sigstore-kms-localfile said: FileNotFoundError" in done.stderr
    (folder / "cosign.pub").write_text("mine")
    done = run(folder, "generate-key-pair", "--kms", f"localfile://{folder / 'new.pem'}")
    assert done.returncode == 2
    assert (folder / "cosign.pub").read_text() == "mine"
    assert not (folder / "new.pem").exists(), "no key is made whose public half cannot be written"


def test_our_own_program_is_found_beside_our_python(tmp_path: Path):
    (tmp_path / "release.key").write_bytes(encode_private_key(generate_p256()))
    done = sigbox("public-key", "--key", "sigbox://release.key", PATH="/nowhere", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == sigbox("public-key", "--key", "release.key", cwd=tmp_path).stdout
