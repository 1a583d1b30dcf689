# SPDX-License-Identifier: Apache-2.0
"""``--json`` gives one document on standard output, whatever the command does, and whether it can do it or not."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

from stack.cli import main
from stack.cli.table import COMMANDS
from tests.stack_process import sigbox

WITHOUT: Final[Mapping[str, str]] = {
    "up": "serves until it is ended; --ready-file is its document",
    "serve": "serves until it is ended; --ready-file is its document",
    "token": "prints a token, which is taken as it is",
    "policy export": "prints a document of another program's format",
    "public-key": "prints a key in PEM, which is taken as it is",
    "bundle create": "prints a bundle, which is JSON already",
    "bundle upgrade": "prints a bundle, which is JSON already",
    "pypi convert": "prints a bundle or an attestation, which are JSON already",
    "npm shim": "prints a file for Node, which is taken as it is",
    "trusted-root create": "prints a trusted root, which is JSON already",
    "signing-config create": "prints a signing config, which is JSON already",
    "conformance": "speaks another project's protocol: the exit code is the answer",
    "demo": "explains to people",
    "completion": "prints a script for a shell",
}
"""Commands and actions that have no ``--json``, and why."""
POLICY: Final = {
    "apiVersion": "policy/v1",
    "expires": "2099-12-31",
    "identities": {"alice": {"issuer": "http://localhost:7780/auth", "email": "alice@example.com"}},
    "artifacts": [{"match": {"file": "*.txt"}, "allow": ["alice"], "anyName": True}],
}


def leaves(parser: argparse.ArgumentParser, path: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command line that does something: a command, or the actions of one."""
    actions = next((one for one in parser._actions if isinstance(one, argparse._SubParsersAction)), None)
    if actions is None:
        yield path, parser
        return
    for name, inner in actions.choices.items():
        yield from leaves(inner, f"{path} {name}")


def every_leaf() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for name, command in COMMANDS.items():
        parser = argparse.ArgumentParser()
        import_module(command.module).add_arguments(parser)
        yield from leaves(parser, name)


def test_every_command_answers_in_json_or_says_here_why_not():
    lacking = {path for path, parser in every_leaf() if "--json" not in parser._option_string_actions}
    assert lacking == set(WITHOUT)


@pytest.mark.parametrize("path", [path for path, _ in every_leaf() if path not in WITHOUT])
def test_a_wrong_command_line_with_json_is_one_document(path: str, capsys: pytest.CaptureFixture[str]):
    assert main([*path.split(), "--json", "--no-such-option"]) == 2
    told = capsys.readouterr()
    assert json.loads(told.out).keys() == {"error", "hint", "exitCode"}
    assert json.loads(told.out)["error"] in told.err


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


@pytest.mark.parametrize(
    "words",
    [
        ("user", "add", "--email", "bob@example.com", "--password-file", "password"),
        ("client", "add", "load", "--subject", "https://ci.example.com/load"),
        ("issuer", "add", "https://twice.example.com", "--kind", "email"),
    ],
    ids=lambda words: words[0],
)
def test_what_is_there_already_is_a_wrong_command_line(data: Path, words: tuple[str, ...]):
    line = [str(data.parent / word) if word == "password" else word for word in words]
    answer(*line, "--data", data)
    again = answer(*line, "--data", data, code=2)
    assert ("already" in str(again["error"]), f"sigbox {words[0]} " in str(again["hint"])) == (True, True)


def test_key_pairs(data: Path):
    prefix = data.parent / "release"
    pair = {"privateKey": f"{prefix}.key", "publicKey": f"{prefix}.pub"}
    assert answer("generate-key-pair", "--output-key-prefix", prefix) == pair
    assert answer("generate-key-pair", "--output-key-prefix", prefix, code=2)["exitCode"] == 2
    assert answer("import-key-pair", "--key", data / "ca" / "nothing.key", code=2)["exitCode"] == 2


def test_issuers_come_and_go(data: Path):
    url = "https://idp.corp.example"
    added = answer("issuer", "add", url, "--kind", "email", "--data", data)
    assert added == {"action": "add", "issuers": [url]}
    assert url in {row["issuer"] for row in answer("issuer", "list", "--data", data)["issuers"]}
    assert answer("issuer", "remove", url, "--data", data) == {"action": "remove", "issuers": [url]}
    assert answer("issuer", "remove", url, "--data", data, code=2)["exitCode"] == 2


def test_the_head_of_the_record_is_what_verify_takes(data: Path):
    told = answer("audit", "head", "--data", data)
    assert told.keys() == {"entries", "head"}
    kept = data.parent / "head.txt"
    kept.write_text(str(told["head"]))
    assert answer("audit", "verify", "--head", kept, "--data", data)["entries"] == told["entries"]
    assert sigbox("audit", "head", "--data", data).stdout == told["head"]


def test_a_policy_is_published(data: Path):
    policy = data.parent / "policy.json"
    policy.write_text(json.dumps(POLICY))
    published = answer("trust", "policy", policy, "--data", data)
    file = data / "public" / "policy.json"
    assert published["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (published["mirror"], published["target"]) == ("http://localhost:7780/tuf", "policy.json")
    assert published["expires"] == "2100-01-01T00:00:00Z"
    assert "policy" in published["signed"]
    assert answer("trust", "policy", policy, "--data", data)["signed"] == []
    policy.write_text("{}")
    assert answer("trust", "policy", policy, "--data", data, code=2)["exitCode"] == 2


def test_what_a_newcomer_gets_wrong_is_told_with_what_to_do(data: Path):
    trust = ("--trust-config", data / "public" / "trust_config.json")
    directory = answer("sign-blob", data, *trust, code=2)
    assert (directory["error"], directory["hint"]) == (
        f"{data} is a directory, expected files",
        f"name the files in it: {data}/*",
    )
    assert "--at is 'yesterday'" in str(answer("issuer", "test", "x", "--at", "yesterday", "--data", data, code=2))
    wrong = answer("issuer", "add", "nonsense", "--kind", "email", "--data", data, code=2)
    assert str(wrong["error"]).startswith("issuer 'nonsense': ")
    assert answer("trust", "policy", data / "none", "--data", data, code=2)["hint"]
