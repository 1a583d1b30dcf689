# SPDX-License-Identifier: Apache-2.0
"""The issuer table of a running CA follows its files: a change counts within two seconds, a bad one is logged and not taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ca.issuers import Issuer, IssuerTable
from stack.config import Home
from stack.issuers import Accepted, KeyRing, load_issuers

LOOK_S: Final = 1.0
"""Between two looks at the files: a few system calls."""

_log = logging.getLogger("sigbox.issuers")
_Stamp = tuple[Path, int, int, int] | None


def issuer_files(home: Home, config: Path | None) -> tuple[Path, ...]:
    """The files that name issuers: settings, ``--config``, and what ``sigbox issuer`` writes (absent until then)."""
    return tuple(file for file in (home.settings_file, config, home.issuers) if file is not None)


def load_all(files: Iterable[Path], ring: KeyRing | None = None) -> Accepted:
    """The issuers of all ``files`` that exist.

    Raises:
        NotFound, Malformed, Refused: as :func:`~stack.issuers.load_issuers`.
    """
    return sum((load_issuers(file, ring) for file in files if file.exists()), Accepted())


class LiveIssuers:
    """Issuers beside our own, from files that are looked at again and again.

    Raises:
        NotFound, Malformed, Refused: a file cannot be used; only at the start.
    """

    def __init__(self, files: tuple[Path, ...] = ()) -> None:
        self._files = files
        self._ring = KeyRing()
        self._own: tuple[Issuer, ...] = ()
        self._also: tuple[Issuer, ...] = ()
        self._failure = ""
        before = tuple(map(_stamp, files))
        self._accepted = load_all(files, self._ring)
        state = self._state()
        self._seen: tuple[_Stamp, ...] = (
            state if state[: len(before)] == before else ()
        )  # changed meanwhile: read again at the first look

    def table(self, own: Issuer, also: tuple[Issuer, ...] = ()) -> IssuerTable:
        """The table of ``own`` and the others, which :meth:`watch` keeps up; Malformed when one is named twice.

        Of ``also`` those count that no file names.
        """
        self._own, self._also = (own,), also
        self._table = IssuerTable(self._rows(self._accepted), self._accepted.patterns)
        return self._table

    def _rows(self, accepted: Accepted) -> tuple[Issuer, ...]:
        named = {issuer.url for issuer in accepted.issuers}
        return (*self._own, *accepted.issuers, *(issuer for issuer in self._also if issuer.url not in named))

    async def watch(self) -> None:
        """Look at the files, and take up what changed, until it is cancelled."""
        await self._make_ready()
        while True:
            await asyncio.sleep(LOOK_S)
            state = self._state()
            if state != self._seen:
                self._seen = state
                await self._take_up()

    async def _take_up(self) -> None:
        try:
            accepted = await asyncio.to_thread(load_all, self._files, self._ring)
            self._table.replace(self._rows(accepted), accepted.patterns)
        except Exception as error:  # noqa: BLE001 - said in the log; the issuers must go on being followed
            self._seen = ()  # tried again at the next look: what is missing may come
            if str(error) != self._failure:
                _log.error("the issuers were changed and cannot be used, so the old ones stay: %s", error)
            self._failure = str(error)
            return
        self._failure = ""
        self._accepted = accepted
        await self._make_ready()
        _log.info("issuers read anew: %d, and %d patterns", len(accepted.issuers), len(accepted.patterns))

    async def _make_ready(self) -> None:
        if self._accepted.discovers:
            await asyncio.to_thread(_import_transport)

    def _state(self) -> tuple[_Stamp, ...]:
        return tuple(map(_stamp, dict.fromkeys((*self._files, *self._accepted.files))))


def _import_transport() -> None:
    import ca.transport  # noqa: F401, PLC0415 - so that the first token whose issuer's keys are fetched does not wait for it


def _stamp(file: Path) -> _Stamp:
    try:
        found = file.stat()
    except OSError:
        return None
    return file, found.st_mtime_ns, found.st_size, found.st_ino
