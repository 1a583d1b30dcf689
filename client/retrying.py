# SPDX-License-Identifier: Apache-2.0
"""Ask again: a service that is being started anew is away for a second, and says so with 503 or by not listening.

Every request of a signing may be repeated: a certificate or a timestamp more harms nobody, and a log has one index for one entry.
What has come before (a certificate, a timestamp) is kept meanwhile: it is good for minutes.

1. Answers 429, 502, 503 and 504, and connections that are refused or lost, are waited for: :data:`WAITS_S`, then what there is counts.
2. Whatever else a service says counts at once; so do a name without an address, TLS that is not trusted, and silence, which was
   long enough. So does a service that took :data:`PATIENCE_S` to say that it is away: it is not being started anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from client.transport import Lost, Response, Transport

LONGEST_S: Final = 8.0
PATIENCE_S: Final = 4.0
"""Spent on answers, without the waits between them; nothing is asked again after that."""
_AWAY: Final = (429, 502, 503, 504)


def waits(retries: int) -> tuple[float, ...]:
    """Seconds before each of so many further tries: half of one, and twice as long each time, up to :data:`LONGEST_S`."""
    return tuple(min(0.5 * 2**number, LONGEST_S) for number in range(retries))


WAITS_S: Final = waits(3)
"""Of a signing: 3.5 s in all."""


class Retrying:
    """``transport``, with patience; a :class:`~client.transport.Transport`.

    Args:
        tell: is given a line each time that something is asked again.
        waits: seconds before each further try.
        clock: counts seconds.
    """

    def __init__(
        self,
        transport: Transport,
        tell: Callable[[str], None],
        waits: Sequence[float] = WAITS_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._tell = tell
        self._waits = waits
        self._clock = clock

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        """As the Protocol says; the last answer, or the last failure."""
        spent_s = 0.0
        for wait in self._waits:
            began = self._clock()
            try:
                response = await self._transport.request(method, url, headers=headers, body=body, limit=limit)
            except Lost as error:
                if self._has_taken_long(spent_s, began):
                    raise
                reason = error.message
            else:
                if response.status not in _AWAY or self._has_taken_long(spent_s, began):
                    return response
                reason = f"{url} answered {response.status}"
            spent_s += self._clock() - began
            self._tell(f"{reason}; asking again in {wait:g} s")
            await asyncio.sleep(wait)
        return await self._transport.request(method, url, headers=headers, body=body, limit=limit)

    def _has_taken_long(self, spent_s: float, began: float) -> bool:
        return spent_s + self._clock() - began > PATIENCE_S
