# SPDX-License-Identifier: Apache-2.0
"""A TUF repository whose owner, or whoever holds its mirror, can be as malicious as a test wants; and its mirror on loopback."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

ROLES = ("root", "timestamp", "snapshot", "targets")


class TufRepository:
    """``files`` is what the mirror serves, by path; ``publish`` signs the roles anew with the next version."""

    def __init__(self, targets: dict[str, bytes]) -> None:
        self.keys = {role: [CryptoSigner.generate_ed25519()] for role in ROLES}
        self.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
        self.files: dict[str, bytes] = {}
        self.version = 0
        self.root = Root(version=1, expires=self.expires, consistent_snapshot=True)
        for role, (signer,) in self.keys.items():
            self.root.add_key(signer.public_key, role)
        self.publish_root()
        self.publish(targets)

    def sign(self, signed, role: str) -> bytes:
        metadata = Metadata(signed)
        for signer in self.keys[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes(JSONSerializer(compact=True))

    def publish_root(self) -> None:
        self.files[f"{self.root.version}.root.json"] = self.sign(self.root, "root")

    def publish(self, targets: dict[str, bytes], version: int | None = None) -> None:
        """All roles below the root with that version, the next one if none is given."""
        number = self.version = self.version + 1 if version is None else version
        listed = {name: TargetFile.from_data(name, data, ["sha256"]) for name, data in targets.items()}
        self.files |= {f"targets/{one.hashes['sha256']}.{name}": targets[name] for name, one in listed.items()}
        self.files[f"{number}.targets.json"] = self.sign(
            Targets(number, expires=self.expires, targets=listed), "targets"
        )
        snapshot = Snapshot(number, expires=self.expires, meta={"targets.json": MetaFile(number)})
        self.files[f"{number}.snapshot.json"] = self.sign(snapshot, "snapshot")
        self.publish_timestamp(number, number)

    def publish_timestamp(self, version: int, snapshot: int) -> None:
        stamp = Timestamp(version, expires=self.expires, snapshot_meta=MetaFile(snapshot))
        self.files["timestamp.json"] = self.sign(stamp, "timestamp")

    def next_root(self) -> Root:
        """A copy of the root with the next version, for ``self.root``."""
        self.root = copy.deepcopy(self.root)
        self.root.version += 1
        return self.root


@contextmanager
def mirror_of(
    repository: TufRepository, asked: list[str], slow: Callable[[bytes], Iterator[bytes]] | None = None
) -> Iterator[str]:
    """The URL of its mirror; every path that is asked for is added to ``asked``.

    With ``slow`` an answer is sent in the parts, and at the times, in which that gives it.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 2
        """Seconds for a client that does not read what it has asked for."""

        def do_GET(self) -> None:
            asked.append(self.path)
            data = repository.files.get(self.path.lstrip("/"))
            if slow is not None and data is not None:
                head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                with suppress(ConnectionError, TimeoutError):
                    for part in slow(head + data):
                        self.wfile.write(part)
                return
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            with suppress(ConnectionError, TimeoutError):  # a client that has read enough
                self.wfile.write(data or b"")

        def log_message(self, *_given: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # so that closing waits for who still writes
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
