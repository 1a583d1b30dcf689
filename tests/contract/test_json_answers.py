# SPDX-License-Identifier: Apache-2.0
"""``--json`` gives one document on standard output, whatever the command does, and whether it can do it or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.stack_process import sigbox


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("json") / "data"
    assert sigbox("init", "--data", data, "--json").returncode == 0
    (data.parent / "password").write_text("correct horse battery\n")
    return data


def answer(*arguments: str | Path, code: int = 0) -> dict[str, object]:
    done = sigbox(*arguments, "--json", COSIGN_PASSWORD="")
    assert done.returncode == code, (done.stdout, done.stderr)
    document = json.loads(done.stdout)
    assert isinstance(document, dict)
    return document


def test_accounts_and_machines(data: Path):
    who = ("--email", "alice@example.com", "--data", data)
    added = answer("user", "add", *who, "--password-file", data.parent / "password")
    assert added == {"action": "add", "email": "alice@example.com"}
    assert answer("user", "disable", *who)["action"] == "disable"
    assert answer("user", "totp", *who).keys() == {"email", "secret", "address"}
    assert answer("user", "totp", "--off", *who)["action"] == "totp"
    assert answer("user", "remove", *who)["action"] == "remove"
    assert answer("user", "remove", *who, code=2)["exitCode"] == 2
    machine = answer("client", "add", "release", "--subject", "https://ci.example.com/release", "--data", data)
    again = answer("client", "secret", "release", "--data", data)
    assert machine["secret"] != again["secret"]
    assert answer("client", "remove", "release", "--data", data) == {"action": "remove", "name": "release"}


def test_key_pairs(data: Path):
    prefix = data.parent / "release"
    pair = {"privateKey": f"{prefix}.key", "publicKey": f"{prefix}.pub"}
    assert answer("generate-key-pair", "--output-key-prefix", prefix) == pair
    assert answer("generate-key-pair", "--output-key-prefix", prefix, code=2)["exitCode"] == 2
    assert answer("import-key-pair", "--key", data / "ca" / "nothing.key", code=2)["exitCode"] == 2
