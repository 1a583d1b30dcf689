# SPDX-License-Identifier: Apache-2.0
"""A transport that asks again: where nobody answered, or the answer was that it cannot be given now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from client.transport import Response, Transport, Untrusted
from sigcore.errors import Unavailable

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0
_BUSY: Final = 429


class Retrying:
    """``transport``, asked up to ``retries`` times more, with a pause that doubles from half a second up to 8 s.

    What is sent twice must do no harm: a log that has an entry already says so. A certificate that is not trusted today is not
    trusted in a second either.

    Args:
        transport: what sends each request.
        retries: 0 for none.
        pause: waits so many seconds.
    """

    def __init__(
        self, transport: Transport, retries: int, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._transport = transport
        self._retries = retries
        self._pause = pause

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        """As :class:`~client.transport.Transport` says; what the last attempt gives or raises."""
        for attempt in range(self._retries):
            try:
                answer = await self._transport.request(method, url, headers=headers, body=body, limit=limit)
            except Untrusted:
                raise
            except Unavailable:
                pass
            else:
                if answer.status < 500 and answer.status != _BUSY:
                    return answer
            await self._pause(min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S))
        return await self._transport.request(method, url, headers=headers, body=body, limit=limit)
