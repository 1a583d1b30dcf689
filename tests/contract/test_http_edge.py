# SPDX-License-Identifier: Apache-2.0
"""Raw bytes against the port of a running stack: never a 5xx, never a traceback, always in time, and it still serves.

What is no HTTP/1.1 ends its connection, so that nothing that was smuggled behind it is ever read as a request (D10).
"""

from __future__ import annotations

import gzip
import json
import re
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack.traffic import OTHER
from tests.stack_process import RunningStack, running_stack
from tests.until import wait_until

PATIENCE_S = 30
"""For one exchange on a busy machine; the deadlines of the stack itself are tested in tests/unit/stack/test_gate.py."""
ENTRIES = b"/api/v2/log/entries"
FOREIGN = (b"PROPFIND", b"MKCOL", b"COPY", b"MOVE", b"LOCK", b"REPORT", b"SEARCH", b"PURGE", b"SUBSCRIBE", b"TRACE")
"""Methods that the parser lets through and the stack knows nothing of; what is not even one of these ends the connection."""


@pytest.fixture(scope="module", params=[(), ("--workers", "2")], ids=["one process", "workers"])
def stack(tmp_path_factory, request) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("edge"), "--ephemeral", "--control", *request.param) as running:
        yield running
        assert "Traceback" not in running.log.read_text("utf-8", "replace")


def talk(stack: RunningStack, data: bytes, patience_s: float = PATIENCE_S) -> bytes:
    """Everything that is answered until the other side closes or resets, or says nothing for ``patience_s``."""
    url, answer = urlsplit(stack.url), b""
    with socket.create_connection((url.hostname, url.port), timeout=patience_s) as connection:
        try:
            connection.sendall(data)
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionError, TimeoutError):
            pass
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def post(body: bytes, *headers: bytes, path: bytes = ENTRIES) -> bytes:
    kind = b"Content-Type: application/json"
    lines = (b"POST %s HTTP/1.1" % path, b"Host: h", kind, *headers, b"", body)
    return b"\r\n".join(lines)


def sized(body: bytes, *headers: bytes, path: bytes = ENTRIES) -> bytes:
    return post(body, b"Content-Length: %d" % len(body), b"Connection: close", *headers, path=path)


