# SPDX-License-Identifier: Apache-2.0
"""``sigbox up`` as a user and as a program sees it: the ready file, the routes, the guards, the end."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox, start_stack
from tests.until import wait_until

READY_KEYS = {
    "url", "pid", "data", "trusted_root", "signing_config", "trust_config", "tuf_root", "tuf_mirror", "oidc_issuer",
}  # fmt: skip


@pytest.fixture(scope="module")
def ephemeral(tmp_path_factory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("ephemeral"), "--ephemeral", "--control", forked=False) as stack:
        yield stack


def fetch(
    stack: RunningStack, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(stack.url + path, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


# --- ready -------------------------------------------------------------------------------------------
def test_the_ready_file_names_everything_a_client_needs(ephemeral):
    ready = json.loads((ephemeral.log.parent / "ready.json").read_bytes())
    assert set(ready) >= READY_KEYS
    assert ready["pid"] == ephemeral.process.pid
    for name in ("data", "trusted_root", "signing_config", "trust_config", "tuf_root"):
        assert Path(ready[name]).is_absolute()
        assert Path(ready[name]).exists()


def test_every_role_answers_on_the_one_origin(ephemeral):
    routes = {
        "/healthz": "application/json",
        "/readyz": "application/json",
        "/ping": "application/json",
        "/auth/.well-known/openid-configuration": "application/json",
        "/auth/keys": "application/json",
        "/api/v2/trustBundle": "application/json",
        "/api/v2/configuration": "application/json",
        "/ct/v1/get-sth": "application/json",
        "/api/v2/checkpoint": "text/plain",
        "/checkpoint": "text/plain",
        "/api/v1/log": "application/json",
        "/api/v1/log/entries?logIndex=0": "application/json",
        "/api/v1/log/proof?lastSize=1": "application/json",
        "/api/v1/log/publicKey": "application/x-pem-file",
        "/api/v2/tile/0/000.p/1": "application/octet-stream",
        "/tile/entries/000.p/1": "application/octet-stream",
        "/api/v1/timestamp/certchain": "application/pem-certificate-chain",
        "/tuf/timestamp.json": "application/json",
        "/tuf/1.root.json": "application/json",
        "/": "text/html",
    }
    for path, kind in routes.items():
        status, _, headers = fetch(ephemeral, path)
        assert (status, headers["Content-Type"].split(";")[0]) == (200, kind), path
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_what_is_printed_is_what_a_user_needs(ephemeral):
    text = ephemeral.output()
    fingerprint = hashlib.sha256(ephemeral.tuf_root.read_bytes()).hexdigest()
    for needed in (ephemeral.url, fingerprint, "UNTRUSTED", "trust-instance"):
        assert needed in text


# --- bad requests --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/tuf/2.root.json", 404),
        ("/tuf/../sigbox.toml", 404),
        ("/tuf/%2e%2e/sigbox.toml", 404),
        ("/tuf/targets/..%2f..%2f..%2ftuf%2froot.key", 404),
        ("/tile/0/001", 404),
        ("/tile/0/1", 400),
        ("/api/v2/log/entries", 405),
    ],
)
def test_wrong_paths_get_json_and_the_right_status(ephemeral, path, status):
    found, body, headers = fetch(ephemeral, path)
    assert found == status, body
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body)["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/log/entries",
        "/api/v2/signingCert",
        "/ct/v1/add-pre-chain",
        "/api/v1/timestamp",
        "/api/v1/log/entries",
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"\0", b"[]", b"{}", b'{"a":' * 2000, b"\xff\xfe", b'{"hashedRekordRequestV002":1}']
)
def test_garbage_is_the_senders_fault(ephemeral, path, body):
    status, answer, _ = fetch(ephemeral, path, body, **{"Content-Type": "application/json"})
    assert 400 <= status < 500, answer


# --- tokens ----------------------------------------------------------------------------------------------
def test_the_control_api_mints_any_identity(ephemeral):
    done = sigbox("token", "--url", ephemeral.url, "--email", "bob@example.com", "--claim", "groups=[1]")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(".") == 2


def test_the_control_api_refuses_garbage_with_a_reason(ephemeral):
    for body in (b"", b"{}", b'{"email": 7}', b'{"email": "a@b.c", "claims": {"iss": "x"}}'):
        status, answer, _ = fetch(ephemeral, "/_ctl/token", body)
        assert status == 400
        assert json.loads(answer)["message"]


# --- guards ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--control", "--data", "d"), "--ephemeral"),
        (("--ephemeral", "--data", "d"), "takes no --data"),
        (("--ephemeral", "--listen", "0.0.0.0:0"), "loopback only"),
        (("--expose",), "--ephemeral with it"),
        (("--listen", "nowhere"), "HOST:PORT"),
        (("--url", "http://h/path"), "more than a host"),
    ],
)
def test_contradictions_are_usage_errors(options, message, tmp_path):
    done = sigbox("up", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    tmp_path.chmod(0o755)
    for command in (("up", "--listen", "127.0.0.1:0"), ("init", "--yes")):
        done = sigbox(*command, "--data", tmp_path)
        assert done.returncode == 2
        assert "thesis.txt" in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"], "no lock is left"
        assert tmp_path.stat().st_mode & 0o777 == 0o755, "others still read it"
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_address_in_use_is_said_with_the_way_out(ephemeral, tmp_path):
    port = ephemeral.url.rpartition(":")[2]
    done = sigbox("up", "--data", tmp_path / "d", "--listen", f"127.0.0.1:{port}")
    assert done.returncode == 4
    assert "127.0.0.1:0 picks a free port" in done.stderr


# --- durable -------------------------------------------------------------------------------------------------
def test_a_durable_stack_keeps_its_identity_and_follows_its_port(tmp_path):
    data = tmp_path / "data"
    with running_stack(tmp_path, "--data", data, forked=False) as first:
        root, url = first.tuf_root.read_bytes(), first.url
        assert fetch(first, "/_ctl/token", b"{}")[0] == 404
        second = sigbox("up", "--data", data, "--listen", "127.0.0.1:0")
        assert second.returncode == 3
        assert f"in use by process {first.process.pid}" in second.stderr
        assert sigbox("token", "--url", url, "--email", "a@example.com").returncode == 3
    with running_stack(tmp_path, "--data", data, forked=False) as again:
        assert again.tuf_root.read_bytes() == root
        config = json.loads(again.trust_config.read_bytes())["signingConfig"]
        assert {service["url"] for service in config["caUrls"]} == {again.url}
        moved = again.url != url
        assert (data / "public" / "tuf" / "2.targets.json").exists() == moved


def test_secrets_are_their_owners_alone(tmp_path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        for path in stack.data.rglob("*"):
            mode = path.stat().st_mode & 0o777
            public = stack.data / "public" in (path, *path.parents)
            assert public or mode & 0o077 == 0 or path.suffix in {".pem", ".toml", ".time"}, f"{path} has mode {mode:o}"


def test_f13_folders_that_others_may_write_to_and_keys_that_are_pipes_or_lead_away_stop_a_start(tmp_path):
    data, key = tmp_path / "data", tmp_path / "data" / "ca" / "intermediate.key"
    assert sigbox("init", "--data", data).returncode == 0

    def refused(message: str) -> None:
        done = sigbox("up", "--listen", "127.0.0.1:0", "--data", data)
        assert (done.returncode, message in done.stderr) == (3, True), done.stderr

    for folder in (data, data / "ca"):
        folder.chmod(0o770)
        refused(f"the folder {folder} has mode 0770: others may change what is in it")
        assert "chmod go-" in sigbox("doctor", "--data", data, "--json").stdout
        folder.chmod(0o700)
    key.rename(tmp_path / "intermediate.key")
    key.symlink_to(tmp_path / "intermediate.key")
    refused("out of its folder")
    key.unlink()
    os.mkfifo(key, 0o600)
    refused("is a pipe or a device")
    key.unlink()
    (tmp_path / "intermediate.key").rename(key)
    with running_stack(tmp_path, "--data", data, forked=False) as stack:
        assert fetch(stack, "/readyz")[0] == 200


@pytest.mark.parametrize("options", [(), ("--workers", "1")])
def test_a_closed_terminal_leaves_no_key_and_no_ready_file(tmp_path, options):
    stack = start_stack(tmp_path, "--ephemeral", *options, forked=False)
    assert (stack.data / "ca" / "root.key").exists()
    stack.process.send_signal(signal.SIGHUP)
    assert stack.process.wait(60) == 0, stack.output()
    assert not (tmp_path / "ready.json").exists()
    assert not stack.data.exists()
    assert "SIGHUP: finishing" in stack.output() or options
    assert "Traceback" not in stack.output()


def test_a_start_under_nohup_outlives_its_terminal(tmp_path):
    program = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    ready = tmp_path / "ready.json"
    command = (*SIGBOX, "up", "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", str(ready))
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", program, *command], env=environment(), **quiet) as process:
        try:
            wait_until(ready.exists)
            process.send_signal(signal.SIGHUP)
            with urllib.request.urlopen(json.loads(ready.read_bytes())["url"] + "/healthz") as answer:
                assert answer.status == 200
        finally:
            process.terminate()
        assert process.wait(60) == 0


def test_the_front_page_of_a_stack_that_lost_its_trust_root_says_so(tmp_path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        (tmp_path / "data" / "public" / "tuf").rename(tmp_path / "gone")
        status, body = fetch(stack, "/")[:2]
        assert status == 503
        assert b"1.root.json" in body
        (tmp_path / "gone").rename(tmp_path / "data" / "public" / "tuf")
        assert fetch(stack, "/")[0] == 200
        assert "Traceback" not in stack.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_takes_the_ready_file_away(tmp_path, number):
    stack = start_stack(tmp_path, "--ephemeral", forked=False)
    stack.process.send_signal(number)
    assert stack.process.wait(60) == 0, stack.output()
    assert not (tmp_path / "ready.json").exists()
    assert not stack.data.exists()
    assert "Traceback" not in stack.output()


def test_others_may_reach_an_ephemeral_stack_where_that_was_asked_for(tmp_path: Path):
    port = free_port()
    url = f"http://stack.test.example:{port}"
    reached = ("--expose", "--listen", f"0.0.0.0:{port}", "--url", url)
    with running_stack(tmp_path, "--ephemeral", "--control", *reached) as stack:
        assert stack.url == url
        request = urllib.request.Request(f"http://127.0.0.1:{port}/_ctl/token", b'{"email": "alice@example.com"}')
        request.add_header("Content-Type", "application/json")
        request.add_header("Host", f"stack.test.example:{port}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200
        assert "UNTRUSTED" in stack.output()


@pytest.mark.parametrize(
    ("listen", "named"), [("127.0.0.2:0", "127.0.0.2"), ("127.0.0.1:0", "localhost"), ("0.0.0.0:0", "localhost")]
)
def test_a_stack_is_published_at_an_address_that_answers(tmp_path: Path, listen: str, named: str):
    with running_stack(tmp_path, "--ephemeral", "--expose", "--listen", listen) as stack:
        assert stack.url.rpartition(":")[0] == f"http://{named}"
        assert fetch(stack, "/healthz")[0] == 200
        assert f'"{stack.url}"' in stack.signing_config.read_text()
        done = sigbox("doctor", "--data", stack.data)
        assert (done.returncode, "signed as 'doctor@localhost'" in done.stdout) == (0, True), done.stdout
        assert "without TLS" not in done.stdout


@pytest.mark.parametrize("options", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_beyond_its_quota_a_network_is_told_when_to_come_again_d09(tmp_path: Path, options: tuple[str, ...]):
    with running_stack(tmp_path, "--ephemeral", "--quota", "4", *options) as stack:
        assert fetch(stack, "/api/v1/timestamp", b"x")[0] == 415
        status, answer, headers = fetch(stack, "/api/v1/timestamp", b"x")
        assert status == 429
        assert 1 <= int(headers["Retry-After"]) <= 15
        assert "127.0.0.1 has asked for too much" in json.loads(answer)["message"]
        assert fetch(stack, "/api/v1/log")[0] == 200
