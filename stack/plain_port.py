# SPDX-License-Identifier: Apache-2.0
"""The listening socket of plain HTTP, which accepts nobody while the process has no file left for a connection.

The event loop (libuv) tries again at once, for ever, and keeps a processor busy with that. So once a second:

1. Where a file can be opened, nothing is done, or accepting goes on.
2. Where none can, accepting ends until then. Who comes waits in the kernel's queue.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from stack.gate import Gate

LOOK_S: Final = 1.0
_log = logging.getLogger("sigbox.port")


class PlainPort:
    """Accepts on ``listener`` for ``gate``, from :meth:`open` to :meth:`close`, which closes the listener, too."""

    def __init__(self, listener: socket.socket, gate: Gate, backlog: int) -> None:
        self._listener, self._gate, self._backlog = listener, gate, backlog
        self._server: asyncio.Server | None = None
        self._looks: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """OSError: it cannot listen."""
        await self._accept(self._listener.dup())
        self._looks = asyncio.create_task(self._look())

    def close(self) -> None:
        """Accept nobody any more."""
        if self._looks is not None:
            self._looks.cancel()
        self._pause()
        self._listener.close()

    async def _accept(self, socket_: socket.socket) -> None:
        """``socket_`` is a duplicate: the loop closes it when it ends to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._gate, sock=socket_, backlog=self._backlog)

    def _pause(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                another = self._listener.dup()
            except OSError as error:
                if self._server is not None:
                    _log.error("no connection is accepted until there is a file for it: %s", error.strerror)
                self._pause()
                continue
            if self._server is None:
                await self._accept(another)
            else:
                another.close()