def get(target: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join((b"GET %s HTTP/%s" % (target, version), b"Host: h", *headers, b"Connection: close", b"", b""))


@pytest.fixture(autouse=True)
def still_well(stack):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE_S
    assert statuses(talk(stack, get(b"/readyz"))) == [200]


# --- smuggling -----------------------------------------------------------------------------------------
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
SMUGGLED = {
    "length and chunks": post(b"0\r\n\r\n" + HIDDEN, b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunks and length": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked", b"Content-Length: 39"),
    "two lengths": post(b"{}" + HIDDEN, b"Content-Length: 2", b"Content-Length: 40"),
    "two equal lengths": post(b"{}" + HIDDEN, b"Content-Length: 2", b"Content-Length: 2"),
    "a list of lengths": post(b"{}" + HIDDEN, b"Content-Length: 2, 2"),
    "a signed length": post(b"{}" + HIDDEN, b"Content-Length: +2"),
    "a negative length": post(b"{}" + HIDDEN, b"Content-Length: -2"),
    "a length with an underscore": post(b"{}" + HIDDEN, b"Content-Length: 0_2"),
    "an empty length": post(b"{}" + HIDDEN, b"Content-Length: "),
    "a length in hexadecimal": post(b"{}" + HIDDEN, b"Content-Length: 0x2"),
    "a length beyond 64 bits": post(b"{}" + HIDDEN, b"Content-Length: 18446744073709551618"),
    "Arabic digits": post(b"{}" + HIDDEN, "Content-Length: \u0662".encode()),
    "chunked twice": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked, chunked"),
    "chunked not last": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked, identity"),
    "an unknown coding": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: xchunked"),
    "a coding after a tab": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding:\x0bchunked"),
    "a space before the colon": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding : chunked"),
    "a folded header": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding:\r\n chunked"),
    "a bare line feed": b"POST %s HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}" % ENTRIES + HIDDEN,
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n" + HIDDEN,
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n" + HIDDEN,
    "a NUL in a name": b"GET / HTTP/1.1\r\nHost: h\r\nX\x00: a\r\n\r\n" + HIDDEN,
    "a name that is no token": b"GET / HTTP/1.1\r\nHost: h\r\nX(y): a\r\n\r\n" + HIDDEN,
    "no name": b"GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n" + HIDDEN,
    "two hosts": b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n" + HIDDEN,
    "a chunk with a signed size": post(b"+2\r\n{}\r\n0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked"),
    "a chunk with a prefixed size": post(b"0x2\r\n{}\r\n0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked"),
    "a chunk with an underscore": post(b"0_2\r\n{}\r\n0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked"),
    "a chunk that is longer than it says": post(b"1\r\n{}\r\n0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked"),
    "a chunk ended by a line feed": post(b"2\n{}\n0\n\n" + HIDDEN, b"Transfer-Encoding: chunked"),
    "a chunk beyond 64 bits": post(b"fffffffffffffffff\r\n{}", b"Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("data", SMUGGLED.values(), ids=SMUGGLED)
def test_a_request_that_two_parsers_could_read_differently_ends_its_connection_d10(stack, data):
    answer = talk(stack, data)
    assert len(statuses(answer)) <= 1, answer
    assert all(400 <= status < 500 for status in statuses(answer)), answer
    assert b"hidden" not in answer


# --- what is no HTTP ---------------------------------------------------------------------------------------
NOISE = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "a NUL": b"\0" * 100,
    "random-looking": bytes(range(256)) * 20,
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n",
    "HTTP/2": b"GET / HTTP/2\r\nHost: h\r\n\r\n",
    "HTTP/1.9": b"GET / HTTP/1.9\r\nHost: h\r\n\r\n",
    "a version that is none": b"GET / HTTP/x.y\r\nHost: h\r\n\r\n",
    "a method that is no token": b"G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
    "a method of 9000 letters": b"A" * 9000 + b" / HTTP/1.1\r\nHost: h\r\n\r\n",
    "a target of 9000 letters": get(b"/" + b"a" * 9000),
    "a header of 20000 letters": get(b"/", b"X: " + b"a" * 20_000),
    "a header name of 20000 letters": get(b"/", b"a" * 20_000 + b": x"),
    "1000 headers": get(b"/", *(b"X-%d: y" % number for number in range(1000))),
    "invalid UTF-8": get(b"/\xff\xfe"),
    "half a head": b"GET / HTTP/1.1\r\nHost: h",
}


@pytest.mark.parametrize("data", NOISE.values(), ids=NOISE)
def test_noise_is_refused_or_left_unanswered(stack, data):
    answer = talk(stack, data, 0.5)
    assert all(400 <= status < 500 for status in statuses(answer)), answer
    for body in answer.split(b"\r\n\r\n")[1:2]:
        assert json.loads(body)["message"]


LONG = b"a" * 20_000
TARGET = "the target of this request is longer than 8190 bytes, and begins with "
HEADER = "a header of this request is longer than 16640 bytes, its name and its value together"


@pytest.mark.parametrize(
    ("data", "status", "document"),
    [
        (get(b"/api/v2/?" + LONG), 414, {"code": 3, "message": f"{TARGET}'/api/v2/'", "details": []}),
        (
            get(b"/auth/token?" + LONG),
            414,
            {"error": "invalid_request", "error_description": f"{TARGET}'/auth/token'"},
        ),
        (get(b"/", b"X: " + LONG), 431, {"code": 431, "message": HEADER}),
        (get(b"/", LONG + b": x"), 431, {"code": 431, "message": HEADER}),
    ],
    ids=["a target", "a target of the provider", "a value", "a name"],
)
def test_what_is_too_long_is_told_the_limit_in_the_form_of_its_api(stack, data, status, document):
    answer = talk(stack, data)
    assert statuses(answer) == [status]
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == document


def test_a_target_and_a_header_of_just_the_limit_are_taken(stack):
    assert statuses(talk(stack, get(b"/healthz?" + LONG[:8181], b"X: " + LONG[:16_639]))) == [200]


# --- targets -----------------------------------------------------------------------------------------------
TARGETS = [
    b"/..", b"/../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/tuf/..%2f..%2fsigbox.toml", b"/tuf/%00",
    b"/tuf/a%00b", b"/%ff%fe", b"/%", b"/%zz", b"/%c0%ae%c0%ae/", b"//", b"///tuf//timestamp.json", b"/;a=b", b"/\\..\\",
    b"/api/v1/log/entries?logIndex=%00", b"/api/v1/log/entries?logIndex=%ff", b"/api/v1/log/entries/%ed%a0%80",
    b"/ct/v1/get-entries?start=%2b0&end=0", b"/tile/0/%30%30%30", b"/api/v2/tile/../checkpoint", b"/auth/..;/api",
    b"*", b"h:80", b"http://[::1", b"http://h:99999/", b"http://h/%ff", b"ftp://h/", b"http:///", b"http://a@b/",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.decode("latin-1"))
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"BREW", b"TRACE"])
def test_strange_targets_and_methods_are_the_senders_fault(stack, method, target):
    answer = talk(stack, get(target).replace(b"GET", method, 1))
    found = statuses(answer)
    assert len(found) <= 1
    assert all(status < 500 for status in found), answer
    assert b"root:x:0:" not in answer


