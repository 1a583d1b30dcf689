# SPDX-License-Identifier: Apache-2.0
"""Witnesses of a stack's log role: what it gives to others, and whom it asks. Few stacks do either, and import more than this."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore.errors import Refused
from stack.config import Home, Settings
from stack.last_time import seconds_passed
from stack.part import Part
from tlog.http import Handler
from tlog.publish import SigningClock

if TYPE_CHECKING:  # see above
    from stack.asked_witnesses import Asking
    from tlog.storage.witness_sqlite import SqliteWitnessStore
    from tlog.witness import Witness

PATH: Final = "/witness/add-checkpoint"


class Given:
    """The witness that this stack is, made with the first request after it became one; a :class:`~stack.service.Service`."""

    def __init__(self, home: Home, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._home = home
        self._settings = settings
        self._clock = SigningClock(clock)
        self._clock.guard(seconds_passed, accepted=settings.accept_clock)
        self._handler: Handler | None = None
        self._store: SqliteWitnessStore | None = None
        self._made: Witness | None = None
        if settings.database:
            _check_no_witness(home)

    async def answer(self, request: web.Request) -> web.Response:
        """As :mod:`tlog.witness_http` says."""
        if self._handler is None:
            from tlog.witness_http import make_handler  # noqa: PLC0415 - see the module

            self._handler = make_handler(self._witness)
        return await self._handler(request)

    def _witness(self) -> Witness:
        """It. NotFound: this stack is none."""
        if self._made is None:
            from stack.witness_files import Witnessed, list_file, load_witness, memory_file  # noqa: PLC0415 - the same
            from tlog.storage.witness_sqlite import SqliteWitnessStore  # noqa: PLC0415 - the same
            from tlog.witness import MemoryWitnessStore  # noqa: PLC0415 - the same

            lasting = None if self._settings.ephemeral else SqliteWitnessStore(memory_file(self._home))
            logs = Witnessed(list_file(self._home))
            self._made = load_witness(self._home, logs, lasting or MemoryWitnessStore(), self._clock)
            self._store = lasting
        return self._made

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Release its memory."""
        if self._store is not None:
            await self._store.close()


def _check_no_witness(home: Home) -> None:
    from stack.witness_files import list_file, load_witnessed  # noqa: PLC0415 - see the module

    if load_witnessed(list_file(home)):
        raise Refused(
            "a witness remembers in its own directory what it has cosigned, and this stack shares a database with other hosts",
            f"let another stack witness; sigbox witness remove, or move {list_file(home)} away",
        )


def given_part(home: Home, settings: Settings, clock: Callable[[], datetime]) -> Part:
    """``POST /witness/add-checkpoint``. Refused: the stack cannot be a witness and has logs to witness."""
    given = Given(home, settings, clock)
    return Part([web.post(PATH, given.answer)], services=(given,))


def asking(settings: Settings) -> Asking | None:
    """Of a stack whose settings name witnesses. Refused: its logs are in a database that several hosts share."""
    if not settings.witnesses:
        return None
    if settings.database:
        raise Refused(
            "[[log.witnesses]] is for a log in files, and this one is in a database that several hosts share",
            "take the witnesses out of sigbox.toml, or keep the log in files",
        )
    from stack.asked_witnesses import Asking  # noqa: PLC0415 - see the module

    return Asking(settings.witnesses, settings.witness_quorum)
