# SPDX-License-Identifier: Apache-2.0
"""``sigbox up --workers N``: one stack to whoever asks, several processes to whoever looks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.core_limit import core_limits
from tests.faults.writers import Sent
from tests.stack_process import SIGBOX, RunningStack, environment, running_stack, sigbox, start_stack
from tests.until import wait_until

PATIENCE_S = 60
AT_ONCE_S = 1
ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("workers")
    with running_stack(folder, "--data", folder / "data", "--workers", "2") as running:
        yield running
        assert "Traceback" not in running.log.read_text("utf-8", "replace")


def children(stack: RunningStack) -> list[int]:
    pid = stack.process.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()))


def fetch(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def metric(stack: RunningStack, start: str) -> float:
    text = fetch(f"{stack.url}/metrics")[1].decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(start))


def test_readiness_speaks_of_all_processes(stack):
    roles = json.loads(fetch(f"{stack.url}/readyz")[1])["roles"]
    assert roles == dict.fromkeys(("oidc", "ca", "ct", "rekor", "rekor-v1", "tsa", "trust", "workers"), "ok")
    assert json.loads((stack.log.parent / "ready.json").read_bytes())["pid"] == stack.process.pid
    assert len(children(stack)) == 3


def test_f14_no_process_that_holds_keys_writes_its_memory_to_a_file(stack):
    limits = {pid: core_limits(pid) for pid in (stack.process.pid, *children(stack))}
    assert set(limits.values()) <= {("1", "1"), ("0", "0")}, limits


def test_connections_are_spread_over_the_workers(stack):
    """An id begins with ten digits of the process that gave it."""
    prefixes = [fetch(f"{stack.url}/healthz")[2]["X-Request-Id"][:10] for _ in range(60)]
    assert len(set(prefixes)) == 2
    assert min(map(prefixes.count, set(prefixes))) > 5


@pytest.mark.parametrize("version", ["1", "2"])
def test_our_client_signs_and_verifies(stack, tmp_path, version):
    artifact = tmp_path / "artifact"
    artifact.write_bytes(b"made by many")
    trust = ("--trust-config", stack.trust_config)
    done = sigbox("sign-blob", artifact, "--identity-token", stack.token(ALICE), "--rekor-version", version, *trust)
    assert done.returncode == 0, done.stderr
    said = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    done = sigbox("verify-blob", artifact, *said, *trust)
    assert done.returncode == 0, done.stderr


def test_an_entry_that_many_bring_at_once_gets_one_index(stack):
    sent = Sent.make()

    async def bring() -> list[tuple[int, str]]:
        async with aiohttp.ClientSession(stack.url) as session:

            async def one() -> tuple[int, str]:
                async with session.post("/api/v2/log/entries", data=sent.request()) as answer:
                    text = await answer.text()
                    known = answer.headers.get("x-log-index")
                    return answer.status, known or json.loads(text)["logIndex"]

            return await asyncio.gather(*(one() for _ in range(40)))

    found = asyncio.run(bring())
    assert sorted(status for status, _ in found) == [201, *[409] * 39]
    assert len({index for _, index in found}) == 1


def test_figures_are_sums_of_all_workers(stack):
    start = 'sigbox_requests_total{method="POST",role="tsa",route="/api/v1/timestamp",status="400"}'
    before = metric(stack, start)
    for _ in range(20):
        assert fetch(f"{stack.url}/api/v1/timestamp", b"x", Content_Type="application/timestamp-query")[0] == 400
    end = time.monotonic() + PATIENCE_S
    while metric(stack, start) != before + 20:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert metric(stack, "sigbox_log_up") == 3


@pytest.mark.alone
def test_without_the_sequencer_a_worker_says_at_once_to_come_again(tmp_path):
    """Stopped, and not killed: it would be there again too soon to be missed. So the supervisor is stopped, too."""
    stack = start_stack(tmp_path, "--data", tmp_path / "data", "--workers", "1")
    try:
        sequencer = children(stack)[0]
        stack.process.send_signal(signal.SIGSTOP)
        os.kill(sequencer, signal.SIGKILL)
        wait_until(lambda: "is lost" in stack.output())
        for path, body in (("/api/v2/log/entries", Sent.make().request()), ("/checkpoint", None), ("/readyz", None)):
            began = time.monotonic()
            status, _, headers = fetch(f"{stack.url}{path}", body)
            assert (status, headers["Retry-After"]) == (503, "1")
            assert time.monotonic() - began < AT_ONCE_S
        stack.process.send_signal(signal.SIGCONT)
        end = time.monotonic() + PATIENCE_S
        while fetch(f"{stack.url}/readyz")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.02)
        stack.stop()
    finally:
        stack.process.send_signal(signal.SIGCONT)
        stack.kill()


@pytest.mark.alone
def test_who_signs_while_the_sequencer_is_away_waits_for_it_f17(tmp_path):
    """The supervisor is stopped until the client has met what it shall wait for."""
    stack = start_stack(tmp_path, "--data", tmp_path / "data", "--workers", "1")
    (tmp_path / "f").write_bytes(b"content")
    words = ("sign-blob", tmp_path / "f", "--identity-token", stack.token(ALICE), "--trust-config", stack.trust_config)
    try:
        sequencer = children(stack)[0]
        stack.process.send_signal(signal.SIGSTOP)
        os.kill(sequencer, signal.SIGKILL)
        wait_until(lambda: "is lost" in stack.output())
        with (tmp_path / "said").open("wb") as said:
            client = subprocess.Popen([*SIGBOX, *map(str, words)], env=environment(), stderr=said)
        wait_until(lambda: "answered 503; asking again in 0.5 s" in (tmp_path / "said").read_text())
        stack.process.send_signal(signal.SIGCONT)
        assert client.wait(PATIENCE_S) == 0, (tmp_path / "said").read_text()
        stack.stop()
    finally:
        stack.process.send_signal(signal.SIGCONT)
        stack.kill()


def test_a_second_stack_does_not_share_the_port(stack, tmp_path):
    for options in ((), ("--workers", "2")):
        listen = ("--listen", f"127.0.0.1:{urlsplit(stack.url).port}")
        done = sigbox("up", "--data", tmp_path / "other", *listen, *options)
        assert done.returncode == 4
        assert "cannot listen" in done.stderr


def test_a_process_that_cannot_serve_says_why_before_anything_is_announced(tmp_path):
    with running_stack(tmp_path, "--data", tmp_path / "data"):
        pass
    (tmp_path / "data" / "rekor" / "log.db").write_bytes(b"no database" * 1000)
    done = sigbox("up", "--data", tmp_path / "data", "--listen", "127.0.0.1:0", "--workers", "2")
    assert done.returncode in (3, 4)
    assert done.stderr.count("sigbox up: ") == 1
    assert "sigbox serves" not in done.stdout


def test_a_second_signal_ends_all_of_them_at_once(tmp_path):
    stack = start_stack(tmp_path, "--ephemeral", "--control", "--workers", "2")
    url, left = urlsplit(stack.url), children(stack)
    try:
        with socket.create_connection((url.hostname, url.port)) as busy:
            busy.sendall(b"POST /_ctl/token HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
            stack.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "SIGTERM" in stack.output())
            assert stack.process.poll() is None, "a request is under way"
            stack.process.send_signal(signal.SIGTERM)
            assert stack.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    finally:
        stack.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    assert not stack.data.exists()
    assert not (tmp_path / "ready.json").exists()


def test_they_speak_tls(tmp_path):
    with running_stack(tmp_path, "--ephemeral", "--workers", "2", "--tls", "auto") as stack:
        authority = json.loads((tmp_path / "ready.json").read_bytes())["tls_ca"]
        context = ssl.create_default_context(cafile=authority)
        for _ in range(10):
            with urllib.request.urlopen(f"{stack.url}/readyz", timeout=PATIENCE_S, context=context) as answer:
                assert json.loads(answer.read())["ready"]


def test_a_terminal_that_interrupts_all_ends_them_in_order(tmp_path):
    """Ctrl-C goes to a whole group of processes; the workers are in none of a terminal's."""
    command = [
        *SIGBOX,
        "up",
        "--ephemeral",
        "--workers",
        "2",
        "--listen",
        "127.0.0.1:0",
        "--ready-file",
        tmp_path / "ready",
    ]
    process = subprocess.Popen(
        list(map(str, command)), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0
    )
    end = time.monotonic() + PATIENCE_S
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    assert b"Traceback" not in errors