def test_a_target_with_scheme_and_host_is_the_path_behind_them(stack):
    answer = talk(stack, get(b"http://elsewhere.example/healthz"))
    assert statuses(answer) == [200]


def test_nothing_reflects_the_method_of_a_trace(stack):
    answer = talk(stack, b"TRACE / HTTP/1.1\r\nHost: h\r\nX-Secret: tr0ve\r\nConnection: close\r\n\r\n")
    assert statuses(answer) == [405]
    assert b"tr0ve" not in answer


# --- framing that is right ---------------------------------------------------------------------------------
def test_an_expectation_is_met_or_refused(stack):
    answer = talk(stack, sized(b"{}", b"Expect: 100-continue"))
    assert statuses(answer) == [100, 400]
    for unknown in (b"the-moon", b"\xff", b"\xed\xa0\x80"):
        assert statuses(talk(stack, sized(b"{}", b"Expect: " + unknown))) == [417]


@pytest.mark.parametrize("path", [b"/auth/login", b"/auth/device", b"/auth/session"])
def test_cookies_that_are_no_text_are_no_cookies_of_ours(stack, path):
    cookies = b"Cookie: sigbox-login=\xff; sigbox-session=\xff"
    form = b"csrf=x&request=x%3Dy&user_code=x"
    lines = (b"POST %s HTTP/1.1" % path, b"Host: h", b"Content-Type: application/x-www-form-urlencoded", cookies)
    answer = talk(stack, b"\r\n".join((*lines, b"Content-Length: %d\r\nConnection: close\r\n" % len(form), form)))
    assert statuses(answer) == [403]


def test_http_1_0_is_answered_and_closed(stack):
    answer = talk(stack, b"GET /healthz HTTP/1.0\r\n\r\n")
    assert statuses(answer) == [200]


def test_pipelined_requests_are_answered_in_order(stack):
    data = b"".join(b"GET /tuf/%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(50))
    answer = talk(stack, data + get(b"/ping"))
    assert statuses(answer) == [404] * 50 + [200]
    assert re.findall(rb"there is no '(\d+)'", answer) == [str(number).encode() for number in range(50)]


@pytest.mark.alone
def test_10_000_pipelined_requests_cost_no_more_than_their_answers_d04(stack):
    began = time.monotonic()
    answer = talk(stack, b"GET /ping HTTP/1.1\r\nHost: h\r\n\r\n" * 10_000 + get(b"/nothing"))
    assert statuses(answer) == [200] * 10_000 + [404]
    assert time.monotonic() - began < PATIENCE_S


def test_a_body_in_chunks_of_one_byte_is_read_and_refused_d04(stack):
    body = b"1\r\n{\r\n" * 100_000 + b"0\r\n\r\n"
    answer = talk(stack, post(body, b"Transfer-Encoding: chunked", b"Connection: close"))
    assert statuses(answer) in ([400], [413]), answer


@pytest.mark.parametrize(
    ("line", "status", "document"),
    [
        (
            b"PUT /api/v2/signingCert",
            405,
            {"code": 12, "message": "Method Not Allowed (expected OPTIONS,POST)", "details": []},
        ),
        (
            b"GET /api/v1/signingCert",
            405,
            {"code": 12, "message": "Method Not Allowed (expected OPTIONS,POST)", "details": []},
        ),
        (b"GET /api/v2/nothing", 404, {"code": 5, "message": "Not Found", "details": []}),
        (b"GET /ct/v1/nothing", 404, {"error_message": "Not Found", "success": False}),
        (b"GET /ct/2/ct/v1/get-sth", 404, {"error_message": "Not Found", "success": False}),
        (b"GET /log/2/checkpoint", 404, {"code": 5, "message": "Not Found", "details": []}),
        (b"PUT /api/v1/log/entries", 405, {"code": 405, "message": "Method Not Allowed (expected GET,HEAD,POST)"}),
        (
            b"GET /auth/token",
            405,
            {"error": "invalid_request", "error_description": "Method Not Allowed (expected POST)"},
        ),
    ],
)
def test_what_no_role_is_asked_has_the_form_of_the_role_that_it_was_meant_for(stack, line, status, document):
    answer = talk(stack, get(b"/x").replace(b"GET /x", line, 1))
    assert statuses(answer) == [status]
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == document


# --- sizes ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path", [ENTRIES, b"/api/v2/signingCert", b"/api/v1/timestamp", b"/api/v1/log/entries", b"/_ctl/token"]
)
def test_a_body_that_says_to_be_too_long_is_not_waited_for_d02(stack, path):
    answer = talk(stack, post(b"{}", b"Content-Length: 1073741824", b"Connection: close", path=path))
    assert statuses(answer) == [413], answer


