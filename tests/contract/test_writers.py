# SPDX-License-Identifier: Apache-2.0
"""Logs that take entries of their own stack's certificates, and of named keys: as clients of a running stack meet them."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from sigcore import certify, keys, x509
from sigcore.entries import HashedRekord, certificate_verifier, encode_request_v2
from sigcore.strict import encode_base64
from stack.bootstrap import load_ca
from stack.config import Home
from tests.corporate_pki import ISSUING, Pki
from tests.ports import free_port
from tests.stack_process import STOP_S, RunningStack, running_stack, sigbox, spawn
from tests.until import wait_until

ALICE = "alice@example.com"
RULES = '\n[log.writers]\ncertificates = "own"\nkeys = ["release.pub"]\n'
VERSIONS = pytest.mark.parametrize("version", ["1", "2"])
DIGEST = bytes(32)


def make_keys(folder: Path) -> None:
    """A pair that the rules name, and one that they do not: PREFIX.key and PREFIX.pub."""
    for name in ("release", "other"):
        key = keys.generate_p256()
        (folder / f"{name}.key").write_bytes(keys.encode_private_key(key, None))
        (folder / f"{name}.pub").write_text(keys.encode_public_key_pem(key.public_key()))


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("writers")
    data = folder / "data"
    assert sigbox("init", "--data", data).returncode == 0
    make_keys(folder)
    (data / "release.pub").write_bytes((folder / "release.pub").read_bytes())
    with (data / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write(RULES)
    with running_stack(folder, "--data", data, *request.param) as running:
        yield running


def sign(stack: RunningStack, folder: Path, version: str, *who: str | Path):
    (folder / "file").write_text("a file\n")
    trust = ("--trust-config", stack.trust_config, "--rekor-version", version)
    return sigbox("sign-blob", "file", *trust, *who, cwd=folder)


def post(url: str, path: str, body: bytes) -> tuple[int, dict]:
    request = Request(f"{url}{path}", body, {"Content-Type": "application/json"})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def own_made_certificate(key: keys.PrivateKey) -> bytes:
    """One for code signing that its key has signed: well-formed, of nobody's authority."""
    now = datetime.now(UTC).replace(microsecond=0)
    root = x509.parse_certificate(
        certify.make_root(key, certify.Subject("mallory", "mallory", now, now + timedelta(hours=1), 7))
    )
    spki = keys.encode_public_key(key.public_key())
    subject = certify.Subject("mallory", "mallory", now, now + timedelta(minutes=10), 8)
    return certify.make_leaf(root, key, spki, subject, eku=x509.EKU_CODE_SIGNING)


