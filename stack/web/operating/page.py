# SPDX-License-Identifier: Apache-2.0
"""``/operator``: what has to be done and by which command, roles, keys, countdowns, growth, audits, versions.

Nothing secret is read for it, and it changes nothing: every command is run by whoever has the machine.
"""

from __future__ import annotations

import asyncio
import shlex
import sqlite3
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from sigcore import limits, trustroot
from sigcore.errors import SigError
from sigcore.values import dataclass
from stack.authorities import SIGNERS, is_issued
from stack.config import Home, Settings, is_loopback
from stack.files import load_file
from stack.generations import current_folder
from stack.health import answers
from stack.tls import TlsFiles
from stack.trust.state import RoleState, load_roles
from stack.web.console.around import Around
from stack.web.console.shelf import Shelf
from stack.web.operating import needs
from stack.web.operating.growth import Disk, Growth, look, measure
from stack.web.operating.keys import ShownCertificate, ShownKey, certificates, provider_keys, trusted_keys
from tlog.catalog.catalog import Catalog

if TYPE_CHECKING:
    from stack.watch.store import Watched
    from stack.web.console.pages import Pages

PACKAGES: Final = ("aiohttp", "cryptography", "Authlib", "Jinja2", "tuf", "uvloop")
"""Those whose advisories concern a serving stack."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What is published; ``fault`` says why there is nothing to show."""

    roles: tuple[RoleState, ...] = ()
    keys: tuple[ShownKey, ...] = ()
    certificates: tuple[ShownCertificate, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Audited:
    """One log: ``entries`` that the background audit has read, or ``fault``; ``ended_ms`` is 0 while it is under way."""

    log: str
    entries: int
    tiles: int
    ended_ms: int
    fault: str
    behind: int
    """Entries that the search has not read yet."""


class Operating:
    """The page of one stack."""

    def __init__(
        self, home: Home, settings: Settings, shelves: Mapping[str, Shelf], catalog: Catalog, around: Around
    ) -> None:
        self._home = home
        self._settings = settings
        self._shelves = shelves
        self._catalog = catalog
        self._around = around

    def make_routes(self, pages: Callable[[], Pages]) -> list[web.RouteDef]:
        """The routes; ``pages`` is asked when the first page is."""

        async def page(request: web.Request) -> web.Response:
            try:
                values = await self.read()
            except SigError as error:
                return pages().refusal(request, error)
            return pages().page(request, "operator.html", **values)

        return [web.get("/operator", page)]

    async def read(self) -> dict[str, Any]:
        """Everything that the page shows, of one moment. Unavailable: the search's storage failed."""
        now = self._around.clock()
        sizes = {name: shelf.log.size for name, shelf in self._shelves.items()}
        growth = await look(self._catalog, sizes, now)
        roles = answers(self._around.checks, now)
        trust, disk = await asyncio.to_thread(self._read, growth, now)
        watcher = self._around.watcher
        watched = await watcher.look() if watcher is not None and not watcher.fault else None
        audits = tuple(self._audited())
        return {
            "now": now,
            "needs": [*self._needs(roles, trust, audits, disk, now), *self._alerts(watched)],
            "watcher": watcher,
            "watched": watched,
            "roles": roles,
            "elsewhere": self._settings.services,
            "trust": trust,
            "growth": growth,
            "disk": disk,
            "elsewhere_kept": bool(self._settings.database),
            "audits": audits,
            "versions": versions(),
        }

    def _read(self, growth: tuple[Growth, ...], now: datetime) -> tuple[Trust, Disk | None]:
        """What is on the disk; called on a thread."""
        disk = None
        if not self._settings.ephemeral:
            with suppress(OSError):
                disk = measure(self._home.path, () if self._settings.database else growth)
        return self._trust(now), disk

    def _trust(self, now: datetime) -> Trust:
        home, ring = self._home, self._around.ring
        try:
            root = trustroot.parse_trusted_root(load_file(home.trusted_root, what="the trusted root"))
            keys = (*trusted_keys(root, now), *(provider_keys(ring, now) if ring is not None else ()))
            issued = {role.upper() for role in SIGNERS if is_issued(current_folder(home, role))}
            found = (replace(one, corporate=one.of in issued) for one in certificates(root, self._tls(), now))
            return Trust(load_roles(home.tuf_repository), keys, tuple(found))
        except SigError as error:
            return Trust(fault=error.message)

    def _tls(self) -> bytes | None:
        path = TlsFiles.own(self._home).certificate
        if not self._settings.url.startswith("https:") or not path.exists():
            return None
        return load_file(path, what="the TLS certificate", limit=limits.CERTIFICATE)

    def _audited(self) -> list[Audited]:
        covered = self._catalog.covered
        return [
            Audited(
                name,
                log.audited.entries if log.audited else 0,
                log.audited.tiles if log.audited else 0,
                log.audited_ms,
                log.damage or log.fault,
                max(log.size - covered.get(name, 0), 0),
            )
            for name, log in ((name, shelf.log) for name, shelf in self._shelves.items())
        ]

    def _alerts(self, watched: Watched | None) -> list[needs.Need]:
        watcher = self._around.watcher
        return list(needs.of_alerts(watched, watcher.fault if watcher else "", self._data))

    @property
    def _data(self) -> str:
        """The data directory as commands name it; where it lies is said on its machine only."""
        return shlex.quote(str(self._home.path)) if is_loopback(self._settings.host) else "DATA"

    def _needs(
        self, roles: Mapping[str, str], trust: Trust, audits: tuple[Audited, ...], disk: Disk | None, now: datetime
    ) -> list[needs.Need]:
        data, logs = self._data, {one.log: one.fault for one in audits}
        return [
            *needs.of_logs(logs, data),
            *needs.of_roles({role: answer for role, answer in roles.items() if not logs.get(role)}, data),
            *needs.of_tuf(trust.roles, now, data),
            *needs.of_certificates(trust.certificates, now, data),
            *needs.of_disk(disk, data),
        ]


@cache
def versions() -> tuple[tuple[str, str], ...]:
    """What runs here: ours first."""
    found = [("sigbox", _version("sigbox")), ("Python", sys.version.split()[0])]
    found += [("SQLite", sqlite3.sqlite_version), (ssl.OPENSSL_VERSION.split()[0], ssl.OPENSSL_VERSION.split()[1])]
    return (*found, *((name, number) for name in PACKAGES if (number := _version(name))))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
