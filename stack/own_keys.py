# SPDX-License-Identifier: Apache-2.0
"""The keys of the stack's own provider, when it runs in another process than the authority: written by the one, read by the other.

The file is public. Where both see it, no network lies in between; else the authority fetches the keys as those of any issuer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ca.issuers import PinnedKeys
from ca.jwks import parse_jwks
from ca.ports import KeySet, TokenKey
from oidc_dev.provider import Provider
from oidc_dev.signing import jwks
from sigcore import limits
from sigcore.errors import SigError, Unavailable
from stack.config import Home, Settings
from stack.files import load_file, make_folder, save_file
from stack.service import working

LOOK_S: Final = 1.0
"""Between two looks at the provider's keys: they are published long before they sign."""

_log = logging.getLogger("sigbox.oidc")


class FileKeys:
    """The key set in ``path``, read anew when the file has changed; see :class:`ca.ports.KeySet`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._keys: PinnedKeys | None = None

    async def find(self, key_id: str) -> TokenKey:
        """The key of exactly this id.

        Raises:
            Refused: the set has no such key. Unavailable: no set could be read so far.
        """
        try:
            state = self._path.stat()
            if (stamp := (state.st_mtime_ns, state.st_ino)) != self._seen:
                data = load_file(self._path, what="the provider's key set", limit=limits.TOKEN_KEY_SET)
                self._keys, self._seen = parse_jwks(data), stamp
        except (OSError, SigError) as error:
            _log.warning("the keys of the stack's own provider cannot be read: %s", error)
        if self._keys is None:
            raise Unavailable("the keys of the stack's own provider cannot be read", f"expected in {self._path.name}")
        return await self._keys.find(key_id)


def key_set(settings: Settings, place: str | None, home: Home) -> KeySet:
    """Where an authority that stands alone has the keys of the stack's provider from.

    Args:
        settings: for the issuer.
        place: a file, or the URL of the key set; None for the file that the provider writes, when both run on one machine.
        home: for that file, and for the stack's own TLS authority: where there is one, it alone vouches for the provider's host.

    Raises:
        Malformed, Refused: the URL is none that keys may come from.
    """
    if place is None or not place.startswith(("http:", "https:")):
        return FileKeys(Path(place).absolute() if place else home.own_key_set)
    # Deferred: only who fetches needs HTTP.
    from ca.discovery import DiscoveredKeys  # noqa: PLC0415 - see the line above
    from ca.transport import Access  # noqa: PLC0415 - the same

    ours = home.tls_ca.exists() and urlsplit(place).hostname == settings.host_of("oidc")
    ca = load_file(home.tls_ca, what="the stack's TLS authority").decode("ascii", "replace") if ours else ""
    return DiscoveredKeys(settings.issuer, Access(ca), jwks_uri=place)


@asynccontextmanager
async def publishing(provider: Provider, file: Path, clock: Callable[[], datetime]) -> AsyncIterator[None]:
    """Keep ``file`` up with the keys of ``provider`` while the block runs; it is there when the block begins.

    Raises:
        OSError: the file cannot be written.
    """
    written = await asyncio.to_thread(_save, provider, file, clock())
    async with working(partial(_publish, provider, file, clock, written)):
        yield


async def _publish(provider: Provider, file: Path, clock: Callable[[], datetime], written: bytes) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if _encode(provider, clock()) != written:
                written = await asyncio.to_thread(_save, provider, file, clock())
        except OSError as error:
            _log.error("the provider's keys were not written to %s: %s", file, error)


def _save(provider: Provider, file: Path, now: datetime) -> bytes:
    data = _encode(provider, now)
    make_folder(file.parent, 0o755)
    save_file(file, data)
    return data


def _encode(provider: Provider, now: datetime) -> bytes:
    return json.dumps(jwks(provider.keys.published(now)), indent=2).encode() + b"\n"
