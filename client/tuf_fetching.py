# SPDX-License-Identifier: Apache-2.0
"""Fetches the files of a TUF mirror by HTTP, which must keep a pace: whoever holds a mirror could else stop all of its clients.

The time of each read has a bound, as that of a connection and of a TLS handshake; that alone lets a byte each second go on for ever.
So each read takes what is left of three:

1. :data:`TIMEOUT_S` for anything to come at all.
2. ``Pace.window_s`` for ``Pace.window_bytes``: 1 KiB/s over 30 s. What came faster earns no rest later.
3. ``Pace.file_s`` for one file, with redirects and heads.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from sigcore.values import dataclass

TIMEOUT_S: Final = 15.0
_CHUNK: Final = 65536


class TooSlow(TimeoutError):
    """The mirror answers, and does not keep the pace."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What must come in which time, in bytes and seconds."""

    window_s: float
    window_bytes: int
    file_s: float


PACE: Final = Pace(window_s=30.0, window_bytes=30 * 1024, file_s=300.0)


class Fetcher(FetcherInterface):
    """HTTP by the standard library, with the authorities that the user names."""

    def __init__(self, tls: ssl.SSLContext | None, pace: Pace = PACE) -> None:
        self._tls = tls
        self._pace = pace
        self._answer: Any = None

    def close(self) -> None:
        """End the connection whose answer nobody has read to its end: it was too long, or refused."""
        if self._answer is not None:
            self._answer.close()

    def _fetch(self, url: str) -> Iterator[bytes]:
        watched = Watch(self._pace)
        opener = urllib.request.build_opener(_Http(watched), _Https(watched, self._tls))
        try:
            self._answer = opener.open(url, timeout=TIMEOUT_S)  # http or https, checked
        except urllib.error.HTTPError as error:
            error.close()
            raise DownloadHTTPError(f"{url} answered {error.code}", error.code) from error
        return _chunks(self._answer, url)


def _chunks(answer: Any, url: str) -> Iterator[bytes]:
    with answer as body:
        try:
            while chunk := body.read(_CHUNK):
                yield chunk
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: {error}") from error


class Watch:
    """Whether one file keeps the pace; ``clock`` counts seconds."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace, self._clock = pace, clock
        self._end = clock() + pace.file_s
        self._next_window()

    def _next_window(self) -> None:
        self._window_end, self._came = self._clock() + self._pace.window_s, 0

    def left(self) -> float:
        """How many seconds the next read may take; TooSlow where none are left."""
        now, enough = self._clock(), self._came >= self._pace.window_bytes
        if now >= self._window_end and enough:
            self._next_window()
            enough = False
        left = min(self._end, self._window_end + (self._pace.window_s if enough else 0)) - now
        if left <= 0:
            raise self.too_slow()
        return left

    def too_slow(self) -> TooSlow:
        """In words."""
        pace = self._pace
        return TooSlow(f"less than {pace.window_bytes} bytes in {pace.window_s:g} s, or {pace.file_s:g} s for one file")

    def came(self, size: int) -> None:
        """So many bytes did."""
        self._came += size


class _Stream(io.RawIOBase):
    """What comes from a socket, read by read within what the pace leaves."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock, self._watch = sock, watch
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """As every raw stream's."""
        left = self._watch.left()
        self._sock.settimeout(min(TIMEOUT_S, left))
        try:
            size = self._raw.readinto(buffer)
        except TimeoutError as error:
            if left < TIMEOUT_S:
                raise self._watch.too_slow() from error
            raise
        self._watch.came(size or 0)
        return size

    def close(self) -> None:
        """The socket ends with its last stream."""
        self._raw.close()
        super().close()


class _Watched:
    """Stands for a socket where an answer is read from it."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock, self._watch = sock, watch

    def makefile(self, _mode: str) -> io.BufferedReader:
        """For reading, which is all that an answer does."""
        return io.BufferedReader(_Stream(self._sock, self._watch))


def _connection(kind: Callable[..., Any], watch: Watch, host: str, **given: Any) -> Any:
    def answer(sock: socket.socket, *rest: Any, **named: Any) -> http.client.HTTPResponse:
        watched: Any = _Watched(sock, watch)
        return http.client.HTTPResponse(watched, *rest, **named)

    made = kind(host, **given)
    made.response_class = answer
    return made


class _Http(urllib.request.HTTPHandler):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """As its parent, watched."""
        return self.do_open(partial(_connection, http.client.HTTPConnection, self._watch), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, watch: Watch, tls: ssl.SSLContext | None) -> None:
        super().__init__(context=tls)
        self._watch, self._tls = watch, tls

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """As its parent, watched."""
        return self.do_open(partial(_connection, http.client.HTTPSConnection, self._watch), req, context=self._tls)
