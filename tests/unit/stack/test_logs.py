# SPDX-License-Identifier: Apache-2.0
"""The log: one event is one line, whatever stands in it; a request's id follows into what its role says."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest

from stack.logs import JsonFormatter, RequestLog, TextFormatter, request_id, set_up

HOSTILE = 'a\r\nforged "line"\x1b[31m\x00\x85\u2028\ud800'


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    error = None
    if failed:
        try:
            raise ValueError(HOSTILE)
        except ValueError as caught:
            error = (type(caught), caught, caught.__traceback__)
    return logging.LogRecord("sigbox.part", logging.ERROR, __file__, 1, message, (), error)


def test_json_has_its_members_and_escapes_everything():
    line = JsonFormatter().format(record(HOSTILE, failed=True))
    assert "\n" not in line
    assert "\x1b" not in line
    event = json.loads(line)
    assert (event["level"], event["logger"]) == ("ERROR", "sigbox.part")
    assert 'forged "line"' in event["message"]
    assert event["exception"].startswith("Traceback")
    assert "request" not in event


def test_text_lets_nobody_write_a_line_of_their_own():
    line = TextFormatter().format(record(HOSTILE))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\\x0d\\x0aforged" in line


def test_a_traceback_in_text_is_indented_so_that_no_line_of_it_looks_like_an_event():
    first, *rest = TextFormatter().format(record("failed", failed=True)).split("\n")
    assert first.endswith("failed")
    assert rest
    assert all(line.startswith("  ") or not line.strip() for line in rest)


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_what_a_role_logs_carries_the_id_of_the_request(formatter):
    token = request_id.set("build-42.step")
    try:
        assert "build-42.step" in formatter.format(record("said"))
    finally:
        request_id.reset(token)


async def test_request_lines_are_gathered_and_written_soon():
    stream = io.StringIO()
    requests = RequestLog("json", stream)
    for number in range(3):
        requests.write(f"id-{number}", "GET", "/tuf/{name}", 200, 0.0123, 5)
    assert stream.getvalue() == ""
    async with asyncio.timeout(60):
        while not stream.getvalue():
            await asyncio.sleep(0.01)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["request"] for event in events] == ["id-0", "id-1", "id-2"]
    assert set(events[0]) == {"time", "level", "logger", "request", "method", "route", "status", "ms", "bytes"}
    assert (events[0]["ms"], events[0]["bytes"], events[0]["status"]) == (12.3, 5, 200)


async def test_the_text_form_says_the_same():
    stream = io.StringIO()
    requests = RequestLog("text", stream)
    requests.write("abc", "POST", "/api/v1/timestamp", 201, 0.5, 7)
    requests.flush()
    assert stream.getvalue().partition(" ")[2] == "INFO sigbox.http request=abc POST /api/v1/timestamp 201 500.0ms 7B\n"


async def test_a_log_that_cannot_be_written_stops_nobody():
    stream = io.StringIO()
    requests = RequestLog("json", stream)
    requests.write("abc", "GET", "/", 200, 0.1, 1)
    stream.close()
    requests.flush()


def test_the_style_follows_the_terminal_unless_it_is_given():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        assert set_up(None, stream=Terminal()) == "text"
        assert set_up(None, stream=io.StringIO()) == "json"
        assert set_up("text", stream=io.StringIO()) == "text"
    finally:
        root.handlers[:], root.level = before
