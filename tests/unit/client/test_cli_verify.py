# SPDX-License-Identifier: Apache-2.0
"""``verify-blob`` and ``verify-blob-attestation`` as they are typed: files, digests, folders, keys, exit codes."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from client.verify.identity import IdentityPolicy, Signer, verify_identity
from sigcore import fulcio, keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import MessageSignature, encode_bundle
from sigcore.errors import Refused
from sigcore.strict import encode_base64
from sigcore.trustroot import encode_trusted_root
from stack.cli import main
from tests.alarm import within
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, body_of, digest_of, statement_about

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
KEY = keys.generate_p256()


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    """A folder with a trusted root, two signed files, an attestation, and a file signed by a bare key."""
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    (tmp_path / "key.pub").write_text(keys.encode_public_key_pem(KEY.public_key()))
    bundles = {
        "dist/a": sigstore.sign(),
        "dist/b": sigstore.sign_v1(),
        "attested": sigstore.attest("dsse 0.0.1"),
        "keyed": sigstore.sign_v1(key=KEY),
    }
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "unsigned").write_bytes(b"nobody signed this")
    for name, bundle in bundles.items():
        (tmp_path / name).write_bytes(ARTIFACT)
        (tmp_path / f"{name}.sigstore.json").write_bytes(encode_bundle(bundle))
    return tmp_path


def run(*arguments: str) -> int:
    return main([*arguments, "--trusted-root", "root.json"])


def test_a_file(folder, capsys):
    assert run("verify-blob", "dist/a", *WHO) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Verified OK dist/a: {EMAIL} signed it at 2026-03-01T12:00:00Z, log entry ")


def test_a_digest_stands_for_a_file(folder):
    digest = f"sha256:{digest_of(ARTIFACT).hex()}"
    bundle = ("--bundle", "dist/b.sigstore.json")
    assert run("verify-blob", digest, *bundle, *WHO) == 0
    assert run("verify-blob", f"sha256:{digest_of(b'other').hex()}", *bundle, *WHO) == 1
    assert run("verify-blob", digest.upper(), *bundle, *WHO) == 2
    assert run("verify-blob", "sha256:00", *bundle, *WHO) == 2
    assert run("verify-blob", f"sha512:{'00' * 64}", *bundle, *WHO) == 1


def test_a_folder_is_its_signed_files(folder, capsys):
    assert run("verify-blob", "dist", *WHO, "--json") == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [(row["file"], row["verified"]) for row in rows] == [("dist/a", True), ("dist/b", True)]
    assert [line[:5] for line in err.splitlines()] == ["[1/2]", "[2/2]"]
    (folder / "dist" / "b").write_bytes(b"changed")
    assert run("verify-blob", "dist", *WHO, "--json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["verified"] for row in rows] == [True, False]
    assert "another artifact" in rows[1]["error"]


def test_a_folder_without_bundles(folder, capsys):
    (folder / "empty").mkdir()
    assert run("verify-blob", "empty", *WHO) == 2
    assert "holds no file with a bundle" in capsys.readouterr().err


def test_an_attestation(folder, sigstore, capsys):
    assert run("verify-blob-attestation", "attested", *WHO) == 0
    assert "attested https://example.com/p/v1 at" in capsys.readouterr().err
    assert run("verify-blob-attestation", "attested", *WHO, "--type", "https://example.com/p/v1") == 0
    assert run("verify-blob-attestation", "attested", *WHO, "--type", "spdx") == 1
    assert "expected 'https://spdx.dev/Document'" in capsys.readouterr().err
    assert run("verify-blob-attestation", "attested", *WHO, "--type", "nonsense") == 2
    assert run("verify-blob", "attested", *WHO) == 1
    assert run("verify-blob-attestation", "dist/a", *WHO) == 1
    (folder / "attested.sigstore.json").write_bytes(
        encode_bundle(sigstore.attest("dsse 0.0.1", statement_about(b"other")))
    )
    assert run("verify-blob-attestation", "attested", *WHO) == 1


def test_a_key(folder, capsys):
    assert run("verify-blob", "keyed", "--key", "key.pub") == 0
    assert "Verified OK keyed: sha256:" in capsys.readouterr().err
    assert run("verify-blob", "keyed", *WHO) == 1
    assert run("verify-blob", "dist/a", "--key", "key.pub") == 1
    (folder / "other.pub").write_text(keys.encode_public_key_pem(keys.generate_p256().public_key()))
    assert run("verify-blob", "keyed", "--key", "other.pub") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dist/a",), "nobody is named who may have signed"),
        (("dist/a", *WHO[:2]), "no issuer is demanded"),
        (("dist/a", *WHO[2:]), "no identity is demanded"),
        (("dist/a", *WHO, "--certificate-identity-regexp", ".*"), "an identity and a pattern are demanded"),
        (("dist/a", *WHO, "--certificate-oidc-issuer-regexp", ".*"), "an issuer and a pattern for it are demanded"),
        (("dist/a", "--certificate-oidc-issuer-regexp", ".*"), "no identity is demanded"),
        (
            ("dist/a", "--key", "key.pub", "--certificate-oidc-issuer-regexp", ".*"),
            "--key and --certificate-* are given",
        ),
        (
            ("dist/a", "--policy", "p", "--certificate-oidc-issuer-regexp", ".*"),
            "--certificate-oidc-issuer-regexp is given",
        ),
        (("dist/a", *WHO, "--key", "key.pub"), "--key and --certificate-* are given"),
        (("dist/a", "dist/b", *WHO, "--bundle", "x"), "one bundle is named for several files"),
        (("sha256:00", *WHO), "is a digest, and no bundle is named"),
        (("dist/none", *WHO), "the artifact dist/none cannot be read"),
        (("dist/a", *WHO, "--bundle", "none"), "the bundle none cannot be read"),
        (("dist/a", "--key", "none.pub"), "the key none.pub cannot be read"),
    ],
)
def test_a_command_line_that_cannot_be_meant_ends_with_2(folder, capsys, arguments, message):
    """V15: nothing that the user asks for is dropped, and nothing is guessed."""
    assert run("verify-blob", *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_nobody_signed_is_refused_as_one_that_somebody_else_did(folder, capsys):
    Path("dist/unsigned").write_bytes(ARTIFACT)
    assert run("verify-blob", "dist/unsigned", *WHO, "--json") == 1
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    assert (row["verified"], row["step"]) == (False, "bundle")
    assert "the bundle dist/unsigned.sigstore.json cannot be read: No such file or directory" in row["error"]
    assert "sigbox sign-blob" in err
    Path("dist/unsigned.sigstore.json").symlink_to("nowhere")
    assert run("verify-blob", "dist/unsigned", *WHO) == 2


def test_v17_a_pattern_matches_the_whole_identity(folder):
    issuer = WHO[2:]
    for pattern, code in ((r"signer@example\.com", 0), (".*@example.com", 0), ("signer", 1), ("igner@example.com", 1)):
        assert run("verify-blob", "dist/a", "--certificate-identity-regexp", pattern, *issuer) == code
    assert run("verify-blob", "dist/a", "--certificate-identity-regexp", "(", *issuer) == 2


@pytest.mark.parametrize("pattern", [r"(a+)+@example\.org", r"([a-z.]+)+@corp\.example", r"(a|aa)*\.?", r"(\w+\.?)*@x"])
@pytest.mark.parametrize("name", ["a" * 4000, "a." * 2000, "a" * 4000 + "@example!org"])
def test_v17_a_name_that_was_chosen_for_a_pattern_keeps_nobody_waiting(pattern, name):
    """``re`` was still at it after a minute."""
    with within(60), pytest.raises(Refused, match="which does not match"):
        verify_identity(Signer(f"{name}\n", "Email", ISSUER), IdentityPolicy(ISSUER, pattern=pattern))


BEYOND = [
    r"(a)\1@example\.org",
    "(?=a).*",
    "(?<!a)b",
    "(?>a*)b",
    "a*+b",
    "[[:alpha:]]+",
    "(?u)a",
    "(x{0,99}){99}",
    "(" * 900,
]


@pytest.mark.parametrize("pattern", BEYOND)
def test_v17_a_pattern_that_needs_more_than_an_automaton_is_a_wrong_command_line(folder, capsys, pattern):
    """RE2, which cosign reads patterns with, refuses them too, or reads them otherwise."""
    assert run("verify-blob", "dist/a", "--certificate-identity-regexp", pattern, *WHO[2:]) == 2
    assert "the identity pattern" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "warnings"),
    [
        (r"signer@example\.com", 0),
        (r".*@example\.com", 0),
        (r"signer@example.com", 1),
        (r"signer@example\.com.*", 1),
        (r"signer@example.com.*$", 2),
        (r"signer@example[.]com", 0),
        (r"signer@example\\.com", 1),
        (r"https://ci\.example/[^/]*", 0),
        (r"https://ci\.example/v[0-9]+", 0),
        (r"https://ci\.example/(.*)", 1),
        (r"https://ci\.example/.*?", 1),
        (r"https://ci\.example/.{0,}", 1),
        (r"https://ci\.example/\S+", 1),
        (r"https://ci\.example/[^ ]*|x", 1),
        (r"https://ci\.example/[\s\S]*\Z", 1),
    ],
)
def test_v17_a_pattern_that_lets_more_through_than_meant_gets_a_warning(folder, capsys, pattern, warnings):
    run("verify-blob", "dist/a", "--certificate-identity-regexp", pattern, *WHO[2:])
    assert capsys.readouterr().err.count("warning: --certificate-identity-regexp: ") == warnings


@pytest.mark.parametrize(
    ("pattern", "code", "warnings"),
    [
        (r"https://issuer\.example/auth", 0, 0),
        (r"https://(issuer|other)\.example/auth", 0, 0),
        (r"https://issuer\.example", 1, 0),
        (r"ssuer\.example/auth", 1, 0),
        (r"https://issuer.example/auth", 0, 1),
        (r"https://issuer\.example/.*", 0, 1),
        (r"(", 2, 0),
        ("https://\N{CYRILLIC SMALL LETTER ES}", 2, 0),
    ],
)
def test_v17_a_pattern_for_the_issuer_matches_the_whole_of_it(folder, capsys, pattern, code, warnings):
    for command, name in (("verify-blob", "dist/a"), ("verify-blob-attestation", "attested")):
        assert run(command, name, *WHO[:2], "--certificate-oidc-issuer-regexp", pattern) == code
        assert capsys.readouterr().err.count("warning: --certificate-oidc-issuer-regexp: ") == warnings


CLAIMS = {
    "trigger": "push",
    "sha": "d0a6" * 10,
    "name": "release",
    "repository": "acme/rocket",
    "ref": "refs/tags/v1",
}


@pytest.fixture
def by_workflow(folder, sigstore, monkeypatch):
    """The folder, with a signature and an attestation whose certificates carry the claims of a workflow."""
    given = {f"github_workflow_{name}": value for name, value in CLAIMS.items()}
    carried = fulcio.encode_extensions(fulcio.FulcioExtensions(ISSUER, **given))
    monkeypatch.setattr(sigstore, "certify", partial(sigstore.certify, issuer=carried))
    for name, bundle in (("dist/a", sigstore.sign()), ("attested", sigstore.attest("dsse 0.0.1"))):
        (folder / f"{name}.sigstore.json").write_bytes(encode_bundle(bundle))
    return folder


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_claim_of_a_workflow_can_be_demanded_of_files(by_workflow, capsys, claim):
    flag, value = f"--certificate-github-workflow-{claim}", CLAIMS[claim]
    for command, name in (("verify-blob", "dist/a"), ("verify-blob-attestation", "attested")):
        assert run(command, name, *WHO, flag, value) == 0
        capsys.readouterr()
        for other in (f"{value}x", value[:-1], ".*"):
            assert run(command, name, *WHO, flag, other, "--json") == 1
            [row] = json.loads(capsys.readouterr().out)
            assert row["step"] == "identity"
            assert f"the certificate says github workflow {claim} '{value}', expected '{other}'" in row["error"]


def test_all_claims_of_a_workflow_must_hold_and_a_signer_must_be_named_beside_them(by_workflow, capsys):
    flags = [text for name, value in CLAIMS.items() for text in (f"--certificate-github-workflow-{name}", value)]
    assert run("verify-blob", "dist/a", *WHO, *flags) == 0
    assert run("verify-blob", "dist/a", *WHO, *flags[:-1], "refs/heads/main") == 1
    assert run("verify-blob", "dist/b", *WHO, *flags) == 1, "a person's certificate carries none"
    assert run("verify-blob", "keyed", "--key", "key.pub", *flags) == 2
    assert "a bare key carries no claims of a workflow" in capsys.readouterr().err
    assert run("verify-blob", "dist/a", *flags) == 2
    assert "nobody is named who may have signed" in capsys.readouterr().err


def test_v12_a_reader_that_goes_away_is_no_success(folder):
    """The console script ends the process by itself: what it could not print must not look like a verdict."""
    code = "import sys; sys.argv[0] = 'sigbox'; from stack.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "verify-blob", "dist/a", "--trusted-root", "root.json", *WHO, "--json"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    with Path("/dev/full").open("wb") as full:
        assert subprocess.run(command, stdout=full, stderr=subprocess.DEVNULL, check=False).returncode not in (0, 1)


@pytest.mark.parametrize("kind", [RecursionError, MemoryError, KeyboardInterrupt, ValueError])
def test_v12_whatever_happens_the_exit_code_is_not_0(folder, monkeypatch, kind):
    def fail(*_given, **_named):
        raise kind

    monkeypatch.setattr("stack.cli.verify_blob.blob_steps", fail)
    assert run("verify-blob", "dist/a", *WHO) != 0


SILENT = {
    "v2": ("verify-blob", "dist/a", *WHO),
    "v1": ("verify-blob", "dist/b", *WHO),
    "a folder": ("verify-blob", "dist", *WHO, "--json"),
    "a key": ("verify-blob", "keyed", "--key", "key.pub"),
    "an attestation": ("verify-blob-attestation", "attested", *WHO),
    "explained": ("verify-blob", "dist/a", *WHO, "--explain"),
    "the suite's protocol": ("conformance", "verify-bundle", "--bundle", "dist/a.sigstore.json", *WHO, "dist/a"),
    "a look": ("bundle", "inspect", "dist/a.sigstore.json"),
}


@pytest.mark.parametrize("name", SILENT)
def test_verifying_opens_no_socket_and_starts_no_process(folder, name):
    """Heard by the interpreter's own audit hook, whoever would do it."""
    code = (
        "import sys; heard = []\n"
        "sys.addaudithook(lambda event, _: heard.append(event))\n"
        "from stack.cli import main; code = main(sys.argv[1:])\n"
        "bad = [e for e in heard if e.startswith(('socket.', 'subprocess.', 'os.fork', 'os.exec', 'os.posix_spawn'))]\n"
        "assert 'open' in heard, 'the hook hears nothing'\n"
        "sys.exit(code or len(bad))"
    )
    root = () if name == "a look" else ("--trusted-root", "root.json")
    done = subprocess.run(
        [sys.executable, "-c", code, *SILENT[name], *root], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


BROKEN = {
    "bundle": lambda text: text[:500],
    "digest": lambda text: re.sub(r'"rawBytes":"[^"]*"', '"rawBytes":"AAAA"', text),
    "entry": lambda text: re.sub(r'"logIndex":"\d+"', '"logIndex":"77"', text, count=1),
    "checkpoint": lambda text: re.sub(r'"rootHash":"[^"]*"', f'"rootHash":"{encode_base64(bytes(32))}"', text),
}
"""The check that fails -> what is done to a good bundle, so that the check itself knows no remedy."""


@pytest.mark.parametrize("check", BROKEN)
def test_every_refusal_names_the_check_and_what_to_do(folder, capsys, check: str):
    good = (folder / "dist/a.sigstore.json").read_text()
    (folder / "broken").write_text(BROKEN[check](good))
    assert run("verify-blob", "dist/a", "--bundle", "broken", *WHO, "--json") == 1
    told = capsys.readouterr()
    (row,) = json.loads(told.out)
    assert (row["step"], row["hint"] != "") == (check, True)
    assert f"\n  check: {check}\n  hint: {row['hint']}\n" in told.err


def test_a_trusted_root_that_is_not_whole_is_named_and_what_to_do(folder, capsys):
    (folder / "root.json").write_bytes((folder / "root.json").read_bytes()[:500])
    assert run("verify-blob", "dist/a", *WHO, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["step"], "sigbox initialize" in told["hint"]) == ("trust", True)


def test_a_plain_ed25519_signature_of_a_file_is_refused_by_its_name(folder, sigstore, capsys):
    key = ed25519.Ed25519PrivateKey.generate()
    (folder / "ed.pub").write_text(keys.encode_public_key_pem(key.public_key()))
    good = sigstore.sign_v1(key=KEY)
    digest = hashlib.sha512(ARTIFACT).digest()
    content = MessageSignature(HashAlgorithm.SHA2_512, digest, key.sign(ARTIFACT))
    verifier = {"content": encode_base64(keys.encode_public_key_pem(key.public_key()).encode())}
    spec = {
        "data": {"hash": {"algorithm": "sha512", "value": digest.hex()}},
        "signature": {"content": encode_base64(content.signature), "publicKey": verifier},
    }
    entry = sigstore.log_v1.enter(body_of("hashedrekord", "0.0.1", spec))
    (folder / "bundle").write_bytes(encode_bundle(replace(good, content=content, log_entries=(entry,))))
    assert run("verify-blob", "dist/a", "--bundle", "bundle", "--key", "ed.pub") == 1
    assert "plain Ed25519 signs the whole file" in capsys.readouterr().err


def test_an_rsa_pss_signature_is_refused_by_its_name(folder, sigstore, capsys):
    key = rsa.generate_private_key(65537, 2048)
    (folder / "rsa.pub").write_text(keys.encode_public_key_pem(key.public_key()))
    good = sigstore.sign_v1(key=KEY)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
    content = replace(good.content, signature=key.sign(ARTIFACT, pss, hashes.SHA256()))
    verifier = {"content": encode_base64(keys.encode_public_key_pem(key.public_key()).encode())}
    spec = {
        "data": {"hash": {"algorithm": "sha256", "value": content.digest.hex()}},
        "signature": {"content": encode_base64(content.signature), "publicKey": verifier},
    }
    entry = sigstore.log_v1.enter(body_of("hashedrekord", "0.0.1", spec))
    (folder / "bundle").write_bytes(encode_bundle(replace(good, content=content, log_entries=(entry,))))
    assert run("verify-blob", "dist/a", "--bundle", "bundle", "--key", "rsa.pub") == 1
    err = capsys.readouterr().err
    assert "is RSA-PSS" in err
    assert "hint: sign with PKCS#1 v1.5" in err