CHUNK = b"10000\r\n" + bytes(65536) + b"\r\n"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (ENTRIES, 413, b""),
        (b"/api/v1/log/entries", 413, b""),
        (b"/api/v2/signingCert", 400, b"longer than 65536 bytes"),
        (b"/api/v1/timestamp", 400, b"longer than 1024 bytes"),
    ],
)
def test_chunks_without_end_are_answered_and_cut_off_at_the_limit_d02(stack, path, status, said):
    """What is answered is read while more is sent: 64 MiB would be, and the limit of the longest body is 4."""
    url, sent = urlsplit(stack.url), 0
    with socket.create_connection((url.hostname, url.port), timeout=PATIENCE_S) as connection:
        connection.sendall(post(b"", b"Transfer-Encoding: chunked", path=path))
        while sent < 1024 and not select.select([connection], [], [], 0)[0]:
            connection.sendall(CHUNK)
            sent += 1
        answer = connection.recv(65536)
    assert statuses(answer) == [status], answer
    assert said in answer
    assert sent < 512


def test_a_client_that_goes_away_in_the_middle_is_no_fault_of_the_server(stack):
    for path in (ENTRIES, b"/api/v2/signingCert", b"/api/v1/timestamp", b"/api/v1/log/entries", b"/_ctl/token"):
        talk(stack, post(b"{", b"Content-Length: 9", path=path), 0.1)
    assert not [event for event in events(stack, '"bytes"') if event["level"] == "ERROR"]


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"GZIP", b"x-unheard-of"])
@pytest.mark.parametrize("path", [ENTRIES, b"/api/v2/signingCert", b"/api/v1/timestamp", b"/auth/token"])
def test_a_compressed_body_is_refused_and_not_unpacked_d03(stack, bomb, coding, path):
    before = resident_kib(stack)
    answer = talk(stack, sized(bomb, b"Content-Encoding: " + coding, path=path))
    assert statuses(answer) == [415], answer
    assert resident_kib(stack) - before < 16 * 1024


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip.compress(bytes(64 << 20))


def resident_kib(stack: RunningStack) -> int:
    status = Path(f"/proc/{stack.process.pid}/status").read_text("ascii", "replace")
    return int(status.partition("VmRSS:")[2].split()[0])


# --- ids, logs, metrics ----------------------------------------------------------------------------------------
def header(answer: bytes, name: bytes) -> bytes:
    return answer.partition(name + b": ")[2].partition(b"\r\n")[0]


def test_every_answer_has_an_id_and_a_plain_one_of_the_client_is_kept(stack):
    first, second = (header(talk(stack, get(path)), b"X-Request-Id") for path in (b"/healthz", b"/nothing"))
    assert first != second
    assert all(re.fullmatch(rb"[0-9a-f]{16}", identifier) for identifier in (first, second))
    kept = talk(stack, get(b"/healthz", b"X-Request-Id: build-42.step_7"))
    assert header(kept, b"X-Request-Id") == b"build-42.step_7"


@pytest.mark.parametrize(
    "given",
    [b"short", b"a" * 65, b"white space", b'"quoted-text"', b"{jndi:ldap}", b"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"],
)
def test_an_id_that_could_hurt_a_log_is_replaced_d10(stack, given):
    answer = talk(stack, get(b"/healthz", b"X-Request-Id: " + given))
    assert re.fullmatch(rb"[0-9a-f]{16}", header(answer, b"X-Request-Id"))


