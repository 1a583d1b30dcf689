# SPDX-License-Identifier: Apache-2.0
"""Each fault of a stack for tests is refused by a client, for the reason that it is about, and gone when it is switched off.

One stack for almost all: what one test leaves on would fail the next one.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sigstore.models import Bundle, ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from stack.faults.table import FAULTS
from tests.stack_process import RunningStack, running_stack, sigbox

ALICE = "alice@example.com"
ERROR = "this answer is a fault that was asked for"
PATIENCE_S = 60
CONTENT = b"a file\n"
OPTIONS = ("--ephemeral", "--control")

TRANSPORT = [
    ("error", ("role=ca",), 4, "the certificate authority at"),
    ("error", ("role=tsa", "status=429"), 4, "answered 429"),
    ("error", ("role=log",), 4, "the transparency log at"),
    ("cut", ("role=ca",), 4, "Not enough data"),
    ("cut", ("role=tsa",), 4, "Not enough data"),
    ("cut", ("role=log",), 4, "Not enough data"),
]
SIGNING = [
    ("wrong-proof", 2, "the inclusion proof leads to the root"),
    ("wrong-proof", 1, "the inclusion proof leads to the root"),
    ("wrong-root", 2, "the log signed size"),
    ("wrong-root", 1, "the log signed size"),
    ("wrong-checkpoint", 2, "the note signature of localhost does not verify"),
    ("wrong-checkpoint", 1, "the note signature of localhost does not verify"),
    ("wrong-set", 1, "the promise (SET) of the log"),
    ("other-entry", 2, "the log entry is not about this signature"),
    ("other-entry", 1, "the log entry is not about this signature"),
    ("wrong-timestamp", 2, "the signature of the timestamp token does not verify"),
    ("other-imprint", 2, "over another message imprint"),
    ("other-nonce", 2, "does not repeat the request's nonce"),
    ("no-grant", 2, "answered rejection (systemFailure)"),
    ("timestamp-time", 2, "no trusted certificate authority vouches for the certificate at"),
    ("wrong-sct", 2, "the SCT's signature does not verify"),
    ("expired-certificate", 2, "expired at"),
    ("wrong-chain", 2, "is not signed by the"),
]
TUF = [
    ("expired-metadata", 1, "timestamp.json is expired"),
    ("wrong-metadata-signature", 1, "timestamp was signed by 0/1 keys"),
    ("wrong-target", 1, "does not match expected hash"),
    ("missing-target", 4, "answered 404"),
]
ELSEWHERE = {"slow", "rolled-back", "frozen", "other-identity"}
"""Those that have a test of their own below."""


class Client:
    """``sigbox`` of somebody who signs a file of his."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.file, self.bundle = folder / "file", folder / "bundle.json"
        self.file.write_bytes(CONTENT)

    def sign(self, version: int = 2) -> tuple[int, str]:
        trust = ("--trusted-root", self.stack.trusted_root, "--signing-config", self.stack.signing_config)
        if version == 1:
            trust = (*trust[:3], self.stack.signing_config.with_name("signing_config_v1.json"))
        token = self.stack.token(ALICE)
        done = sigbox("sign-blob", self.file, "--bundle", self.bundle, *trust, "--identity-token", token)
        return done.returncode, done.stderr

    def verify(self) -> tuple[int, str]:
        who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", self.stack.oidc_issuer)
        done = sigbox(
            "verify-blob", self.file, "--bundle", self.bundle, "--trusted-root", self.stack.trusted_root, *who
        )
        return done.returncode, done.stderr

    def initialize(self) -> tuple[int, str]:
        home = {"HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / "cache")}
        done = sigbox(
            "initialize", "--mirror", self.stack.tuf_mirror, "--root", self.stack.tuf_root, cwd=self.folder, **home
        )
        return done.returncode, done.stderr

    def fault(self, action: str, *arguments: str) -> str:
        done = sigbox("fault", action, *arguments, "--url", self.stack.url)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), *OPTIONS) as running:
        yield running
        assert "Traceback" not in running.output()


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Iterator[Client]:
    made = Client(stack, tmp_path)
    assert "on: none" in made.fault("off"), "the fault of a test before"
    yield made
    made.fault("off")


