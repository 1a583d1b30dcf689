# SPDX-License-Identifier: Apache-2.0
"""The worker's end of the link: a log in the sequencer's process, as the roles in this one need it.

What is brought in one turn of the event loop goes in one frame. Without a sequencer everything is Unavailable at once: what was
under way may or may not be in the log, and to bring it again is safe.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, cast

from sigcore.errors import Malformed, Unavailable
from stack.last_time import seconds_passed
from stack.service import working
from stack.workers.floors import SharedFloor
from stack.workers.frames import Failure, Report, Splitter, encode_entry, encode_frames, encode_report, parse_told
from tlog.publish import Clock, SigningClock
from tlog.submission import Receipt, Submission

LOGS: Final = ("ct", "rekor", "rekor-v1")
"""An entry names its log by its place here."""
RETRY_S: Final = 0.05
"""Between two looks for a sequencer that is not there."""

_log = logging.getLogger("sigbox.link")


class LinkedLog:
    """One log of the sequencer; see :class:`tlog.submission.Intake`."""

    def __init__(self, link: Link, place: int, clock: SigningClock) -> None:
        self._link = link
        self._place = place
        self.clock = clock
        self.waiting = 0

    async def submit(self, submission: Submission) -> Receipt:
        """As :meth:`tlog.log.Log.submit`: the sequencer has verified the receipt's proof."""
        self.waiting += 1
        try:
            return await self._link.bring(self._place, submission)
        finally:
            self.waiting -= 1


class Link(asyncio.Protocol):
    """The connection to the sequencer, made anew whenever it is lost.

    Args:
        path: of the sequencer's socket.
        clock: the time of day.
        floors: for each log, what was signed with last.
    """

    def __init__(self, path: str, clock: Clock, floors: Mapping[str, SharedFloor]) -> None:
        self._path = path
        self._transport: asyncio.WriteTransport | None = None
        self._splitter = Splitter()
        self._lost = asyncio.Event()
        self._outgoing: list[bytes] = []
        """Messages."""
        self._numbers = 0
        self._pending: dict[int, tuple[Submission, asyncio.Future[Receipt]]] = {}
        self.connected = asyncio.Event()
        self.logs = {name: self._linked(place, name, clock, floors) for place, name in enumerate(LOGS)}

    def _linked(self, place: int, name: str, clock: Clock, floors: Mapping[str, SharedFloor]) -> LinkedLog:
        signing = SigningClock(clock)
        signing.share(floors[name])
        signing.guard(seconds_passed)
        return LinkedLog(self, place, signing)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Look for the sequencer for the length of a block."""
        async with working(self._keep):
            yield
        if self._transport is not None:
            self._flush()
            transport, self._transport = self._transport, None
            transport.close()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.create_unix_connection(lambda: self, self._path)
            except OSError:  # it is being started; that it was lost is said below
                await asyncio.sleep(RETRY_S)
            else:
                await self._lost.wait()

    # --- bring -------------------------------------------------------------------------------------------
    def bring(self, log: int, submission: Submission) -> asyncio.Future[Receipt]:
        """What becomes of ``submission``. Unavailable while there is no sequencer; other errors are its own."""
        if self._transport is None:
            raise _unavailable("the sequencer is not there")
        self._numbers += 1
        number = self._numbers
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._pending[number] = submission, answer
        self._send(encode_entry(number, log, submission))
        return answer

    def report(self, report: Report) -> bool:
        """Tell what was counted; whether there is somebody to tell it to."""
        if self._transport is None:
            return False
        self._send(encode_report(report))
        return True

    def _send(self, message: bytes) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(message)

    def _flush(self) -> None:
        messages, self._outgoing = self._outgoing, []
        if self._transport is not None:
            self._transport.writelines(encode_frames(messages))

    # --- as asyncio tells it -----------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio: the sequencer is there."""
        self._transport, self._splitter = cast("asyncio.WriteTransport", transport), Splitter()
        self._lost.clear()
        self.connected.set()

    def data_received(self, data: bytes) -> None:
        """Asyncio: answers came."""
        try:
            for frame in self._splitter.feed(data):
                for outcome in parse_told(frame):
                    submission, answer = self._pending.pop(outcome.number)
                    if answer.done():  # whoever asked has gone
                        continue
                    if isinstance(outcome, Failure):
                        answer.set_exception(outcome.error)
                    else:
                        answer.set_result(outcome.receipt(submission))
        except (Malformed, KeyError) as error:
            _log.critical("the sequencer says what cannot be: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio: the sequencer has gone; whoever waits is told so."""
        if self._transport is not None:  # else it was closed here
            _log.warning("the link to the sequencer is lost: %s", exc or "it closed it")
        self._transport, self._outgoing = None, []
        self.connected.clear()
        waiting, self._pending = self._pending, {}
        for _, answer in waiting.values():
            if not answer.done():
                answer.set_exception(_unavailable("the sequencer has ended; the entry may or may not be in the log"))
        self._lost.set()


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"the log takes no entries: {reason}", "submitting again in a second is safe")
