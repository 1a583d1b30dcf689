# SPDX-License-Identifier: Apache-2.0
"""Witnesses of a stack's log role: given to others (a part of it), asked of others (for each of its trees)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sigcore import limits
from sigcore.cosignature import parse_witness_verifier
from sigcore.errors import Refused, Unavailable
from stack.config import Home, Settings
from stack.last_time import seconds_passed
from stack.part import Part
from stack.shards import Shard
from stack.witness_files import Witnessed, list_file, load_witness, memory_file
from stack.witness_rows import WitnessRow
from tlog.cosigning import PATIENCE_S, Answer, Ask, Asked, Cosigners
from tlog.publish import SigningClock
from tlog.storage.witness_sqlite import SqliteWitnessStore
from tlog.witness import MemoryWitnessStore, Witness
from tlog.witness_http import make_routes

if TYPE_CHECKING:  # all of aiohttp
    from client.transport import AiohttpTransport

_HEADERS: Final = {"Content-Type": "text/plain; charset=utf-8"}


# --- given -------------------------------------------------------------------------------------------
class Given:
    """The witness that this stack is, made with the first request after it became one; a :class:`~stack.service.Service`."""

    def __init__(self, home: Home, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._home = home
        self._logs = Witnessed(list_file(home))
        self._store = MemoryWitnessStore() if settings.ephemeral else SqliteWitnessStore(memory_file(home))
        self._clock = SigningClock(clock)
        self._clock.guard(seconds_passed, accepted=settings.accept_clock)
        self._made: Witness | None = None
        if settings.database and self._logs.now():
            raise Refused(
                "a witness remembers in its own directory what it has cosigned, and this stack shares a database with other hosts",
                f"let another stack witness; sigbox witness remove, or move {list_file(home)} away",
            )

    def witness(self) -> Witness:
        """It. NotFound: this stack is none."""
        if self._made is None:
            self._made = load_witness(self._home, self._logs, self._store, self._clock)
        return self._made

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Release its memory."""
        if isinstance(self._store, SqliteWitnessStore):
            await self._store.close()


def given_part(home: Home, settings: Settings, clock: Callable[[], datetime]) -> Part:
    """``POST /witness/add-checkpoint``. Refused: the stack cannot be a witness and has logs to witness."""
    given = Given(home, settings, clock)
    return Part(make_routes(given.witness), services=(given,))


# --- asked -------------------------------------------------------------------------------------------
class Asking:
    """The way to the witnesses of a log; a :class:`~stack.service.Service` that is open while the log is."""

    def __init__(self, rows: Sequence[WitnessRow], quorum: int) -> None:
        self._rows = tuple(rows)
        self._quorum = quorum
        self._opened = AsyncExitStack()
        self._ways: dict[str, AiohttpTransport] = {}

    async def start(self) -> None:
        """Get ready to connect; nobody is asked yet. NotFound, Malformed: the file of a TLS authority is no good."""
        # Deferred: HTTP's client takes 280 ms.
        from client.transport import AiohttpTransport, tls_context  # noqa: PLC0415 - see the line above
        from stack.proxies import outside  # noqa: PLC0415 - the same

        for row in self._rows:
            tls = tls_context(row.ca_file) if row.ca_file else None
            transport = AiohttpTransport(tls=tls, timeout_s=PATIENCE_S, way=outside)
            self._ways[row.key] = await self._opened.enter_async_context(transport)

    async def stop(self) -> None:
        """Close the connections."""
        self._ways.clear()
        await self._opened.aclose()

    def cosigners(self, shard: Shard) -> Cosigners:
        """Those of one tree.

        Raises:
            Refused: the log was rotated. Its trees have one origin, and a witness keeps one tree for each origin.
        """
        if shard.number > 1:
            raise Refused(
                f"the log was rotated to {shard.name}, which its witnesses would take for a fork of the first tree: both have one origin",
                "take [[log.witnesses]] out of sigbox.toml",
            )
        return Cosigners([Asked(parse_witness_verifier(row.key), self._asker(row)) for row in self._rows], self._quorum)

    def _asker(self, row: WitnessRow) -> Ask:
        async def ask(body: bytes) -> Answer:
            way = self._ways.get(row.key)
            if way is None:
                raise Unavailable("the stack is stopping")
            url = f"{row.url}/add-checkpoint"
            answer = await way.request("POST", url, headers=_HEADERS, body=body, limit=limits.NOTE)
            return Answer(answer.status, answer.body)

        return ask


def asking(settings: Settings) -> Asking | None:
    """Of a stack whose settings name witnesses. Refused: its logs are in a database that several hosts share."""
    if not settings.witnesses:
        return None
    if settings.database:
        raise Refused(
            "[[log.witnesses]] is for a log in files, and this one is in a database that several hosts share",
            "take the witnesses out of sigbox.toml, or keep the log in files",
        )
    return Asking(settings.witnesses, settings.witness_quorum)
