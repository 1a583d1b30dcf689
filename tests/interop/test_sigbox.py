# SPDX-License-Identifier: Apache-2.0
"""Our own client, as it is typed, against a running stack: every way to sign, and what each leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sigcore.strict import parse_base64
from tests.ports import free_port
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


class Client:
    """Runs ``sigbox`` in a folder with the stack's trust."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        public = Path(stack.trust_config).parent
        self.trust = (
            "--trusted-root",
            public / "trusted_root.json",
            "--signing-config",
            public / "signing_config.json",
        )
        self.who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)

    def __call__(self, *arguments: str | Path, code: int = 0, trust: bool = True):
        done = sigbox(*arguments, *(self.trust if trust else ()), cwd=self.folder)
        assert done.returncode == code, f"{done.args}\n{done.stdout}{done.stderr}"
        return done

    def token(self) -> tuple[str, str]:
        return "--identity-token", self.stack.token(ALICE)


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"the content of {name}\n")
    return Client(stack, tmp_path)


def test_several_files_and_a_folder(client: Client):
    done = client("sign-blob", "a.txt", "b.txt", *client.token(), "--json")
    rows = json.loads(done.stdout)
    assert [row["logEntryKind"] for row in rows] == ["hashedrekord 0.0.2"] * 2
    assert "[2/2] signed b.txt" in done.stderr
    report = json.loads(client("verify-blob", ".", *client.who, "--json").stdout)
    assert [row["verified"] for row in report] == [True, True]


def test_the_parts_are_written_beside_the_bundle(client: Client):
    out = ("--output-signature", "a.sig", "--output-certificate", "a.crt")
    client("sign-blob", "a.txt", *client.token(), *out, "--rekor-version", "1", "--yes")
    bundle = json.loads((client.folder / "a.txt.sigstore.json").read_bytes())
    signature = (client.folder / "a.sig").read_text().strip()
    assert bundle["messageSignature"]["signature"] == signature
    assert parse_base64(signature, what="signature")
    assert (client.folder / "a.crt").read_text().startswith("-----BEGIN CERTIFICATE-----\n")


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_key_pair(client: Client, monkeypatch: pytest.MonkeyPatch, version: str):
    monkeypatch.setenv("COSIGN_PASSWORD", "secret")
    client("generate-key-pair", trust=False)
    client("sign-blob", "a.txt", "--key", "cosign.key", "--rekor-version", version)
    client("verify-blob", "a.txt", "--key", "cosign.pub")
    client("verify-blob", "a.txt", *client.who, code=1)
    client("attest-blob", "b.txt", "--key", "cosign.key", "--predicate", predicate(client), "--rekor-version", version)
    client("verify-blob-attestation", "b.txt", "--key", "cosign.pub", "--type", "custom")
    (client.folder / "a.txt").write_text("changed\n")
    client("verify-blob", "a.txt", "--key", "cosign.pub", code=1)


def predicate(client: Client) -> Path:
    path = client.folder / "predicate.json"
    path.write_text('{"ok": true}')
    return path


def test_a_statement_is_signed_as_it_stands(client: Client):
    client("attest-blob", "a.txt", "--predicate", predicate(client), *client.token(), "--bundle", "first.json")
    envelope = json.loads((client.folder / "first.json").read_bytes())["dsseEnvelope"]
    statement = parse_base64(envelope["payload"], what="payload")
    (client.folder / "statement.json").write_bytes(statement)
    client("attest-blob", "a.txt", "--statement", "statement.json", *client.token(), "--bundle", "second.json")
    again = json.loads((client.folder / "second.json").read_bytes())["dsseEnvelope"]
    assert again["payload"] == envelope["payload"]
    client("verify-blob-attestation", "a.txt", "--bundle", "second.json", *client.who, "--type", "custom")
    other = ("attest-blob", "b.txt", "--statement", "statement.json", *client.token(), "--bundle", "third.json")
    assert "is not about b.txt" in client(*other, code=2).stderr
    assert not (client.folder / "third.json").exists()


def test_the_protocol_of_the_conformance_suite(client: Client):
    root, config = client.trust[:2], client.trust[2:]
    sign = ("conformance", "sign-bundle", *client.token(), *root, *config)
    client(*sign, "--bundle", "a.json", "a.txt", trust=False)
    verify = ("conformance", "verify-bundle", *client.who, *root)
    client(*verify, "--bundle", "a.json", "a.txt", trust=False)
    client(*verify, "--bundle", "a.json", "b.txt", trust=False, code=1)
    client("attest-blob", "a.txt", "--predicate", predicate(client), *client.token(), "--bundle", "made.json")
    payload = json.loads((client.folder / "made.json").read_bytes())["dsseEnvelope"]["payload"]
    (client.folder / "statement.json").write_bytes(parse_base64(payload, what="payload"))
    client(*sign, "--in-toto", "--bundle", "s.json", "statement.json", trust=False)
    client(*verify, "--bundle", "s.json", "a.txt", trust=False)
    client(*verify, "--bundle", "s.json", "b.txt", trust=False, code=1)


def test_a_service_that_refuses_leaves_nothing_behind(client: Client):
    done = client("sign-blob", "a.txt", "--identity-token", "a.e30.c", code=2)
    assert "iss is missing" in done.stderr
    expired = client.stack.token(ALICE)[:-4] + "AAAA"
    client("sign-blob", "a.txt", "--identity-token", expired, code=3)
    assert sorted(path.name for path in client.folder.iterdir()) == ["a.txt", "b.txt"]


def test_a_service_that_is_not_there(client: Client, tmp_path: Path):
    url = f"http://127.0.0.1:{free_port()}"
    config = json.loads(Path(client.trust[3]).read_bytes())
    config["caUrls"][0]["url"] = url
    (tmp_path / "away.json").write_text(json.dumps(config))
    trust = (*client.trust[:2], "--signing-config", "away.json")
    done = client("sign-blob", "a.txt", *client.token(), *trust, trust=False, code=4)
    assert url in done.stderr
