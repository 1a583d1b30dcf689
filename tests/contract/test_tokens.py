# SPDX-License-Identifier: Apache-2.0
"""Whole stacks whose keys are in a PKCS#11 token: made, served, rotated, saved; and a token that is slow or taken away meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pkcs11
import pytest
from cryptography.x509 import load_pem_x509_certificate
from pkcs11.util.ec import encode_named_curve_parameters

from sigcore.algorithms import HashAlgorithm
from sigcore.timestamp import TimestampRequest, encode_request
from tests.faults.certificates import certificate_request
from tests.faults.writers import Sent
from tests.missing import missing
from tests.soft_token import PIN, ROLES, SoftToken, library, soft_token
from tests.stack_process import RunningStack, running_stack, sigbox

ALICE = "alice@example.com"
PATIENCE_S = 30


@pytest.fixture(scope="module")
def token(tmp_path_factory) -> Iterator[SoftToken]:
    with soft_token(tmp_path_factory.mktemp("hsm") / "hsm") as made:
        yield made


@pytest.fixture(scope="module")
def made(token: SoftToken, tmp_path_factory) -> Path:
    """A data directory whose keys are all in the token."""
    data = tmp_path_factory.mktemp("made") / "data"
    done = sigbox("init", "--data", data, "--yes", *token.options())
    assert done.returncode == 0, done.stderr
    assert "in tokens        ca in the token 'sigbox', ct in the token 'sigbox'" in done.stdout
    return data


@pytest.fixture
def stack(made: Path, tmp_path: Path) -> Iterator[RunningStack]:
    with running_stack(tmp_path, "--data", made) as running:
        yield running
        said = running.log.read_text("utf-8", "replace")
        assert "Traceback" not in said
        assert PIN not in said


def answer(url: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": kind} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as given:
            return given.status, given.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def asked_of(stack: RunningStack) -> dict[str, Callable[[], tuple[int, bytes]]]:
    """One request for each key: what it takes to get a signature with it."""
    bearer = stack.token(ALICE)
    stamp = encode_request(TimestampRequest(HashAlgorithm.SHA2_256, bytes(32)))
    return {
        "ca": lambda: answer(f"{stack.url}/api/v2/signingCert", certificate_request(bearer, ALICE)[0]),
        "rekor": lambda: answer(f"{stack.url}/api/v2/log/entries", Sent.make().request()),
        "tsa": lambda: answer(f"{stack.url}/api/v1/timestamp", stamp, "application/timestamp-query"),
        "rekor-v1": lambda: answer(f"{stack.url}/api/v1/log/entries?logIndex=0"),
    }


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def sign_and_verify(stack: RunningStack, folder: Path, name: str) -> None:
    (folder / name).write_text(name)
    trust = ("--trust-config", stack.trust_config)
    for version in ("1", "2"):
        options = ("--identity-token", stack.token(ALICE), "--rekor-version", version, *trust)
        done = sigbox("sign-blob", folder / name, *options)
        assert done.returncode == 0, done.stderr
        said = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        done = sigbox("verify-blob", folder / name, *said, *trust)
        assert done.returncode == 0, done.stderr


# --- made and used ---------------------------------------------------------------------------------------
def test_no_private_key_of_these_roles_and_no_pin_is_in_the_data_directory(made: Path):
    assert {path.parent.name for path in made.rglob("*.key")} <= {"oidc", "tuf", "audit"}
    assert {path.parent.name for path in made.glob("*/*.pub")} >= set(ROLES)
    for path in made.rglob("*"):
        assert not path.is_file() or PIN.encode() not in path.read_bytes(), path


def test_our_client_signs_and_verifies_on_either_log(stack: RunningStack, tmp_path: Path):
    sign_and_verify(stack, tmp_path, "artifact")


def test_several_workers_each_use_the_token(made: Path, tmp_path: Path):
    with running_stack(tmp_path, "--data", made, "--workers", "2") as stack:
        sign_and_verify(stack, tmp_path, "by-workers")
        add = asked_of(stack)["rekor"]
        with ThreadPoolExecutor(8) as pool:
            assert {code for code, _ in pool.map(lambda _: add(), range(24))} == {201}


def test_a_second_init_changes_nothing_and_other_keys_are_refused(made: Path, token: SoftToken):
    again = sigbox("init", "--data", made, "--yes", *token.options())
    assert again.returncode == 0, again.stderr
    assert "nothing was changed" in again.stdout
    other = sigbox("init", "--data", made, "--yes", *token.options("ca"))
    assert other.returncode != 0
    assert "[keys] of sigbox.toml" in other.stderr


def test_a_pin_on_the_command_line_is_refused_and_not_repeated(tmp_path: Path, token: SoftToken):
    done = sigbox("init", "--data", tmp_path / "d", "--yes", "--key", f"ca={token.uri('ca')}&pin-value={PIN}")
    assert done.returncode != 0
    assert "put it into a file" in done.stderr
    assert PIN not in done.stderr + done.stdout
    assert not (tmp_path / "d").exists()


def test_a_role_alone_signs_in_the_token(tmp_path: Path, token: SoftToken):
    """``sigbox init --role``: the keys of one role, on its own machine."""
    data, uri = tmp_path / "data", token.uri("alone")
    done = sigbox("init", "--data", data, "--role", "tsa", "--url", "http://localhost:9", "--key", f"tsa={uri}")
    assert done.returncode == 0, done.stderr
    assert "--pin tsa=sha256:" in done.stdout
    assert {path.name for path in (data / "tsa").iterdir()} >= {"leaf.pub", "leaf.pem", "root.pem"}
    again = sigbox("init", "--data", data, "--role", "tsa", "--url", "http://localhost:9", "--key", f"tsa={uri}")
    assert "had already the keys of tsa" in again.stdout


def test_a_wrong_pin_makes_no_stack_and_the_right_one_does(tmp_path: Path):
    with soft_token(tmp_path / "hsm") as token:
        token.pin_file.write_text("000000")
        done = sigbox("init", "--data", tmp_path / "data", "--yes", *token.options("ct"))
        assert (done.returncode, "refuses the PIN" in done.stderr) == (3, True), done.stderr
        assert "000000" not in done.stderr
        token.pin_file.write_text(PIN)
        done = sigbox("init", "--data", tmp_path / "data", "--yes", *token.options("ct"))
        assert done.returncode == 0, done.stderr


def test_keys_that_a_ceremony_has_made_are_used_on_p384_too(tmp_path: Path):
    labels = ("ca", "ca-root", "tsa", "tsa-intermediate", "tsa-root")
    with soft_token(tmp_path / "hsm") as token:
        loaded = pkcs11.lib(token.module)
        with loaded.get_token(token_label="sigbox").open(rw=True, user_pin=PIN) as session:
            curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp384r1")}
            for label in labels:
                parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
                parameters.generate_keypair(store=True, label=label)
        loaded.finalize()
        done = sigbox("init", "--data", tmp_path / "data", "--yes", *token.options("ca", "tsa"))
        assert done.returncode == 0, done.stderr
        with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
            sign_and_verify(stack, tmp_path, "artifact")
        pem = (tmp_path / "data" / "ca" / "intermediate.pem").read_bytes()
        assert load_pem_x509_certificate(pem).public_key().key_size == 384


# --- operated --------------------------------------------------------------------------------------------
def checks_of(data: Path) -> dict[str, dict[str, str]]:
    done = sigbox("doctor", "--data", data, "--json", "--no-sign")
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_the_doctor_finds_tokens_that_answer_and_each_thing_that_is_wrong(made: Path, token: SoftToken, tmp_path: Path):
    checks = checks_of(made)
    assert checks["tokens"]["state"] == "ok"
    assert "in tokens: those of ca, ct, rekor, rekor-v1, tsa" in checks["files"]["found"]
    copy = shutil.copytree(made, tmp_path / "copy")
    settings = copy / "sigbox.toml"
    text = settings.read_text()
    for old, new, said, fix in (
        (f"module-path={token.module}", "module-path=/none.so", "/none.so does not exist", "correct module-path"),
        ("token=sigbox", "token=other", "the token 'other' is not there", "connect it"),
        ("object=ct?", "object=lost?", "the key 'lost' is not in the token 'sigbox'", "restore it there"),
        (f"file:{token.pin_file}", "file:/no/pin", "the PIN file /no/pin does not exist", ""),
    ):
        settings.write_text(text.replace(old, new))
        check = checks_of(copy)["tokens"]
        assert (check["state"], said in check["found"], fix in check["fix"]) == ("failed", True, True), check


def test_a_start_with_a_token_that_is_not_there_says_so_and_ends(made: Path, token: SoftToken):
    token.take_away()
    try:
        done = sigbox("up", "--data", made, "--listen", "127.0.0.1:0")
    finally:
        token.put_back()
    assert done.returncode == 4
    assert "PKCS#11 module" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_backup_says_that_keys_in_a_token_are_not_in_it(made: Path, tmp_path: Path):
    done = sigbox("backup", tmp_path / "b.tar", "--data", made)
    assert done.returncode == 0, done.stderr
    assert "NOT IN IT: the keys of ca, ct, rekor, rekor-v1, tsa, which are in tokens" in done.stdout
    restored = sigbox("restore", tmp_path / "b.tar", "--data", tmp_path / "restored")
    assert restored.returncode == 0, restored.stderr
    assert "NOT IN IT: the keys of ca, ct" in restored.stdout
    document = json.loads(sigbox("backup", tmp_path / "c.tar", "--data", made, "--json").stdout)
    assert document["keysInTokens"] == list(ROLES)
    with running_stack(tmp_path, "--data", tmp_path / "restored") as stack:  # the token is still there
        sign_and_verify(stack, tmp_path, "restored-artifact")


def test_a_rotation_makes_the_next_key_in_the_token_and_a_stack_of_files_moves_there(tmp_path: Path):
    with soft_token(tmp_path / "hsm") as token, running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        sign_and_verify(stack, tmp_path, "before")
        settings = stack.data / "sigbox.toml"
        rows = (f'{role} = "{token.uri(role)}"' for role in ("ca", "tsa", "rekor"))
        settings.write_text("\n".join((settings.read_text(), "[keys]", *rows, "")))
        check = checks_of(stack.data)["tokens"]
        assert (check["state"], "trust rotate" in check["fix"]) == ("warning", True)
        token.take_away()
        refused = sigbox("trust", "rotate", "ca", "--data", stack.data)
        token.put_back()
        assert (refused.returncode, "PKCS#11" in refused.stderr, "Traceback" in refused.stderr) == (4, True, False)
        assert not (stack.data / "public" / "generations.json").exists()
        for number, role in ((2, "ca"), (2, "tsa"), (3, "ca")):
            before = answer(f"{stack.url}/api/v1/rootCert"), answer(f"{stack.url}/api/v1/timestamp/certchain")
            done = sigbox("trust", "rotate", role, "--data", stack.data)
            assert done.returncode == 0, done.stderr
            assert (stack.data / role / str(number) / f"{'leaf' if role == 'tsa' else 'intermediate'}.pub").exists()
            assert not [*(stack.data / role / str(number)).glob("*.key")]
            place = "rootCert" if role == "ca" else "timestamp/certchain"
            was = dict(zip(("ca", "tsa"), before, strict=True))[role]
            wait_until(lambda place=place, was=was: answer(f"{stack.url}/api/v1/{place}") != was)
        done = sigbox("trust", "rotate", "rekor-v2", "--data", stack.data)
        assert done.returncode == 0, done.stderr
        assert (stack.data / "rekor" / "2" / "log.pub").exists()
        assert not (stack.data / "rekor" / "2" / "log.key").exists()
        wait_until(lambda: answer(f"{stack.url}/log/2/checkpoint")[0] == 200)
        sign_and_verify(stack, tmp_path, "after")
        said = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        done = sigbox("verify-blob", tmp_path / "before", *said, "--trust-config", stack.trust_config)
        assert done.returncode == 0, done.stderr
        assert checks_of(stack.data)["tokens"]["state"] == "ok"


# --- a token that fails ------------------------------------------------------------------------------------
def test_while_the_token_is_away_nothing_is_signed_or_acknowledged_and_it_heals(stack: RunningStack, token: SoftToken):
    asked = asked_of(stack)
    assert {name: ask()[0] for name, ask in asked.items()} == {"ca": 200, "rekor": 201, "tsa": 200, "rekor-v1": 200}
    before = answer(f"{stack.url}/api/v2/checkpoint")
    token.take_away()
    try:
        for _ in range(2):
            for name, ask in asked.items():
                code, body = ask()
                assert code == 503, (name, body)
                assert b"PKCS#11" in body or b"the token 'sigbox'" in body, body
        wait_until(lambda: answer(f"{stack.url}/readyz")[0] == 503)
        faults = json.loads(answer(f"{stack.url}/readyz")[1])["faults"]
        assert any("PKCS#11" in fault or "token" in fault for fault in faults)
        assert answer(f"{stack.url}/api/v2/checkpoint") == before
        assert answer(f"{stack.url}/healthz")[0] == 200
    finally:
        token.put_back()
    wait_until(lambda: answer(f"{stack.url}/readyz")[0] == 200)
    assert {name: ask()[0] for name, ask in asked.items()} == {"ca": 200, "rekor": 201, "tsa": 200, "rekor-v1": 200}
    assert answer(f"{stack.url}/api/v2/checkpoint") != before


@pytest.fixture(scope="module")
def slow_module(tmp_path_factory) -> Path:
    if shutil.which("gcc") is None:
        missing("gcc is missing: there is no slow token")
    built = tmp_path_factory.mktemp("slow") / "slow_token.so"
    source, real = Path(__file__).with_name("slow_token.c"), f'-DREAL="{library()}"'
    flags = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", real)
    subprocess.run(["gcc", *flags, "-o", built, source, "-ldl"], check=True, timeout=60)
    return built


def test_a_slow_token_holds_up_nobody_who_needs_no_signature_and_a_hanging_one_is_given_up(
    slow_module: Path, tmp_path: Path, monkeypatch
):
    delay = tmp_path / "delay"
    monkeypatch.setenv("SLOW_TOKEN", str(delay))
    with soft_token(tmp_path / "hsm", str(slow_module)) as token:
        assert sigbox("init", "--data", tmp_path / "data", "--yes", *token.options("rekor")).returncode == 0
        with running_stack(tmp_path, "--data", tmp_path / "data") as stack, ThreadPoolExecutor(4) as pool:
            add = asked_of(stack)["rekor"]
            assert add()[0] == 201
            delay.write_text("1500")
            adding, others = [pool.submit(add) for _ in range(2)], 0
            while not all(one.done() for one in adding):
                began = time.monotonic()
                assert answer(f"{stack.url}/healthz")[0] == 200
                assert time.monotonic() - began < 1.0, "the event loop has waited for the token"
                others += 1
            assert [one.result()[0] for one in adding] == [201, 201]
            assert others > 3
            delay.write_text("20000")
            began = time.monotonic()
            code, body = add()
            assert (code, b"has not answered within" in body) == (503, True), body
            assert time.monotonic() - began < 15
            delay.unlink()
            # The process ends, although the token still hangs.
