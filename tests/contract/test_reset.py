# SPDX-License-Identifier: Apache-2.0
"""A stack for tests begins anew when it is told to, at the same URL with the same trust; and it tells what it was asked."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from stack.testing import Asked, Malformed, NotFound, Sigbox, running
from stack.trust.state import load_roles
from tests.box_commands import sign, try_to_sign, verify
from tests.stack_process import sigbox

pytestmark = pytest.mark.slow

START = "2027-05-01T00:00:00Z"


@pytest.fixture(scope="module")
def box() -> Iterator[Sigbox]:
    """Each test leaves it reset."""
    with running("--clock", START) as one:
        yield one
        assert one.log is not None
        assert "Traceback" not in one.log.read_text()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (made := tmp_path / "file").write_bytes(b"content")
    return made


def ask(box: Sigbox, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(f"{box.url}/{path}", body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def sizes(box: Sigbox) -> tuple[int, int, int]:
    """Entries of the certificate log, of Rekor v1, of Rekor v2."""
    ct = json.loads(ask(box, "GET", "ct/v1/get-sth")[1] or ask(box, "GET", "ct/ct/v1/get-sth")[1])
    v1 = json.loads(ask(box, "GET", "api/v1/log")[1])
    return ct["tree_size"], v1["treeSize"], int(ask(box, "GET", "api/v2/checkpoint")[1].split()[1])


def put_in_order(box: Sigbox) -> dict[str, object]:
    """What must be the same after a reset."""
    assert box.data is not None
    names = ("trusted_root.json", "trust_config.json", "root.json", "auth/keys", "api/v1/timestamp/certchain")
    found: dict[str, object] = {name: ask(box, "GET", name) for name in names}
    return {**found, "sizes": sizes(box), "issuers": sorted(box.data.glob("oidc/*"))}


def test_after_a_reset_everything_is_as_it_was_at_the_start(box: Sigbox, file: Path):
    start = put_in_order(box)
    assert start["sizes"] == (1, 1, 1)
    sign(box, file)
    sign(box, file, "--rekor-version", "1")
    sigbox("fault", "on", "no-grant", "--url", box.url)
    assert try_to_sign(box, file).returncode == 3
    assert (
        ask(box, "POST", "_ctl/user", b'{"email": "dora@example.com", "password": "correct horse battery"}')[0] == 200
    )
    assert ask(box, "PUT", "_ctl/issuers/other")[0] == 200
    other = json.loads(ask(box, "POST", "_ctl/token", b'{"issuer": "other", "email": "x@example.com"}')[1])["token"]
    box.clock.advance(days=100, stop=True)
    assert put_in_order(box)["sizes"] != (1, 1, 1)

    box.reset()

    assert put_in_order(box) == start
    begin = datetime.fromisoformat(START)
    assert begin < box.clock.now() < begin + timedelta(hours=1)
    assert not json.loads(ask(box, "GET", "_ctl/clock")[1])["clock"]["stopped"]
    assert all(row["active"] is None for row in json.loads(ask(box, "GET", "_ctl/faults")[1])["faults"])
    assert [one for one in box.requests() if one.method == "POST"] == []
    assert try_to_sign(box, file, token=other).returncode == 3
    assert (
        ask(box, "POST", "_ctl/user", b'{"email": "dora@example.com", "password": "correct horse battery"}')[0] == 200
    )
    sign(box, file)
    verify(box, file)
    assert sizes(box) == (2, 1, 2)
    box.reset()


def test_what_was_signed_before_a_reset_still_verifies_offline(box: Sigbox, file: Path):
    sign(box, file)
    box.reset()
    verify(box, file)


def test_a_reset_takes_a_rotation_back_and_tells_tuf(box: Sigbox, file: Path, tmp_path: Path):
    start = put_in_order(box)
    assert box.data is not None
    sigbox("trust", "rotate", "ca", "--data", box.data)
    assert put_in_order(box) != start
    box.reset()
    assert put_in_order(box) == start
    sign(box, file)
    verify(box, file)
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert box.tuf_root is not None
    done = sigbox("initialize", "--mirror", box.tuf_mirror, "--root", box.tuf_root, cwd=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    assert {role.role: role.version for role in load_roles(box.data / "public" / "tuf")}["targets"] == 3
    box.reset()


def test_a_connection_from_before_is_closed_and_a_new_one_is_served(box: Sigbox):
    address = urlsplit(box.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    connection.request("GET", "/healthz")
    assert connection.getresponse().read()
    box.reset()
    assert connection.sock is not None
    assert connection.sock.recv(1) == b"", "nobody is left there to be asked"
    connection.close()
    assert ask(box, "GET", "readyz")[0] == 200


def test_who_signs_meanwhile_is_answered_or_told_to_come_again(box: Sigbox):
    found, stop = list[int](), threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            try:
                found.append(ask(box, "GET", "api/v2/checkpoint")[0])
            except OSError:
                found.append(-1)  # the connection was closed before anything was said

    threads = [threading.Thread(target=go_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        box.reset()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(found) <= {200, 503, -1}
    assert 200 in found
    assert sizes(box) == (1, 1, 1)


def test_two_resets_at_once_both_end(box: Sigbox):
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(ask(box, "POST", "_ctl/reset")[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(200) >= 1
    assert set(codes) <= {200, 503}
    assert ask(box, "GET", "readyz")[0] == 200


# --- what was asked ------------------------------------------------------------------------------------------
def test_a_test_can_tell_what_its_client_asked(box: Sigbox, file: Path):
    box.reset()
    token = box.token()
    sign(box, file, token=token)
    requests = box.requests()
    assert [(one.method, one.path, one.status) for one in requests] == [
        ("POST", "/api/v2/signingCert", 200),
        ("POST", "/api/v1/timestamp", 200),
        ("POST", "/api/v2/log/entries", 201),
    ]
    assert len({one.request for one in requests}) == 1, "our client gives the requests of one run the same id"
    sigbox("fault", "on", "error", "role=tsa", "status=429", "--url", box.url)
    assert ask(box, "POST", "api/v1/timestamp?secret=1", b"secret")[0] == 429
    sigbox("fault", "off", "--url", box.url)
    assert ask(box, "GET", "nowhere?secret=1")[0] == 404
    assert ask(box, "GET", f"a/{'%C3%BC' * 200}")[0] == 404
    last = box.requests()[-3:]
    assert [(one.path, one.status) for one in last[:2]] == [("/api/v1/timestamp", 429), ("/nowhere", 404)]
    assert len(last[2].path) == 400
    kept = ask(box, "GET", "_ctl/requests")[1].decode()
    assert "secret" not in kept
    assert token not in kept
    assert ask(box, "DELETE", "_ctl/requests")[0] == 204
    assert box.requests() == ()


def test_no_more_than_the_last_thousand_are_kept(box: Sigbox):
    box.reset()
    address = urlsplit(box.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    for number in range(1003):
        connection.request("GET", f"/ping?{number}", headers={"X-Request-Id": f"number-{number}"})
        connection.getresponse().read()
    connection.close()
    requests = box.requests()
    assert requests[0] == Asked("GET", "/ping", 200, "number-3")
    assert requests[-1].request == "number-1002"
    assert len(requests) == 1000
    assert json.loads(ask(box, "GET", "_ctl/requests")[1])["earlier"] == 3
    box.reset()


def test_a_stack_with_workers_is_neither_turned_nor_reset():
    with running("--workers", "1") as crew:
        for order in (crew.reset, crew.clock.now, crew.clock.stop):
            with pytest.raises(Malformed, match="without --workers"):
                order()


def test_a_stack_that_lasts_is_neither_turned_nor_reset_and_tells_nothing(tmp_path: Path):
    with running(data=tmp_path / "data") as durable:
        for order in (durable.reset, durable.requests, durable.clock.now, durable.clock.stop):
            with pytest.raises(NotFound, match="has no control API"):
                order()
        done = sigbox("clock", "advance", "1h", "--url", durable.url)
        assert (done.returncode, "has no control API" in done.stderr) == (3, True)
