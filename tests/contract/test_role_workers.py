# SPDX-License-Identifier: Apache-2.0
"""``sigbox serve ROLE --workers N``: one role to whoever asks, several processes to whoever looks, with that role's keys alone."""

from __future__ import annotations

import json
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.core_limit import core_limits
from tests.ports import free_port
from tests.split_stack import SplitStack, split_stack
from tests.stack_process import STOP_S, Process, sigbox, spawn
from tests.until import wait_until

SHARED = ("ca", "ct", "log", "tsa")
WORKERS = 2
ALICE = "alice@example.com"
PATIENCE_S = 60


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SplitStack]:
    extra = dict.fromkeys(SHARED, (f"--workers={WORKERS}",))
    with split_stack(tmp_path_factory.mktemp("role-workers"), extra=extra) as running:
        yield running
    for role in SHARED:
        assert "Traceback" not in running.log(role).read_text("utf-8", "replace")


def children(process: Process) -> list[int]:
    """The first one is the sequencer, until one of them was killed."""
    return list(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii").split()))


def post(url: str, body: bytes, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def sign_and_verify(split: SplitStack, artifact: Path, version: str) -> None:
    stack = split.as_stack()
    trust = ("--trust-config", stack.trust_config)
    done = sigbox("sign-blob", artifact, "--identity-token", stack.token(ALICE), "--rekor-version", version, *trust)
    assert done.returncode == 0, done.stderr
    said = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    done = sigbox("verify-blob", artifact, *said, *trust)
    assert done.returncode == 0, done.stderr


def test_f14_no_role_writes_its_memory_to_a_file(split: SplitStack):
    processes = {pid for one in split.processes.values() for pid in (one.pid, *children(one))}
    limits = {pid: core_limits(pid) for pid in processes}
    assert set(limits.values()) <= {("1", "1"), ("0", "0")}, limits


@pytest.mark.parametrize("role", SHARED)
def test_readiness_speaks_of_all_processes_of_the_role(split: SplitStack, role: str):
    roles = json.loads(split.ask(role, "/readyz")[1])["roles"]
    own = {"log": {"rekor", "rekor-v1"}, "ca": {"ca", "ct"}}.get(role, {role})
    assert roles == dict.fromkeys((*own, "workers"), "ok")
    assert len(children(split.processes[role])) == WORKERS + 1


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_client_signs_through_workers_of_every_role_and_they_answer_themselves(
    split: SplitStack, tmp_path: Path, version: str
):
    """What a worker counted has arrived within a second; what was passed on is counted as the route of all paths."""
    routes = {"ca": "/api/v2/signingCert", "ct": "/ct/v1/add-pre-chain", "log": f"/api/v{version}/log/entries"}
    if version == "2":
        routes["tsa"] = "/api/v1/timestamp"
    before = {role: answered(split, role, route) for role, route in routes.items()}
    artifact = tmp_path / "artifact"
    artifact.write_bytes(f"made by many, for version {version}".encode())
    sign_and_verify(split, artifact, version)
    for role, route in routes.items():
        wait_until(lambda role=role, route=route: answered(split, role, route) == before[role] + 1)


def answered(split: SplitStack, role: str, route: str) -> float:
    """Successful POST requests that the role's processes have counted."""
    lines = split.ask(role, "/metrics")[1].decode().splitlines()
    found = [line for line in lines if line.startswith("sigbox_requests_total{") and f'route="{route}"' in line]
    return sum(float(line.split()[-1]) for line in found if 'status="20' in line)


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("ct", "/ct/v1/add-chain", 400),
        ("ct", "/ct/v1/add-pre-chain", 400),
        ("log", "/api/v1/log/entries", 400),
        ("log", "/api/v2/log/entries", 400),
        ("ca", "/api/v2/signingCert", 400),
        ("tsa", "/api/v1/timestamp", 400),
        ("ct", "/ct/v1/get-entries", 405),
        ("ca", "/api/v2/no-such-path", 404),
    ],
)
@pytest.mark.parametrize("body", [b"{", b'{"chain":["AA=="]}', b'{"chain":[]}', b"[]" * 1000])
def test_garbage_is_refused_as_by_one_process(split: SplitStack, role: str, path: str, status: int, body: bytes):
    assert post(split.url(role) + path, body)[0] == status


@pytest.mark.parametrize("role", SHARED)
def test_whichever_process_is_killed_another_one_takes_its_place(split: SplitStack, tmp_path: Path, role: str):
    supervisor = split.processes[role]
    for victim in children(supervisor):
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda victim=victim: victim not in children(supervisor))
        split.wait_ready(role)
    assert len(children(supervisor)) == WORKERS + 1
    artifact = tmp_path / "artifact"
    artifact.write_bytes(f"after {role}".encode())
    sign_and_verify(split, artifact, "2")


@pytest.mark.parametrize(
    ("role", "number"), [("oidc", "2"), ("trust", "2"), ("console", "1"), ("log", "0"), ("log", "33")]
)
def test_what_cannot_be_is_refused_before_anything_is_made(tmp_path: Path, role: str, number: str):
    done = sigbox("serve", role, "--workers", number, "--data", tmp_path / "data")
    assert done.returncode == 2
    assert "--workers" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_second_process_for_the_role_is_told_who_serves_it(split: SplitStack):
    done = sigbox("serve", "log", "--data", split.view("log"), "--listen", "127.0.0.1:0", "--workers", "1")
    assert done.returncode == 3
    assert str(split.processes["log"].pid) in done.stderr


def test_a_log_that_they_serve_is_not_rotated(tmp_path: Path):
    done = sigbox("init", "--data", tmp_path / "data", "--url", f"http://localhost:{free_port()}", "--yes")
    assert done.returncode == 0, done.stderr
    with serving(tmp_path, "ct", "--workers", "1", "--listen", "127.0.0.1:0"):
        done = sigbox("trust", "rotate", "ct", "--data", tmp_path / "data")
        assert done.returncode == 3
        assert "served with --workers" in done.stderr
    done = sigbox("trust", "rotate", "ct", "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr


def test_they_speak_tls(tmp_path: Path):
    url = f"https://localhost:{free_port()}"
    done = sigbox("init", "--data", tmp_path / "data", "--url", url, "--tls", "auto", "--yes")
    assert done.returncode == 0, done.stderr
    with serving(tmp_path, "tsa", "--tls", "auto", "--workers", "2", "--listen", url.removeprefix("https://")):
        context = ssl.create_default_context(cafile=tmp_path / "data" / "public" / "tls_ca.pem")
        for _ in range(10):
            with urllib.request.urlopen(f"{url}/readyz", timeout=PATIENCE_S, context=context) as answer:
                assert json.loads(answer.read())["roles"] == {"tsa": "ok", "tls": "ok", "workers": "ok"}
            assert post(f"{url}/api/v1/timestamp", b"x", context)[0] == 400


@contextmanager
def serving(folder: Path, role: str, *options: str) -> Iterator[None]:
    words = ("serve", role, "--data", folder / "data", "--ready-file", folder / "ready", *options)
    process = spawn(*words, folder=folder, log=folder / "log")
    try:
        wait_until(lambda: (folder / "ready").exists() or process.poll() is not None)
        yield
        process.terminate()
        assert process.wait(STOP_S) == 0
        assert not (folder / "ready").exists()
    finally:
        process.kill()
        process.wait(STOP_S)