def entry(version: str, key: keys.PrivateKey, certificate: bytes) -> tuple[str, bytes]:
    signature = keys.sign_digest(key, DIGEST)
    if version == "2":
        return "/api/v2/log/entries", encode_request_v2(
            HashedRekord(DIGEST, signature, certificate_verifier(certificate))
        )
    pem = x509.encode_certificate_pem(certificate).encode()
    spec = {
        "data": {"hash": {"algorithm": "sha256", "value": DIGEST.hex()}},
        "signature": {"content": encode_base64(signature), "publicKey": {"content": encode_base64(pem)}},
    }
    proposed = {"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec}
    return "/api/v1/log/entries", json.dumps(proposed).encode()


@VERSIONS
def test_an_identity_of_the_stack_may_write(stack: RunningStack, tmp_path: Path, version: str):
    done = sign(stack, tmp_path, version, "--identity-token", stack.token(ALICE))
    assert done.returncode == 0, done.stderr


@VERSIONS
def test_a_named_key_may_write_and_another_one_may_not(stack: RunningStack, tmp_path: Path, version: str):
    keys_of = stack.data.parent
    done = sign(stack, tmp_path, version, "--key", keys_of / "release.key")
    assert done.returncode == 0, done.stderr
    done = sign(stack, tmp_path, version, "--key", keys_of / "other.key")
    assert done.returncode == 3, done.stderr
    assert "is not among those that may write into this log" in done.stderr


@VERSIONS
def test_a_key_in_a_certificate_of_its_own_may_not_write(stack: RunningStack, version: str):
    """Not even the named one: what came as a certificate is judged as one."""
    key = keys.parse_private_key((stack.data.parent / "release.key").read_bytes())
    status, answer = post(stack.url, *entry(version, key, own_made_certificate(key)))
    assert status == 403, answer
    assert "this log takes certificates of its own stack's authority alone" in answer["message"]


# --- what an operator sees --------------------------------------------------------------------------------
def read(stack: RunningStack, path: str) -> str:
    with build_opener(ProxyHandler({})).open(f"{stack.url}{path}", timeout=20) as answer:
        return answer.read().decode()


def refused(stack: RunningStack, log: str) -> float:
    figures = read(stack, "/metrics").splitlines()
    (line,) = [line for line in figures if line.startswith(f'sigbox_log_unwelcome_total{{log="{log}"}}')]
    return float(line.split()[-1])


def test_refusals_are_counted_by_log(stack: RunningStack, tmp_path: Path):
    for version, log in (("1", "rekor-v1"), ("2", "rekor")):
        assert sign(stack, tmp_path, version, "--key", stack.data.parent / "other.key").returncode == 3
        wait_until(lambda log=log: refused(stack, log) > 0)
    assert refused(stack, "ct") == 0


def test_the_page_of_the_logs_and_doctor_say_who_may_write(stack: RunningStack):
    page = read(stack, "/logs")
    assert page.count("who may write") == 2
    assert "certificates of this stack&#39;s authority alone" in page
    assert "keys without a certificate: 1 that are named" in page
    done = sigbox("doctor", "--data", stack.data, "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["signature"]["state"] == "ok", checks["signature"]
    assert checks["writers"]["state"] == "ok", checks["writers"]
    assert "certificates of this stack's authority; with bare keys: 1 named" in checks["writers"]["found"]


def test_a_named_file_that_is_missing_is_said_before_a_stack_serves(tmp_path: Path):
    data = tmp_path / "data"
    assert sigbox("init", "--data", data).returncode == 0
    with (data / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write(RULES)
    done = sigbox("up", "--data", data, "--listen", "127.0.0.1:0")
    assert done.returncode != 0
    assert "release.pub" in done.stderr
    assert "Traceback" not in done.stderr
    checks = {
        one["name"]: one for one in json.loads(sigbox("doctor", "--data", data, "--json", "--no-sign").stdout)["checks"]
    }
    assert checks["writers"]["state"] == "failed"
    assert "release.pub" in checks["writers"]["found"]


# --- a log alone ------------------------------------------------------------------------------------------
@contextmanager
def log_alone(whole: Path, folder: Path, *options: str) -> Iterator[str]:
    """``sigbox serve log`` with the folders that its container would see; the URL."""
    data = folder / "data"
    data.mkdir(0o700)
    for name in ("rekor", "rekor-v1", "anchor"):
        shutil.copytree(whole / name, data / name)
    (data / "public").symlink_to(whole / "public")
    shutil.copy(whole / "sigbox.toml", data)
    port, ready = free_port(), folder / "ready"
    where = ("--data", data, "--listen", f"127.0.0.1:{port}", "--ready-file", ready)
    process = spawn("serve", "log", *where, *options, folder=folder, log=folder / "log")
    try:
        wait_until(ready.exists, 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


def issue(whole: Path, key: keys.PrivateKey, since: datetime) -> bytes:
    """By the authority that signs now."""
    signer, chain = load_ca(Home(whole))
    subject = certify.Subject("leaf", "leaf", since, since + timedelta(minutes=10), certify.random_serial())
    spki = keys.encode_public_key(key.public_key())
    return certify.make_leaf(chain[0], signer, spki, subject, eku=x509.EKU_CODE_SIGNING)


def test_a_log_without_keys_of_the_authority_knows_each_of_its_generations(tmp_path: Path):
    """In a process that was forked from the one that has read the rules."""
    whole, key = tmp_path / "whole", keys.generate_p256()
    assert sigbox("init", "--data", whole).returncode == 0
    with (whole / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write('\n[log.writers]\ncertificates = "own"\nkeys = "none"\n')
    now = datetime.now(UTC).replace(microsecond=0)
    with log_alone(whole, tmp_path, "--workers", "1") as url:
        before = issue(whole, key, now)
        assert post(url, *entry("1", key, before))[0] == 201
        assert post(url, *entry("2", key, own_made_certificate(key)))[0] == 403
        assert sigbox("trust", "rotate", "ca", "--data", whole).returncode == 0
        after = issue(whole, key, now + timedelta(minutes=1))
        assert parse_issuer(after) != parse_issuer(before)
        for version in ("1", "2"):
            assert post(url, *entry(version, key, after))[0] == 201
        assert post(url, *entry("2", key, before))[0] == 201


def parse_issuer(certificate: bytes) -> bytes:
    return x509.parse_certificate(certificate).issuer


# --- the certificate log below a corporate root ---------------------------------------------------------------
@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A corporate root; below it what shall be the stack's authority, and somebody else's."""
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.root("root")
    for name in ("ca", "payroll"):
        made.below(name, "root", extensions=ISSUING)
    leaf = "basicConstraints = critical, CA:FALSE\nkeyUsage = critical, digitalSignature\n"
    made.issue(made.request("leaf"), "leaf", "payroll", extensions=leaf, days=1)
    return made


@pytest.mark.parametrize(
    ("options", "rules", "status"),
    [((), "", 403), (("--workers", "1"), "", 403), ((), '\n[ct]\nissuers = "any"\n', 200)],
    ids=["one process", "workers", "control: opened"],
)
def test_the_certificate_log_takes_nothing_of_others_below_the_corporate_root(
    pki: Pki, tmp_path: Path, options: tuple[str, ...], rules: str, status: int
):
    data = tmp_path / "data"
    given = ("--ca-chain", pki.chain("ca", "root"), "--ca-key", pki.folder / "ca.key")
    assert sigbox("init", "--data", data, *given).returncode == 0
    with (data / "sigbox.toml").open("a", encoding="utf-8") as file:
        file.write(rules)
    chain = [encode_base64(pki.certificate(name).der) for name in ("leaf", "payroll", "root")]
    with running_stack(tmp_path, "--data", data, *options) as stack:
        code, answer = post(stack.url, "/ct/v1/add-chain", json.dumps({"chain": chain}).encode())
        assert code == status, answer
        if status == 403:
            assert "its own stack's authority, and 'ACME payroll' issued this one" in answer["error_message"]
            wait_until(lambda: refused(stack, "ct") == 1)
        done = sign(stack, tmp_path, "2", "--identity-token", stack.token(ALICE))
        assert done.returncode == 0, done.stderr
