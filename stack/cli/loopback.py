# SPDX-License-Identifier: Apache-2.0
"""Takes the one request by which a browser brings back the answer of an OpenID provider (RFC 8252 section 7.3)."""

from __future__ import annotations

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from sigcore.errors import Unavailable

PATH: Final = "/auth/callback"
_PAGE: Final = (
    b"<!doctype html><meta charset=utf-8><title>sigbox</title><p>You can close this page and go back to the terminal."
)


class Callback:
    """Listens on a free port of loopback, from the making on until it is closed."""

    def __init__(self) -> None:
        answers: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            """Only the callback's path counts; favicons and strangers get 404."""

            timeout = 10

            def do_GET(self) -> None:
                """One answer."""
                parts = urlsplit(self.path)
                found = parts.path == PATH
                if found:
                    answers.append(dict(parse_qsl(parts.query)))
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(_PAGE) if found else 0))
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(_PAGE if found else b"")

            def log_message(self, *_given: object) -> None:
                """The request holds the code: it is not written anywhere."""

        self._answers = answers
        self._server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def uri(self) -> str:
        """The redirect URI."""
        return f"http://localhost:{self._server.server_port}{PATH}"

    def wait(self, seconds: float) -> dict[str, str]:
        """The query of the first answer; Unavailable where none comes in time."""
        deadline = time.monotonic() + seconds
        while not self._answers:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable(
                    f"nobody logged in within {seconds:.0f} seconds",
                    "where no browser reaches this machine: --flow oob",
                )
            self._server.timeout = left
            self._server.handle_request()
        return self._answers[0]

    def close(self) -> None:
        """Stop listening."""
        self._server.server_close()
