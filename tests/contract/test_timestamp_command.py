# SPDX-License-Identifier: Apache-2.0
"""``sigbox timestamp`` against a running stack and `openssl ts`: what is made verifies, and what was changed does not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sigcore import timestamp
from tests.missing import needs
from tests.ports import free_port
from tests.stack_process import RunningStack, environment, running_stack, sigbox

CONTENT = b"released\n"


class Client:
    """Somebody with a file, who trusts the stack."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "release"
        self.file.write_bytes(CONTENT)
        self.trust = {"SIGBOX_TRUST_CONFIG": str(stack.trust_config)}
        self.nothing = {"SIGBOX_TUF": "/nonexistent", "TUF_ROOT": "/nonexistent", "HOME": str(folder)}

    def call(
        self, action: str, *arguments: str | Path, code: int = 0, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        done = sigbox("timestamp", action, *arguments, cwd=self.folder, **(extra or self.trust))
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def json(self, action: str, *arguments: str | Path, code: int = 0, **extra: str) -> dict:
        return json.loads(self.call(action, *arguments, "--json", code=code, **extra).stdout)


@pytest.fixture
def client(stack: RunningStack, tmp_path: Path) -> Client:
    return Client(stack, tmp_path)


def chain(stack: RunningStack, folder: Path) -> Path:
    with urllib.request.urlopen(f"{stack.url}/api/v1/timestamp/certchain") as answer:
        (folder / "chain.pem").write_bytes(answer.read())
    return folder / "chain.pem"


# --- create and verify -------------------------------------------------------------------------------
def test_a_file_is_timestamped_and_verified_and_each_check_is_told(client: Client):
    made = client.json("create", "release")
    assert made["timestamp"] == "release.tsr"
    assert [one["check"] for one in made["checks"]] == ["artifact", "nonce", "signature", "chain", "time"]
    verified = client.json("verify", "release")
    assert verified["verified"]
    assert (verified["time"], verified["timestamp"]) == (made["time"], "release.tsr")
    assert [one["check"] for one in verified["checks"]] == ["artifact", "signature", "chain", "time"]
    assert verified["checks"][0]["value"] == hashlib.sha256(CONTENT).hexdigest()
    assert "Verified OK release" in client.call("verify", "release").stderr


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_a_digest_is_timestamped_as_the_file_that_is_elsewhere(client: Client, name: str):
    digest = f"{name}:{hashlib.new(name, CONTENT).hexdigest()}"
    client.call("create", digest, "--out", "elsewhere.tsr")
    client.call("verify", "release", "--timestamp", "elsewhere.tsr")
    client.call("verify", digest, "--timestamp", "elsewhere.tsr")
    assert client.json("inspect", "elsewhere.tsr")["digest"] == digest.partition(":")[2]
    client.call("create", "release", "--hash", name, "--out", "here.tsr")
    client.call("verify", digest, "--timestamp", "here.tsr")


def test_a_changed_file_another_hash_and_a_damaged_timestamp_are_refused_with_1(client: Client):
    client.call("create", "release")
    data = (client.folder / "release.tsr").read_bytes()
    for number, damaged in enumerate((data[:-1] + bytes((data[-1] ^ 1,)), data[:-40], b"no timestamp")):
        (client.folder / f"{number}.tsr").write_bytes(damaged)
        told = client.json("verify", "release", "--timestamp", f"{number}.tsr", code=1)
        assert told["verified"] is False
        assert told["error"]
    other = "sha512:" + hashlib.sha512(CONTENT).hexdigest()
    assert "made over sha256" in client.call("verify", other, "--timestamp", "release.tsr", code=1).stderr
    client.file.write_bytes(b"released!\n")
    done = client.call("verify", "release", code=1)
    assert "for another file" in done.stderr
    assert hashlib.sha256(CONTENT).hexdigest() in done.stderr


def test_policy_and_nonce_must_be_the_expected_ones(client: Client):
    client.call("create", "release", "--policy", "1.3.6.1.4.1.57264.2")
    fields = client.json("inspect", "release.tsr")
    names = [
        one["check"]
        for one in client.json("verify", "release", "--policy", fields["policy"], "--nonce", f"0x{fields['nonce']}")[
            "checks"
        ]
    ]
    assert names[:3] == ["artifact", "nonce", "policy"]
    assert "nonce" in client.call("verify", "release", "--nonce", "1", code=1).stderr
    assert "policy" in client.call("verify", "release", "--oid", "1.2.3", code=1).stderr
    assert "--nonce" in client.call("verify", "release", "--nonce", "many", code=2).stderr
    assert "--policy" in client.call("verify", "release", "--policy", "mine", code=2).stderr


def test_what_the_authority_refuses_is_3_and_writes_nothing(client: Client):
    done = client.call("create", "release", "--policy", "1.2.3.4", code=3)
    assert "unacceptedPolicy" in done.stderr
    done = client.call("create", "release", "--timestamp-server", (place := f"http://127.0.0.1:{free_port()}"), code=4)
    assert place in done.stderr
    assert [one.name for one in client.folder.iterdir()] == ["release"]


def test_a_timestamp_by_an_authority_that_is_not_trusted_is_not_written(client: Client, stack: RunningStack, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    with running_stack(folder, "--ephemeral", "--control") as other:
        done = client.call("create", "release", "--timestamp-server", other.url, code=1)
        assert "is not the trusted authority's" in done.stderr
        assert not (client.folder / "release.tsr").exists()
        pem = chain(other, client.folder)
        client.call("create", "release", "--timestamp-server", other.url, "--certificate-chain", pem)
        client.call("verify", "release", "--certificate-chain", pem, **client.nothing)
        client.call("verify", "release", code=1)


@contextmanager
def answering(body: bytes) -> Iterator[str]:
    """An authority that says the same to everybody; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/tsa"
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_that_is_not_the_one_that_was_asked_for_is_not_written(client: Client):
    client.call("create", "release", "--out", "old.tsr")
    client.call("create", "release", "--no-nonce", "--out", "bare.tsr")
    (client.folder / "other").write_bytes(b"another file")
    old, bare = ((client.folder / name).read_bytes() for name in ("old.tsr", "bare.tsr"))
    rejected = timestamp.encode_rejected(timestamp.FailureInfo.SYSTEM_FAILURE, "not today")
    cases = (
        (old, ("release",), 1, "nonce"),
        (old, ("other", "--no-nonce"), 1, "another file"),
        (bare, ("release", "--no-nonce", "--policy", "1.2.3"), 1, "policy"),
        (bare[:-1] + bytes((bare[-1] ^ 1,)), ("release", "--no-nonce"), 1, "signature"),
        (b"<html>", ("release",), 3, "/tsa gave another answer than such a service does"),
        (rejected, ("release",), 3, "systemFailure"),
    )
    for body, arguments, code, said in cases:
        with answering(body) as url:
            for trust in (client.trust, client.nothing):
                done = client.call(
                    "create", *arguments, "--out", "new.tsr", "--timestamp-server", url, code=code, **trust
                )
                assert said in done.stderr or "message imprint" in done.stderr
                assert not list(client.folder.glob("*new.tsr*"))
    with answering(bare) as url:
        client.call("create", "release", "--no-nonce", "--timestamp-server", url)
    client.call("verify", "release")


def test_verifying_loads_nothing_that_opens_sockets(client: Client):
    client.call("create", "release")
    program = (
        "import sys; from stack.cli import main; code = main(sys.argv[1:]); sys.exit(code or 'aiohttp' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "timestamp", "verify", "release"],
        check=False,
        cwd=client.folder,
        env=environment(**client.trust),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_who_trusts_nobody_is_told_so(client: Client, stack: RunningStack):
    made = client.call("create", "release", "--timestamp-server", stack.url, **client.nothing)
    assert "nobody says whether to believe" in made.stderr
    client.call("verify", "release")
    done = client.call("verify", "release", code=2, **client.nothing)
    assert "nothing to trust" in done.stderr
    bare = ("create", "release", "--timestamp-server", stack.url, "--no-certificate")
    assert "embeds 0 certificates" in client.call(*bare, code=1, **client.nothing).stderr
    assert (
        "no timestamp authority is known"
        in client.call("create", "release", code=2, SIGBOX_TRUSTED_ROOT=str(stack.trusted_root)).stderr
    )


def test_command_lines_that_cannot_be_meant_are_2(client: Client):
    digest = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert "--out" in client.call("create", digest, code=2).stderr
    assert "--timestamp" in client.call("verify", digest, code=2).stderr
    assert "leave --hash out" in client.call("create", digest, "--out", "o", "--hash", "sha512", code=2).stderr
    assert "absent" in client.call("create", "absent", code=2).stderr
    assert "release.tsr" in client.call("verify", "release", code=2).stderr
    (client.folder / "no.pem").write_text("no chain")
    client.call("create", "release")
    client.call("verify", "release", "--certificate-chain", "no.pem", code=2)


# --- inspect -----------------------------------------------------------------------------------------
def test_every_field_is_shown(client: Client):
    client.call("create", "release")
    fields = client.json("inspect", "release.tsr")
    assert fields["hash"] == "SHA2_256"
    assert fields["digest"] == hashlib.sha256(CONTENT).hexdigest()
    assert fields["ordering"] is False
    assert fields["accuracyMicroseconds"] == 1_000_000
    (leaf,) = [one for one in fields["certificates"] if one["serial"] == fields["signer"]["serial"]]
    assert leaf["extendedKeyUsage"] == ["1.3.6.1.5.5.7.3.8"]
    text = client.call("inspect", "release.tsr").stdout
    for name in ("time", "serial", "policy", "hash", "digest", "nonce", "accuracyMicroseconds", "ordering", "signer"):
        assert f"{name}: " in text or f"{name}:\n" in text
    assert fields["nonce"] in text
    client.call("create", "release", "--no-nonce", "--no-certificate")
    bare = client.json("inspect", "release.tsr")
    assert (bare["nonce"], bare["certificates"]) == (None, [])
    client.call("verify", "release")
    assert "cannot be read" in client.call("inspect", "absent.tsr", code=2).stderr
    client.call("inspect", "release", code=2)


# --- openssl -----------------------------------------------------------------------------------------
def openssl(folder: Path, *arguments: str | Path) -> str:
    done = subprocess.run(["openssl", "ts", *arguments], check=False, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs("openssl", "openssl")
def test_openssl_verifies_ours_and_we_verify_what_openssl_asked_for(client: Client, stack: RunningStack):
    pem = chain(stack, client.folder)
    for more in ((), ("--no-nonce",), ("--no-certificate",), ("--hash", "sha512")):
        client.call("create", "release", *more)
        told = openssl(
            client.folder, "-verify", "-in", "release.tsr", "-data", "release", "-CAfile", pem, "-untrusted", pem
        )
        assert "OK" in told
    openssl(client.folder, "-query", "-data", "release", "-sha384", "-cert", "-out", "query")
    query = urllib.request.Request(
        f"{stack.url}/api/v1/timestamp",
        (client.folder / "query").read_bytes(),
        {"Content-Type": "application/timestamp-query"},
    )
    with urllib.request.urlopen(query) as answer:
        (client.folder / "theirs.tsr").write_bytes(answer.read())
    client.call("verify", "release", "--timestamp", "theirs.tsr")
    fields = client.json("inspect", "theirs.tsr")
    text = openssl(client.folder, "-reply", "-in", "theirs.tsr", "-text")
    told = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    for ours, theirs in (("serial", "Serial number"), ("nonce", "Nonce")):
        assert int(told[theirs], 16) == int(fields[ours], 16)  # openssl writes whole bytes
    assert told["Policy OID"] == fields["policy"]