def ask(stack: RunningStack, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{stack.url}/_ctl/faults{path}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_every_fault_is_in_a_test_of_this_file():
    shown = {row[0] for row in (*TRANSPORT, *SIGNING, *TUF)} | ELSEWHERE
    assert shown == set(FAULTS)


# --- each is refused, and only while it is on --------------------------------------------------------------------
@pytest.mark.at_once("way", threads=3)
@pytest.mark.parametrize(("name", "parameters", "code", "message"), TRANSPORT)
def test_a_fault_of_the_way_is_said_to_be_one(tmp_path: Path, name, parameters, code, message):
    """A client tries again for seconds: each fault is in a stack of its own."""
    with running_stack(tmp_path, *OPTIONS) as stack:
        client = Client(stack, tmp_path)
        client.fault("on", name, *parameters)
        refused = client.sign()
        assert refused[0] == code, refused
        assert message in refused[1]
        client.fault("off", name)
        assert client.sign()[0] == 0
        assert client.verify()[0] == 0
        assert "Traceback" not in stack.output()


@pytest.mark.parametrize(("name", "version", "message"), SIGNING)
def test_a_lie_about_a_signature_is_refused_when_it_is_made(client: Client, name, version, message):
    client.fault("on", name)
    refused = client.sign(version)
    assert refused[0] == 3, refused
    assert message in refused[1]
    assert not client.bundle.exists(), "what was refused is not handed out"
    client.fault("off", name)
    assert client.sign(version)[0] == 0
    assert client.verify()[0] == 0


@pytest.mark.parametrize(("name", "code", "message"), TUF)
def test_a_lie_of_the_trust_root_is_refused(client: Client, name, code, message):
    client.fault("on", name)
    refused = client.initialize()
    assert refused[0] == code, refused
    assert message in refused[1]
    client.fault("off", name)
    assert client.initialize()[0] == 0


def test_a_certificate_for_another_identity_is_refused_by_whoever_expects_this_one(client: Client):
    client.fault("on", "other-identity", "identity=eve@example.com")
    assert client.sign()[0] == 0
    refused = client.verify()
    assert refused[0] == 1
    assert "the signer is 'eve@example.com', expected 'alice@example.com'" in refused[1]
    client.fault("off", "other-identity")
    assert client.sign()[0] == 0
    assert client.verify()[0] == 0


def test_a_repository_that_was_frozen_hides_what_came_after_and_one_that_went_back_is_refused(client: Client):
    cached = client.folder / "cache" / "sigbox" / "tuf"

    def versions() -> set[int]:
        found = [json.loads(path.read_bytes()) for path in cached.rglob("timestamp.json")]
        return {document["signed"]["version"] for document in found}

    assert client.initialize()[0] == 0
    (before,) = versions()
    client.fault("on", "frozen")
    refreshed = sigbox("trust", "refresh", "--data", client.stack.data)
    assert refreshed.returncode == 0, refreshed.stderr
    assert client.initialize()[0] == 0
    assert versions() == {before}
    client.fault("off", "frozen")
    assert client.initialize()[0] == 0
    assert versions() == {before + 1}
    client.fault("on", "rolled-back")
    refused = client.initialize()
    assert refused[0] == 1, refused
    assert f"New timestamp version {before} must be >= {before + 1}" in refused[1]
    client.fault("off")
    assert client.initialize()[0] == 0


def test_a_slow_answer_comes_after_its_time(client: Client):
    client.fault("on", "slow", "role=trust", f"seconds={PATIENCE_S}")
    url = f"{client.stack.tuf_mirror}/timestamp.json"
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(url, timeout=0.2)
    assert client.sign()[0] == 0, "the other roles are as quick as ever"
    client.fault("off")
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        assert answer.status == 200


def test_an_error_names_when_to_come_back_and_a_cut_answer_is_half_there(client: Client):
    url = f"{client.stack.tuf_mirror}/timestamp.json"
    client.fault("on", "error", "status=429")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, timeout=PATIENCE_S)
    with refused.value as answer:
        assert (answer.code, answer.headers["Retry-After"]) == (429, "1")
        assert ERROR in json.loads(answer.read())["message"]
    client.fault("off")
    whole = urllib.request.urlopen(url, timeout=PATIENCE_S).read()
    client.fault("on", "cut", "role=trust")
    with pytest.raises(http.client.IncompleteRead) as cut:
        urllib.request.urlopen(url, timeout=PATIENCE_S).read()
    assert cut.value.partial == whole[: len(whole) // 2]


# --- the official Python client ----------------------------------------------------------------------------------
class Official:
    """sigstore-python, as a library."""

    def __init__(self, stack: RunningStack) -> None:
        self.stack = stack
        config = ClientTrustConfig.from_json(stack.trust_config.read_text())
        self.context, self.root = SigningContext.from_trust_config(config), config.trusted_root

    def sign(self) -> Bundle:
        with self.context.signer(IdentityToken(self.stack.token(ALICE))) as signer:
            return signer.sign_artifact(CONTENT)

    def verify(self, bundle: Bundle) -> None:
        policy = Identity(identity=ALICE, issuer=self.stack.oidc_issuer)
        Verifier(trusted_root=self.root).verify_artifact(CONTENT, bundle, policy)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong-proof", "inclusion proof"),
        ("wrong-checkpoint", "checkpoint"),
        ("wrong-timestamp", "not enough sources of verified time"),
        ("timestamp-time", "certificate"),
        ("other-entry", "entr"),
        ("wrong-sct", "SCT"),
        ("other-identity", "mallory@example.com"),
    ],
)
def test_sigstore_python_refuses_it_too(client: Client, name, message):
    official = Official(client.stack)
    client.fault("on", name)
    with pytest.raises(Exception, match=message) as refused:
        official.verify(official.sign())
    assert type(refused.value).__module__.startswith("sigstore"), repr(refused.value)
    client.fault("off")
    official.verify(official.sign())