def events(stack: RunningStack, wanted: str) -> list[dict[str, object]]:
    """The log's lines, once ``wanted`` stands in one."""
    end = time.monotonic() + PATIENCE_S
    while wanted not in (text := stack.log.read_text("utf-8", "replace")):
        assert time.monotonic() < end, f"{wanted} is not in the log"
        time.sleep(0.02)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_each_request_is_one_line_with_its_id_route_status_time_and_bytes(stack):
    talk(stack, get(b"/tuf/targets/none?token=s3cr3t", b"X-Request-Id: one-line-please"))
    (line,) = [event for event in events(stack, "one-line-please") if event.get("request") == "one-line-please"]
    assert line["route"] == "/tuf/targets/{name}"
    assert (line["level"], line["method"], line["status"]) == ("INFO", "GET", 404)
    assert line["ms"] >= 0
    assert line["bytes"] > 0


def test_secrets_and_bodies_are_in_no_line_and_every_line_is_json_d10(stack):
    token = stack.token("alice@example.com")
    talk(
        stack,
        sized(b'{"planted": "b0dy-planted"}', b"Authorization: Bearer " + token.encode(), path=b"/api/v2/signingCert"),
    )
    talk(stack, get(b"/auth/auth?state=qu3ry-planted%0a{}", b"Cookie: c00kie-planted", b"X-Request-Id: after-secrets"))
    text = json.dumps(events(stack, "after-secrets"))
    for secret in (token, token.rpartition(".")[2], "b0dy-planted", "qu3ry-planted", "c00kie-planted"):
        assert secret not in text
    logged = [line for line in stack.log.read_text("utf-8").splitlines() if '"time"' in line]
    assert len(logged) > 2
    for line in logged:
        assert set(json.loads(line)) >= {"time", "level", "logger"}


def test_paths_and_methods_of_strangers_make_no_series_of_their_own_d08(stack):
    def scrape() -> bytes:
        return talk(stack, get(b"/metrics"))

    def strange(text: bytes) -> dict[bytes, float]:
        """The series of methods that HTTP does not know, and what they count."""
        found = re.findall(rb"^(sigbox_requests_total\{.*\}) (\S+)", text, re.MULTILINE)
        return {name: float(number) for name, number in found if b'method="%s"' % OTHER.encode() in name}

    before = sum(strange(scrape()).values())
    for start in range(0, 3000, 500):
        requests = [
            b"%b /nothing/%d HTTP/1.1\r\nHost: h\r\n\r\n" % (FOREIGN[number % len(FOREIGN)], number)
            for number in range(start, start + 500)
        ]
        assert statuses(talk(stack, b"".join(requests) + get(b"/ping"))) == [404] * 500 + [200]
    wait_until(lambda: sum(strange(scrape()).values()) >= before + 3000)  # processes tell each other once a second
    text = scrape()
    assert len(strange(text)) <= 3
    assert b"/nothing" not in text


def test_the_metrics_speak_of_every_role(stack):
    text = talk(stack, get(b"/metrics")).decode()
    for name in (
        "sigbox_requests_total", "sigbox_request_seconds_bucket", "sigbox_log_size", "sigbox_log_waiting",
        "sigbox_log_commit_seconds_total", "sigbox_log_batches_total", "sigbox_certificates_issued_total",
        "sigbox_timestamps_issued_total", "sigbox_connections", "process_resident_memory_bytes",
    ):  # fmt: skip
        assert f"\n{name}" in text, name
    assert set(re.findall(r'sigbox_log_up\{log="(.*?)"\} 1\.0', text)) == {"ct", "rekor", "rekor-v1"}
    expiries = dict(re.findall(r'sigbox_tuf_expires_in_seconds\{role="(.*?)"\} (\S+)', text))
    assert set(expiries) == {"root", "targets", "snapshot", "timestamp"}
    assert all(float(seconds) > 86400 for seconds in expiries.values())
    assert re.search(r'sigbox_build_info\{version="\d+\.\d+\.\d+.*"\} 1\.0', text)


# --- readiness ---------------------------------------------------------------------------------------------------
def test_readiness_has_an_answer_for_each_role_and_knows_head(stack):
    answer = talk(stack, get(b"/readyz"))
    content = json.loads(answer.partition(b"\r\n\r\n")[2])
    content["roles"].pop("workers", None)
    assert content == {
        "ready": True,
        "roles": dict.fromkeys(("oidc", "ca", "ct", "rekor", "rekor-v1", "tsa", "trust"), "ok"),
        "faults": [],
    }
    for path in (b"/readyz", b"/healthz", b"/ping", b"/metrics"):
        head = talk(stack, get(path).replace(b"GET", b"HEAD", 1))
        assert statuses(head) == [200]
        assert head.endswith(b"\r\n\r\n")
