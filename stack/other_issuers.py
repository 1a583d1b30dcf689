# SPDX-License-Identifier: Apache-2.0
"""Other OpenID issuers of a stack for tests, on its own origin: each with its own key, good at the authority while it exists.

An issuer is a key file in the data directory, ``oidc/issuer-NAME.key``, and nothing else: so all processes of a stack know of it at
once. It has no login; its tokens are ordered from ``/_ctl/token``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

from aiohttp import web

from ca.issuers import OWN, Issuer, IssuerTable, PinnedKeys
from oidc_dev.provider import Provider
from oidc_dev.signing import ALGORITHM, KeyRing, generate_rsa, jwks
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.patterns import pattern
from sigcore.strict import JSON, shown
from stack.bootstrap import load_oidc_key, save_oidc_key
from stack.config import Home, Settings

MOST: Final = 64
"""Issuers at one time: each is a key in memory."""
_NAME: Final = pattern(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class _Known:
    """An issuer as it was read from its file, whose number and time are ``stamp``."""

    stamp: tuple[int, int]
    provider: Provider
    row: Issuer


class OtherIssuers:
    """The other issuers of the stack in ``home``."""

    def __init__(self, home: Home, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._home, self._settings, self._clock = home, settings, clock
        self._base = f"{settings.url}/_ctl/issuers/"
        self._known: dict[str, _Known] = {}
        self._making = threading.Lock()

    def create(self, name: str) -> Provider:
        """The issuer of that name, with a fresh key where there was none. Takes a tenth of a second: a key is made.

        Raises:
            Malformed: that is no name. Refused: there are as many as there may be.
        """
        if not _NAME.match(name):
            raise Malformed(
                f"the issuer's name is {shown(name)}, expected small letters, digits and inner dashes, 63 at most"
            )
        with self._making:  # who asks for one twice at once gets one
            if not self._file(name).exists():
                if sum(1 for _ in self._names()) >= MOST:
                    raise Refused(f"there are {MOST} other issuers", "take one away: DELETE /_ctl/issuers/NAME")
                save_oidc_key(self._home, f"issuer-{name}", generate_rsa(), self._settings)
            return self.provider(name)

    def remove(self, name: str) -> None:
        """Nobody takes its tokens any more. NotFound: there is none."""
        self.provider(name)
        self._file(name).unlink(missing_ok=True)

    def provider(self, name: str) -> Provider:
        """The issuer of that name, to mint with. NotFound: there is none."""
        found = self._find(name)
        if found is None:
            raise NotFound(f"there is no issuer {shown(name)}", "make it: PUT /_ctl/issuers/NAME")
        return found.provider

    def row(self, url: str) -> Issuer | None:
        """The row of the issuer with exactly this ``url``, for the authority; None where there is none."""
        found = self._find(url.removeprefix(self._base)) if url.startswith(self._base) else None
        return found.row if found else None

    def rows(self) -> Iterator[Issuer]:
        """All of them, by name."""
        return (found.row for name in self._names() if (found := self._find(name)))

    def _find(self, name: str) -> _Known | None:
        """Read anew where the file is another one than before."""
        try:
            state = self._file(name).stat() if _NAME.match(name) else None
        except FileNotFoundError:
            state = None
        if state is None:
            self._known.pop(name, None)
            return None
        stamp, known = (state.st_ino, state.st_mtime_ns), self._known.get(name)
        if known is None or known.stamp != stamp:
            known = self._known[name] = self._read(name, stamp)
        return known

    def _read(self, name: str, stamp: tuple[int, int]) -> _Known:
        ring = KeyRing.of(load_oidc_key(self._home, f"issuer-{name}"))
        provider = Provider(f"{self._base}{name}", ring, self._clock, untrusted=True)
        pinned = PinnedKeys(ring.published(self._clock()).items())
        return _Known(stamp, provider, Issuer(provider.issuer, pinned, kind=OWN))

    def _names(self) -> Iterator[str]:
        files = sorted(self._home.path.glob("oidc/issuer-*.key"))
        return (file.stem.removeprefix("issuer-") for file in files)

    def _file(self, name: str) -> Path:
        return self._home.path / "oidc" / f"issuer-{name}.key"


class WithOthers(IssuerTable):
    """``table``, and beside it the ``others``, as they are at each moment."""

    __slots__ = ("_others", "_table")

    def __init__(self, table: IssuerTable, others: OtherIssuers) -> None:
        super().__init__(())
        self._table, self._others = table, others

    def __iter__(self) -> Iterator[Issuer]:
        return chain(self._table, self._others.rows())

    def find(self, url: str) -> Issuer:
        """See :class:`ca.issuers.IssuerTable`."""
        return self._others.row(url) or self._table.find(url)


def make_routes(others: OtherIssuers) -> list[web.RouteDef]:
    """What a relying party reads of an issuer."""

    def found(request: web.Request) -> Provider:
        try:
            return others.provider(request.match_info["name"])
        except NotFound as error:
            raise web.HTTPNotFound from error

    async def configuration(request: web.Request) -> web.Response:
        return web.json_response(discovery(found(request).issuer), headers=_PUBLIC)

    async def keys(request: web.Request) -> web.Response:
        provider = found(request)
        return web.json_response(jwks(provider.keys.published(provider.clock())), headers=_PUBLIC)

    return [
        web.get("/_ctl/issuers/{name}/.well-known/openid-configuration", configuration),
        web.get("/_ctl/issuers/{name}/keys", keys),
    ]


_PUBLIC: Final = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
"""Nobody may keep the keys: an issuer that is taken away and made again has another one."""


def discovery(issuer: str) -> dict[str, JSON]:
    """Its discovery document: that of an issuer at which nobody logs in, as GitHub's is."""
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/keys",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "email", "email_verified"],
    }
