# SPDX-License-Identifier: Apache-2.0
"""A TCP connection's way to a server, which can be cut: silently, as by a pulled cable, or with a reset."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress


class Pipe:
    """Listens on a port of its own and passes bytes on to ``target``, a port of loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._passing = threading.Event()
        self._passing.set()
        self._closed = False
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def lead_to(self, target: int) -> None:
        """Pass new connections on to another port; those that there are stay."""
        self._target = target

    def silence(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._passing.clear()

    def heal(self) -> None:
        """What was held back is gone with its connections; new ones work."""
        self.reset()
        self._passing.set()

    def reset(self) -> None:
        """Close every connection with RST."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._closed:
                here, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(here,), daemon=True).start()

    def _join(self, here: socket.socket) -> None:
        self._passing.wait()
        try:
            there = socket.create_connection(("127.0.0.1", self._target), timeout=5)
        except OSError:
            here.close()
            return
        there.settimeout(None)
        self._ends += [here, there]
        threading.Thread(target=self._carry, args=(here, there), daemon=True).start()
        self._carry(there, here)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._passing.wait()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
