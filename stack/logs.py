# SPDX-License-Identifier: Apache-2.0
"""The process's log on standard error: one line per event, as JSON or for people, each with the id of its request.

A request gets one line at INFO: id, method, route template, status, milliseconds, bytes. What the template leaves out (paths,
queries) and what a request carries (headers, bodies, tokens) is in no line. Control characters are escaped, so that nobody
can write a line of their own.

Request lines are gathered for ``FLUSH_S`` and written together; a process that is killed loses those, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from textwrap import indent
from typing import Final, TextIO

import orjson

FLUSH_S: Final = 0.1
FLUSH_ROWS: Final = 512
"""About 100 KB."""
FORMATS: Final = ("json", "text")
ID_HEADER: Final = "X-Request-Id"
"""What a request's id comes in and goes on to another role in."""
request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that the present task answers; empty outside of requests."""
_JSON_LINE: Final = (
    '{"time":"%s","level":"INFO","logger":"sigbox.http","request":"%s","method":"%s",'
    '"route":"%s","status":%d,"ms":%s,"bytes":%d}\n'
)
_TEXT_LINE: Final = "%s INFO sigbox.http request=%s %s %s %d %sms %dB\n"
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160), 0x2028, 0x2029)}


def set_up(style: str | None, *, stream: TextIO | None = None) -> str:
    """Send every logger's INFO and above to standard error; the answer is the style, which follows the terminal if None."""
    target = stream or sys.stderr
    style = style or ("text" if target.isatty() else "json")
    handler = logging.StreamHandler(target)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    return style


class JsonFormatter(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """``time``, ``level``, ``logger``, ``message``; ``request`` and ``exception`` where there is one."""
        event = {
            "time": _moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage().encode("utf-8", "backslashreplace").decode("utf-8"),
        }
        if identifier := request_id.get():
            event["request"] = identifier
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info).encode("utf-8", "backslashreplace").decode()
        return orjson.dumps(event).decode("utf-8")


class TextFormatter(logging.Formatter):
    """One line per record for people; a traceback follows indented."""

    def format(self, record: logging.LogRecord) -> str:
        """As :class:`JsonFormatter`, in words."""
        identifier = request_id.get()
        request = f" request={identifier}" if identifier else ""
        message = record.getMessage().translate(_CONTROL)
        line = f"{_moment(record.created)} {record.levelname} {record.name}{request} {message}"
        return f"{line}\n{indent(self.formatException(record.exc_info), '  ')}" if record.exc_info else line


class RequestLog:
    """The requests' lines. Not through :mod:`logging`, which costs a tenth of a request; the lines look the same.

    They are gathered as they come and written out together, which costs half of doing both for each one.
    """

    def __init__(self, style: str, stream: TextIO | None = None) -> None:
        self._form = _JSON_LINE if style == "json" else _TEXT_LINE
        self._stream = stream or sys.stderr
        self._rows: list[tuple[float, str, str, str, int, float, int]] = []

    def write(self, identifier: str, method: str, route: str, status: int, seconds: float, size: int) -> None:
        """One answered request; ``method`` and ``route`` are of a known set and need no escaping."""
        rows = self._rows
        if not rows:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        rows.append((time.time(), identifier, method, route, status, seconds, size))
        if len(rows) >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered. A log that cannot be written stops nobody."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        lines = [
            self._form % (_moment(moment), identifier, method, route, status, round(seconds * 1000, 2), size)
            for moment, identifier, method, route, status, seconds, size in rows
        ]
        with contextlib.suppress(OSError, ValueError):
            self._stream.write("".join(lines))
            self._stream.flush()


@lru_cache(2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _moment(seconds: float) -> str:
    """UTC with milliseconds."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"
