# SPDX-License-Identifier: Apache-2.0
"""As much of an npm registry as `npm publish`, `npm install` and `npm audit signatures` ask for, in memory and on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

ATTESTATIONS = "/-/npm/v1/attestations/"


class NpmRegistry:
    """What was published, by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.url = ""

    def publish(self, document: dict[str, Any]) -> None:
        """Keep the tarball; hand out the bundle beside it as npm's own registry does."""
        name, ((version, manifest),) = document["name"], document["versions"].items()
        for file, attachment in document.pop("_attachments").items():
            if file.endswith(".tgz"):
                self.files[f"/{name}/-/{file}"] = base64.b64decode(attachment["data"])
                continue
            bundle = json.loads(attachment["data"])
            kind = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))["predicateType"]
            path = f"{ATTESTATIONS}{name}@{version}"
            self.files[path] = json.dumps({"attestations": [{"predicateType": kind, "bundle": bundle}]}).encode()
            manifest["dist"]["attestations"] = {
                "url": f"{self.url}{path}",
                "provenance": {"predicateType": kind},
            }
        self.files[f"/{name}"] = json.dumps(document).encode()

    def attestations(self, name: str) -> bytes:
        """The document about a package, ``NAME@VERSION``."""
        return self.files[f"{ATTESTATIONS}{name}"]

    def settings(self, folder: Path) -> None:
        """The ``.npmrc`` of a home that knows this registry alone."""
        lines = (
            f"registry={self.url}/",
            f"{self.url.removeprefix('http:')}/:_authToken=anybody",
            "fetch-retries=0",
            "update-notifier=false",
            "audit=false",
            "fund=false",
        )
        (folder / ".npmrc").write_text("\n".join((*lines, "")))


@contextmanager
def npm_registry() -> Iterator[NpmRegistry]:
    """One for the length of a block."""
    registry = NpmRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_given: object) -> None:
            pass

        def answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            registry.publish(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(201, b"{}")

        def do_GET(self) -> None:
            found = registry.files.get(unquote(self.path))
            self.answer(404 if found is None else 200, found or b"{}")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()