# --- switching -----------------------------------------------------------------------------------------------------
def test_a_count_is_for_the_next_answers_only(client: Client):
    client.fault("on", "wrong-proof", "count=2")
    assert [client.sign()[0] for _ in range(3)] == [3, 3, 0]
    assert "on: none" in client.fault("off", "slow")


def test_the_list_tells_what_there_is_and_what_is_on(client: Client):
    client.fault("on", "no-grant")
    client.sign()
    status, listed = ask(client.stack, "GET", "")
    assert status == 200
    rows = {row["name"]: row for row in listed["faults"]}
    assert list(rows) == list(FAULTS)
    assert rows["no-grant"]["active"] == {"parameters": {}, "answers": 1}
    assert rows["slow"]["active"] is None
    assert rows["slow"]["parameters"] == ["role", "seconds", "count"]
    assert "ON: 1 answers so far" in client.fault("list")
    assert json.loads(client.fault("list", "--json"))[0]["name"] == "slow"


def test_several_at_once_are_all_seen(client: Client):
    client.fault("on", "error", "role=tsa", "count=4")  # as often as it is asked
    client.fault("on", "wrong-sct", "count=1")
    assert client.sign()[0] == 4
    refused = client.sign()
    assert refused[0] == 0, "both are spent: the certificate of the first run was thrown away with it"
    _, listed = ask(client.stack, "GET", "")
    assert [row["name"] for row in listed["faults"] if row["active"]] == []


def test_an_unknown_name_is_answered_with_those_that_there_are(client: Client):
    for method in ("PUT", "DELETE"):
        status, answer = ask(client.stack, method, "/wrong-prof")
        assert status == 404
        assert all(name in answer["message"] for name in FAULTS)
    done = sigbox("fault", "on", "wrong-prof", "--url", client.stack.url)
    assert done.returncode == 3
    assert "there is no fault 'wrong-prof'" in done.stderr


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("slow", b'{"seconds": "x"}', "expected a number from 0 to 600"),
        ("slow", b'{"seconds": -1}', "expected a number from 0 to 600"),
        ("slow", b'{"seconds": true}', "expected a number from 0 to 600"),
        ("slow", b'{"seconds": NaN}', "NaN"),
        ("slow", b'{"role": "rekor"}', "expected one of oidc, ca, ct, log, tsa, trust"),
        ("error", b'{"status": 200}', "expected 429 or 500 to 599"),
        ("error", b'{"count": 0}', "expected an integer from 1"),
        ("wrong-proof", b'{"role": "log"}', "known: count"),
        ("timestamp-time", b'{"hours": 1.5}', "expected an integer"),
        ("other-identity", b'{"identity": "e"}', "expected a plain ASCII mailbox"),
        ("slow", b"[]", "expected an object"),
        ("slow", b"\xff{", "the parameters"),
    ],
)
def test_bad_parameters_are_refused_with_what_is_expected(client: Client, name, body, expected):
    status, answer = ask(client.stack, "PUT", f"/{name}", body)
    assert status == 400
    assert expected in answer["message"]
    assert not [row for row in ask(client.stack, "GET", "")[1]["faults"] if row["active"]]


def test_without_control_there_are_no_faults(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as plain:
        for method, path in (("GET", ""), ("PUT", "/slow"), ("DELETE", "/slow"), ("DELETE", "")):
            assert ask(plain, method, path)[0] == 404
        done = sigbox("fault", "on", "slow", "--url", plain.url)
        assert done.returncode == 3
        assert "has no control API" in done.stderr


def test_a_stack_with_workers_refuses_what_would_reach_only_some_answers(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral", "--control", "--workers", "1") as shared:
        status, answer = ask(shared, "PUT", "/wrong-proof")
        assert status == 400
        assert "without --workers" in answer["message"]
