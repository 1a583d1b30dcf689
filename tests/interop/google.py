# SPDX-License-Identifier: Apache-2.0
"""What a workload in Google's cloud finds: the metadata server, and the service that speaks for another service account.

The metadata server's place is a variable (``GCE_METADATA_HOST``). That of the other service is fixed, a host name of Google's
over TLS: the proxy that the client is given ends in the same server, with a certificate of an authority that it is given too.
Both answer with the identity token that they were made for, and note what they were asked.

Sources: Google Cloud, "Get an ID token from the metadata server"; IAM Credentials API, ``generateIdToken``.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from stack.config import Home, Settings
from stack.tls_authority import prepare

IAM = "iamcredentials.googleapis.com"
ACCESS = {"access_token": "what a machine of the cloud may do", "expires_in": 3600, "token_type": "Bearer"}


@dataclass
class Cloud:
    """The server: where it is, what it hands out, and what it was asked for, as (method, path, body)."""

    port: int
    token: str
    authority: Path
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What the workload has around it."""
        here = f"127.0.0.1:{self.port}"
        return {"GCE_METADATA_HOST": here, "HTTPS_PROXY": f"http://{here}", "SSL_CERT_FILE": str(self.authority)}


@contextmanager
def google_cloud(folder: Path, token: str) -> Iterator[Cloud]:
    """The server, on a free port, until the block ends; ``folder`` takes its certificates."""
    (folder / "public").mkdir(parents=True)
    now = datetime.now(UTC)
    files = prepare(Home(folder), Settings(f"https://{IAM}", now, ephemeral=True, url_follows_listen=False), now)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        cloud = Cloud(server.server_address[1], token, files.published)
        server.RequestHandlerClass = type("Handler", (_Handler,), {"cloud": cloud, "tls": tls})
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield cloud
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud
    tls: ssl.SSLContext
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_CONNECT(self) -> None:
        """The way to a fixed host leads back here; to any other there is none."""
        if self.path != f"{IAM}:443":
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")  # type: ignore[assignment]  # buffered, as the one before
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        """The metadata server, which takes no request that a browser could be tricked into."""
        self.cloud.asked.append(("GET", self.path, ""))
        account = "/computeMetadata/v1/instance/service-accounts/default/"
        if self.headers["Metadata-Flavor"] != "Google":
            self._answer(403, "the header is missing")
        elif self.path.startswith(f"{account}identity?"):
            self._answer(200, self.cloud.token)
        elif self.path.startswith(f"{account}token"):
            self._answer(200, json.dumps(ACCESS))
        else:
            self._answer(404, "there is no such value")

    def do_POST(self) -> None:
        """The service that speaks for other accounts, to whoever has the access token of the machine."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.cloud.asked.append(("POST", self.path, body))
        allowed = self.headers["Authorization"] == f"Bearer {ACCESS['access_token']}"
        self._answer(*(200, json.dumps({"token": self.cloud.token})) if allowed else (401, "no access token"))

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def finish(self) -> None:
        """Close what took the socket's place."""
        super().finish()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Quiet."""
