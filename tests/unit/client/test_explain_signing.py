# SPDX-License-Identifier: Apache-2.0
"""``--explain`` of the signing commands: every line is executed, and the token is not given away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from client.transport import Response
from sigcore import keys
from sigcore.signing_config import encode_trust_config
from sigcore.strict import encode_base64url
from stack.cli import main
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniTransport, statement_about
from tests.unit.client.test_explain import repeat

CERTIFIED = ["token", "key", "proof of possession", "precertificate", "SCT", "certificate", "identity"]
LOGGED = ["entry", "leaf hash", "path", "checkpoint"]
SECRET = "c2VjcmV0"
TOKEN = ".".join(
    encode_base64url(json.dumps(part).encode())
    for part in ({"alg": "RS256"}, {"iss": ISSUER, "sub": "s", "email": EMAIL})
)


class Opened(MiniTransport):
    """The transport as the command opens it."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


@pytest.fixture
def folder(sigstore, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("stack.cli.signing.AiohttpTransport", lambda **_: Opened(sigstore))
    Path("trust.json").write_bytes(encode_trust_config(sigstore.root, sigstore.config))
    Path("file").write_bytes(ARTIFACT)
    Path("statement").write_bytes(statement_about(ARTIFACT))
    Path("predicate").write_text("{}")
    Path("key").write_bytes(keys.encode_private_key(keys.generate_p256()))
    return tmp_path


BY_TOKEN = ("--identity-token", f"{TOKEN}.{SECRET}")


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        (("sign-blob", "file", *BY_TOKEN), [*CERTIFIED, "digest", "signature", "timestamp", *LOGGED]),
        (
            ("sign-blob", "file", *BY_TOKEN, "--rekor-version", "1"),
            [*CERTIFIED, "digest", "signature", "timestamp", "promise", *LOGGED],
        ),
        (("sign-blob", "file", "--key", "key"), ["key", "digest", "signature", "timestamp", *LOGGED]),
        (
            ("attest-blob", "file", "--predicate", "predicate", *BY_TOKEN),
            [*CERTIFIED, "digest", "signature", "timestamp", *LOGGED],
        ),
        (
            ("attest-blob", "--statement", "statement", *BY_TOKEN),
            [*CERTIFIED, "digest", "signature", "timestamp", *LOGGED],
        ),
    ],
)
def test_each_step_of_a_signing_can_be_repeated(folder, capsys, command, steps):
    assert main([*command, "--trust-config", "trust.json", "--explain=json"]) == 0
    out = capsys.readouterr().out
    (row,) = json.loads(out)
    assert [step["name"] for step in row["steps"]] == steps
    for step in row["steps"]:
        assert step["lines"]
        for line in step["lines"]:
            done = repeat(line, row["folder"])
            assert done.returncode == 0, (line, done.stderr)
    assert SECRET not in out
    for file in Path(row["folder"]).iterdir():
        assert SECRET.encode() not in file.read_bytes(), file.name


def test_text(folder, capsys):
    assert main(["sign-blob", "file", *BY_TOKEN, "--trust-config", "trust.json", "--explain"]) == 0
    out, err = capsys.readouterr()
    assert " 3. proof of possession: holds" in out
    assert err.startswith("signed file -> ")
    assert SECRET not in out + err


def test_the_folder_is_looked_at_before_anything_is_asked(folder, capsys):
    done = main(["sign-blob", "file", *BY_TOKEN, "--trust-config", "trust.json", "--explain", "--explain-dir", "."])
    assert done == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["sign-blob", "file", *BY_TOKEN, "--trust-config", "trust.json", "--explain-dir", "new"]) == 2
    assert not Path("file.sigstore.json").exists()


@pytest.mark.parametrize(
    ("path", "shown", "step"),
    [
        ("/api/v2/signingCert", ["token"], "certificate"),
        ("/api/v1/timestamp", ["token", "proof of possession"], "timestamp"),
        ("/api/v2/log/entries", ["token", "proof of possession"], "entry"),
    ],
)
def test_a_service_that_refuses_is_explained_at_its_step(folder, sigstore, capsys, monkeypatch, path, shown, step):
    class Refusing(Opened):
        async def request(self, method, url, **given):
            if url.endswith(path):
                return Response(400, b'{"code":3,"message":"not today"}')
            return await super().request(method, url, **given)

    monkeypatch.setattr("stack.cli.signing.AiohttpTransport", lambda **_: Refusing(sigstore))
    command = ["sign-blob", "file", *BY_TOKEN, "--trust-config", "trust.json"]
    assert main([*command, "--explain=json"]) == 3
    (row,) = json.loads(capsys.readouterr().out)
    assert [part["name"] for part in row["steps"]] == [*shown, step]
    assert [part["holds"] for part in row["steps"]] == [True] * len(shown) + [False]
    assert "not today" in row["steps"][-1]["found"]
    assert "not today" in row["error"]
    for part in row["steps"][:-1]:
        for line in part["lines"]:
            assert repeat(line, row["folder"]).returncode == 0
    assert not Path("file.sigstore.json").exists()
    assert main([*command, "--explain"]) == 3
    out, err = capsys.readouterr()
    assert f" {len(shown) + 1}. {step}: REFUSED" in out
    assert "not today" in err
    assert SECRET not in out + err


def test_of_several_files_those_that_were_signed_before_one_is_refused_are_told(folder, sigstore, capsys, monkeypatch):
    class Tired(Opened):
        async def request(self, method, url, **given):
            if url.endswith("/api/v2/log/entries") and any(path == urlsplit(url).path for path, *_ in self.seen):
                return Response(400, b'{"code":3,"message":"not today"}')
            return await super().request(method, url, **given)

    monkeypatch.setattr("stack.cli.signing.AiohttpTransport", lambda **_: Tired(sigstore))
    Path("other").write_bytes(b"another one")
    assert main(["sign-blob", "file", "other", "last", *BY_TOKEN, "--trust-config", "trust.json", "--json"]) == 2
    assert not Path("file.sigstore.json").exists()
    Path("last").write_bytes(b"the last one")
    capsys.readouterr()
    assert main(["sign-blob", "file", "other", "last", *BY_TOKEN, "--trust-config", "trust.json", "--json"]) == 3
    out, err = capsys.readouterr()
    signed, refused = json.loads(out)
    assert (signed["file"], signed["bundle"]) == ("file", "file.sigstore.json")
    assert (refused["file"], "not today" in refused["error"], "hint" in refused) == ("other", True, True)
    assert "not today" in err
    assert [path.name for path in folder.glob("*.sigstore.json")] == ["file.sigstore.json"]


def test_a_signing_config_without_a_service_is_explained(folder, sigstore, capsys):
    config = replace(sigstore.config, rekor=())
    Path("trust.json").write_bytes(encode_trust_config(sigstore.root, config))
    assert main(["sign-blob", "file", "--key", "key", "--trust-config", "trust.json", "--explain"]) == 3
    assert " 1. services: REFUSED" in capsys.readouterr().out
