# SPDX-License-Identifier: Apache-2.0
"""``sigbox log watch --ct``: the certificate log of a stack, followed from outside."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.stack_process import RunningStack, sigbox

EMAIL = "issued@example.com"


class Client:
    """Somebody who follows the certificate log, with a state of his own."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.variables = {"SIGBOX_TRUST_CONFIG": str(stack.trust_config), "SIGBOX_STATE": str(folder / "state")}

    def watch(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = sigbox("log", "watch", "--once", *arguments, **self.variables)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def matches(self, *arguments: str) -> list[dict]:
        return [json.loads(line) for line in self.watch(*arguments, "--json").stdout.splitlines()]

    def sign(self, email: str) -> None:
        (self.folder / "file").write_text(email)
        token = self.stack.token(email)
        done = sigbox("sign-blob", self.folder / "file", "--identity-token", token, **self.variables)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


def test_a_certificate_for_a_name_is_told_once_and_the_heads_are_held_together(client: Client, stack: RunningStack):
    who = ("--ct", "--identity", "issued@*")
    client.sign("before@example.com")
    assert client.matches(*who) == []  # from now on
    client.sign(EMAIL)
    client.sign("other@example.com")
    told = client.watch(*who)
    assert "2 new entries, the history holds" in told.stderr
    assert EMAIL in told.stdout
    assert "precertificate" in told.stdout
    assert client.matches(*who) == []
    (match,) = client.matches(*who, "--from", "0", "--name", "second")
    assert match["kind"] == "precertificate"
    assert match["integratedTime"]
    (signer,) = match["signers"]
    assert signer["identities"] == [EMAIL]
    assert signer["issuer"] == stack.oidc_issuer
    named = ("--ct", stack.url, "--name", "third", "--from", str(match["index"]))
    assert client.matches(*named, "--certificate-identity", EMAIL) == [match]
    assert client.matches(*named[:2], "--name", "fourth", "--from", "0", "--fingerprint", signer["keySha256"]) == [
        match
    ]


def test_a_head_that_was_never_shown_is_no_memory_and_rekor_is_another_log(client: Client):
    client.watch("--ct")
    (file,) = (client.folder / "state").glob("logs/*.checkpoint")
    head = json.loads(file.read_text())
    assert sorted(head) == ["sha256_root_hash", "timestamp", "tree_head_signature", "tree_size"]
    file.write_text(json.dumps(head | {"tree_size": head["tree_size"] + 5}))
    assert "tree head" in client.watch("--ct", code=1).stderr
    assert "--ct" in client.watch("--ct", "--rekor-version", "2", code=2).stderr
    assert "no certificate log" in client.watch("--ct", "--log-id", "00ff", code=2).stderr
