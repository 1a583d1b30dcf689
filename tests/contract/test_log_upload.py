# SPDX-License-Identifier: Apache-2.0
"""``sigbox log upload`` and what the other actions of ``sigbox log`` learned with it: ``--subject``, ``--operator``, ``--retry``."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from sigcore import keys
from sigcore.strict import encode_base64
from tests.ports import free_port
from tests.stack_process import RunningStack, sigbox

EMAIL = "uploader@example.com"


class Client:
    """Somebody with a key and a file, and a signature of it that no log knows."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        key = keys.generate_p256()
        content = folder.name.encode()
        (folder / "file").write_bytes(content)
        (folder / "key.pub").write_text(keys.encode_public_key_pem(key.public_key()))
        self.digest = hashlib.sha256(content).hexdigest()
        signature = keys.sign_digest(key, bytes.fromhex(self.digest))
        (folder / "raw").write_bytes(signature)
        (folder / "base64").write_text(encode_base64(signature) + "\n")
        self.variables = {"SIGBOX_TRUST_CONFIG": str(stack.trust_config), "SIGBOX_STATE": str(folder / "state")}

    def log(self, *arguments: str, code: int = 0, **extra: str) -> subprocess.CompletedProcess[str]:
        done = sigbox("log", *arguments, cwd=self.folder, **self.variables, **extra)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def json(self, *arguments: str) -> dict:
        return json.loads(self.log(*arguments, "--json").stdout)


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


# --- upload ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_signature_is_logged_and_again_it_is_there_already(client: Client, version: str):
    which = ("--public-key", "key.pub", "--rekor-version", version)
    first = client.json("upload", "--artifact", "file", "--signature", "raw", *which)
    assert first["alreadyExists"] is False
    assert first["kind"] == ("hashedrekord 0.0.1" if version == "1" else "hashedrekord 0.0.2")
    assert (first["uuid"] is None, first["integratedTime"] is None) == (version == "2", version == "2")
    again = client.json("upload", "--artifact", f"sha256:{client.digest}", "--signature", "base64", *which)
    assert again == first | {"alreadyExists": True}
    told = client.log("upload", "--artifact", "file", "--signature", "raw", *which).stdout
    assert f"the log has it already: entry {first['logIndex']} " in told
    entry = client.json("entry", str(first["logIndex"]), "--rekor-version", version)
    assert entry["leafHash"] == first["leafHash"]
    if version == "1":
        assert client.json("entry", first["uuid"], "--rekor-version", "1")["index"] == first["logIndex"]
    found = client.json("search", "--artifact", "file", "--rekor-version", version)["entries"]
    assert [one["index"] for one in found] == [first["logIndex"]]


def test_what_was_signed_with_an_identity_is_there_already(client: Client, stack: RunningStack):
    signed = sigbox(
        *("sign-blob", "file", "--identity-token", stack.token(EMAIL), "--rekor-version", "1"),
        *("--output-signature", "sig", "--output-certificate", "cert.pem"),
        cwd=client.folder,
        **client.variables,
    )
    assert signed.returncode == 0, signed.stderr
    call = ("upload", "--artifact", "file", "--signature", "sig", "--certificate", "cert.pem", "--rekor-version")
    assert client.json(*call, "1")["alreadyExists"] is True
    assert client.json(*call, "2")["alreadyExists"] is False


def test_a_signature_that_does_not_hold_is_shown_to_no_log(client: Client):
    (client.folder / "other").write_text("another file")
    nowhere = ("--rekor-url", f"http://127.0.0.1:{free_port()}")
    call = ("upload", "--artifact", "other", "--signature", "raw", "--public-key", "key.pub")
    assert "signature" in client.log(*call, *nowhere, code=1).stderr
    call = ("upload", "--artifact", "file", "--signature", "raw", "--public-key", "key.pub")
    client.log(*call, *nowhere, code=4)
    assert "--public-key" in client.log("upload", "--artifact", "file", "--signature", "raw", code=2).stderr
    client.log("upload", "--artifact", "absent", "--signature", "raw", "--public-key", "key.pub", code=2)
    client.log("upload", "--artifact", "file", "--signature", "raw", "--public-key", "absent", code=2)


# --- search ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_subject_is_found_and_one_of_several_things_is_enough(client: Client, stack: RunningStack, version: str):
    name = f"https://ci.example.com/Release/{version}"
    token = sigbox("token", "--data", stack.data, "--subject", name).stdout.strip()
    which = ("--rekor-version", version)
    signed = sigbox("sign-blob", "file", "--identity-token", token, *which, cwd=client.folder, **client.variables)
    assert signed.returncode == 0, signed.stderr
    client.log("upload", "--artifact", "file", "--signature", "raw", "--public-key", "key.pub", *which)
    (by_name,) = client.json("search", "--subject", name, *which)["entries"]
    (by_key,) = client.json("search", "--public-key", "key.pub", *which)["entries"]
    assert by_name["signers"][0]["identities"] == [name]
    assert by_key["index"] == by_name["index"] + 1
    both = ("search", "--subject", name, "--public-key", "key.pub", *which)
    assert client.json(*both)["entries"] == []
    assert client.json(*both, "--operator", "and")["entries"] == []
    assert client.json(*both, "--operator", "or")["entries"] == [by_key, by_name]
    assert client.json(*both, "--operator", "or", "--limit", "1") == {"entries": [by_key], "more": True}
    assert client.json("search", "--subject", f"{name}/other", *which)["entries"] == []
    assert "--operator" in client.log("search", "text", "--subject", name, "--operator", "or", code=2).stderr


# --- asking --------------------------------------------------------------------------------------------
def test_retry_and_timeout_are_bounded_and_a_log_that_is_away_is_4(client: Client):
    url = ("--rekor-url", f"http://127.0.0.1:{free_port()}")
    client.log("info", *url, "--retry", "1", "--timeout", "5", code=4)
    for wrong in (("--retry", "-1"), ("--retry", "11"), ("--timeout", "0"), ("--timeout", "nan"), ("--timeout", "601")):
        assert wrong[0] in client.log("info", *wrong, code=2).stderr
    assert client.json("info", "--retry", "3", "--timeout", "60")["generation"] == 2
