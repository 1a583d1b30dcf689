# SPDX-License-Identifier: Apache-2.0
"""``sigbox policy learn --log``: a policy drafted from the logs of a stack lets in who signed there, and nobody whom they only name."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.policy.document import parse_policy
from client.policy.logged_signers import KEY, UNTRUSTED
from tests.stack_process import RunningStack, running_stack, sigbox

SIGNED = (("alice", "2"), ("alice", "1"), ("bob", "1"))


class Folder:
    """A user's folder: files that others signed, and what the stack says is to be trusted."""

    def __init__(self, stack: RunningStack, path: Path) -> None:
        self.stack, self.path = stack, path

    def run(self, *words: str | Path, code: int = 0, **extra: str) -> subprocess.CompletedProcess[str]:
        trust = {"SIGBOX_TRUST_CONFIG": str(self.stack.trust_config), "SIGBOX_STATE": str(self.path / "state")}
        done = sigbox(*words, cwd=self.path, **trust | extra)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def learn(self, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run("policy", "learn", *words, code=code)

    def report(self, *words: str | Path) -> dict[str, object]:
        return json.loads(self.learn(*words, "--json").stdout)

    def sign(self, who: str, version: str) -> None:
        name = f"{who}-{version}"
        (self.path / name).write_text(name)
        token = self.stack.token(f"{who}@example.com")
        self.run("sign-blob", name, "--identity-token", token, "--rekor-version", version)

    def forge(self) -> None:
        """An entry of the v2 log with a certificate that Mallory made himself: it says that he is Alice's boss."""
        key = ec.generate_private_key(ec.SECP256R1())
        name, now = (
            x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sigbox certificate authority")]),
            datetime.now(UTC),
        )
        names = x509.SubjectAlternativeName([x509.RFC822Name("boss@example.com")])
        issuer = x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), self.stack.oidc_issuer.encode()
        )
        builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(minutes=9))
        made = builder.add_extension(names, critical=True).add_extension(issuer, critical=False)
        certificate = made.sign(key, hashes.SHA256())
        (self.path / "forged.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.path / "forged.sig").write_bytes(key.sign(b"alice-2", ec.ECDSA(hashes.SHA256())))
        where = ("--artifact", "alice-2", "--signature", "forged.sig", "--certificate", "forged.pem")
        self.run("log", "upload", *where, "--rekor-version", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """Alice has signed on both logs, Bob on one, Carol has attested; Mallory has logged a certificate of his own."""
    path = tmp_path_factory.mktemp("learn")
    with running_stack(path, "--data", path / "data") as stack:
        made = Folder(stack, path)
        for who, version in SIGNED:
            made.sign(who, version)
        (path / "predicate.json").write_text('{"buildType": "make"}')
        token = stack.token("carol@example.com")
        attest = ("attest-blob", "bob-1", "--predicate", "predicate.json", "--type", "slsaprovenance1")
        made.run(*attest, "--identity-token", token, "--rekor-version", "1", "--bundle", "carol.json")
        made.forge()
        made.run("log", "export", "copy")
        yield made


def test_the_draft_lets_in_who_signed_and_nobody_else(folder: Folder):
    done = folder.learn("--log")
    (folder.path / "draft.yaml").write_text(done.stdout)
    policy = parse_policy(done.stdout.encode())
    assert [name for name, _ in policy.identities] == ["alice", "bob", "carol"]
    assert policy.rules[0].allow == ("alice", "bob")
    assert f"left out: {UNTRUSTED}: 1" in done.stderr
    assert "boss" not in done.stdout
    for who, version in SIGNED:
        folder.run("verify-blob", f"{who}-{version}", "--policy", "draft.yaml")
    folder.sign("dave", "2")
    refused = folder.run("verify-blob", "dave-2", "--policy", "draft.yaml", code=1)
    assert "alice: the signer is 'dave@example.com'" in refused.stderr
    assert "0 of them grave" in folder.run("policy", "lint", "draft.yaml").stderr


def test_the_report_says_where_it_comes_from(folder: Folder):
    report = folder.report("--log", folder.stack.url, "--rekor-version", "1")
    (read,) = report["read"]
    assert (read["generation"], read["size"]) == (1, 4)
    alice, bob, carol = sorted(report["signers"], key=lambda one: one["name"])
    assert (alice["signatures"], bob["signatures"], carol["attestations"]) == (1, 1, 1)
    assert alice["first"] == alice["last"] <= carol["first"]
    assert report["policy"]["identities"]["alice"]["issuer"] == folder.stack.oidc_issuer
    assert report["leftOut"] == {KEY: 1}, "the first entry of each log, by the stack itself"


def test_a_copy_in_a_folder_is_as_good_as_far_as_it_proves(folder: Folder, tmp_path: Path):
    shutil.copytree(folder.path / "copy", tmp_path / "copy")
    report = folder.report("--log", tmp_path / "copy")
    assert [one["name"] for one in report["signers"]] == ["alice"]
    (entries,) = (tmp_path / "copy" / "tile" / "entries").glob("000.p/*")
    good = entries.read_bytes()
    entries.write_bytes(good.replace(b"hashedrekord", b"hashedrekorD", 1))
    assert "policy" in folder.learn("--log", tmp_path / "copy", code=1).stderr
    entries.write_bytes(good)
    folder.learn("--log", tmp_path / "copy")
    checkpoint = tmp_path / "copy" / "checkpoint"
    checkpoint.write_text(checkpoint.read_text().replace("\n3\n", "\n2\n"))
    assert "signature" in folder.learn("--log", tmp_path / "copy", code=1).stderr


def test_what_cannot_be_done_is_said(folder: Folder, tmp_path: Path):
    refusals = {
        (): (2, "nothing to learn from"),
        ("--log", folder.stack.url, "alice-2"): (2, "FILE and --log are given"),
        ("--log", tmp_path): (2, "holds no copy of a log"),
        ("--log", folder.path / "copy", "--rekor-version", "1"): (2, "a log of Rekor v2"),
        ("--log", folder.path / "copy", "--log-id", "00"): (2, "no log of Rekor v2 of that id"),
        ("--log", "--since", "yesterday"): (2, "--since is 'yesterday'"),
        ("--log", "--min-count", "0"): (2, "--min-count is 0"),
        ("--log", "--since", "2099-01-01"): (2, "nobody signed"),
        ("--log", "--min-count", "9"): (2, "nobody signed"),
        ("--log", "--log-id", "00"): (2, "no log of any generation"),
        ("--log", "http://127.0.0.1:1"): (4, "cannot be reached"),
    }
    for words, (code, said) in refusals.items():
        assert said in folder.learn(*words, code=code).stderr, words
    failed = folder.learn("--log", tmp_path, "--json", code=2)
    assert json.loads(failed.stdout)["exitCode"] == 2
