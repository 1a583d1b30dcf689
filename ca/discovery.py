# SPDX-License-Identifier: Apache-2.0
"""The keys of an issuer that are found by discovery (OpenID Connect Discovery 1.0), within bounds.

Nothing of a request decides where is asked: the URL is that of a row of the table, or one that matches the row's pattern. What
failed is told to the log, and to the requester only that it did.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from ca.issuers import PinnedKeys
from ca.jwks import parse_fetched_jwks
from ca.ports import Fetch, KeySet, TokenKey
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.strict import Fields, shown

FRESH_S: Final = 600
"""A key that its issuer withdraws is not taken longer than this, if the issuer answers."""
RETRY_S: Final = 30
"""Between two tries, whatever is asked meanwhile: unknown key ids cost one fetch, not one each."""
PATIENCE_S: Final = 1.0
"""How long a key that is known waits for a set that may have withdrawn it; an issuer that is away costs no more."""
STALE_S: Final = 24 * 3600
"""A set that could not be refreshed for so long is not used."""
NEW_PER_MINUTE: Final = 30
"""Issuers that one pattern lets in: each of them costs two requests before anything is known of it."""
WELL_KNOWN: Final = "/.well-known/openid-configuration"
_KEY_HOSTS: Final = {"https://accounts.google.com": "www.googleapis.com"}
"""Issuers of Fulcio's own file whose keys are known to be on another host."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_log = logging.getLogger(__name__)
Clock = Callable[[], float]


class DiscoveredKeys:
    """The key set of ``issuer``.

    1. A set that is fresh (:data:`FRESH_S`) and has the key answers.
    2. Else it is fetched, once for all who wait, and whoever of them goes away; not within :data:`RETRY_S` of the last try. Who
       asks for a key that the old set has waits for :data:`PATIENCE_S` only.
    3. Then the set answers, fresh or not; but none that is older than :data:`STALE_S`.

    A fetch: the discovery document at the issuer's URL (unless the operator said where the keys are) names exactly this issuer,
    and a key set at the issuer's scheme and host, or at the one host that the operator allows; of the set, the keys that can be
    used are.

    Args:
        issuer: its exact URL.
        fetch: how documents are read.
        jwks_uri: where the keys are, instead of what discovery says.
        jwks_host: the host that may have the keys beside the issuer's own.
        monotonic: seconds, of any beginning.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        *,
        jwks_uri: str = "",
        jwks_host: str = "",
        monotonic: Clock = time.monotonic,
    ) -> None:
        _check_safe(jwks_uri or issuer)
        self._issuer = issuer
        self._fetch = fetch
        self._jwks_uri = jwks_uri
        self._hosts = (urlsplit(issuer).netloc, jwks_host or _KEY_HOSTS.get(issuer, ""))
        self._monotonic = monotonic
        self._fetching: asyncio.Task[None] | None = None
        self._keys: PinnedKeys | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._failed = False

    @property
    def empty(self) -> bool:
        """Whether no set was ever read."""
        return self._keys is None

    async def find(self, key_id: str) -> TokenKey:
        """The key with exactly this id.

        Raises:
            Refused: the issuer has no such key. Unavailable: its keys could not be read, or those that are known are older than the
                last try, which failed, and this is none of them.
        """
        known = self._keys is not None and key_id in self._keys
        if not known or self._age_s() > FRESH_S:  # 1
            await self._refresh(PATIENCE_S if known and self._age_s() <= STALE_S else None)
        if self._keys is None or self._age_s() > STALE_S:  # 3
            wait = max(1, round(self._tried_at + RETRY_S - self._monotonic()))
            raise Unavailable(
                f"the keys of the issuer {self._issuer} cannot be read now; the CA's log says why",
                f"it is tried again in {wait} s",
            )
        if self._failed and key_id not in self._keys:
            raise Unavailable(
                f"the issuer {self._issuer} has no such key that is known here, and cannot be asked; the CA's log says why"
            )
        return await self._keys.find(key_id)

    def _age_s(self) -> float:
        return self._monotonic() - self._fetched_at

    async def _refresh(self, patience_s: float | None) -> None:  # 2
        if self._fetching is None:
            if self._monotonic() - self._tried_at <= RETRY_S:
                return
            self._tried_at = self._monotonic()
            self._fetching = asyncio.create_task(self._try())
        await asyncio.wait((self._fetching,), timeout=patience_s)

    async def _try(self) -> None:
        try:
            self._failed = True  # until it is over
            self._keys = await self._read()
            self._fetched_at, self._failed = self._monotonic(), False
        except SigError as error:
            _log.warning("the keys of the issuer %s were not read: %s", self._issuer, error)
        except Exception:  # noqa: BLE001 - nobody awaits this task's result; logged with its traceback
            _log.exception("the keys of the issuer %s were not read", self._issuer)
        finally:
            self._fetching = None

    async def _read(self) -> PinnedKeys:
        place = self._jwks_uri or await self._discover()
        keys, left_out = parse_fetched_jwks(await self._fetch(place, limit=limits.TOKEN_KEY_SET))
        for reason in left_out:
            _log.info("a key of the issuer %s is not used: %s", self._issuer, reason)
        return keys

    async def _discover(self) -> str:
        data = await self._fetch(self._issuer.removesuffix("/") + WELL_KNOWN, limit=limits.DISCOVERY)
        document = Fields.parse(data, what="the discovery document", limit=limits.DISCOVERY)
        if document.text("issuer") != self._issuer:
            raise Refused(f"its discovery document is that of the issuer {shown(document.text('issuer'), 200)}")
        place = document.text("jwks_uri", limit=limits.REDIRECT_URI)
        _check_safe(place)
        parts, own = urlsplit(place), urlsplit(self._issuer)
        if parts.scheme != own.scheme or parts.netloc not in self._hosts:
            raise Refused(
                f"its keys are said to be at {shown(place, 200)}, which is not the issuer's own host",
                f"if that is right, add jwks-host: {parts.netloc}" if parts.scheme == own.scheme else "",
            )
        return place


def _check_safe(url: str) -> None:
    """Keys that came over plain HTTP are anybody's, unless they came from this machine (RFC 6761 section 6.3)."""
    if not re.match(r"https?://[!-~]+\Z", url):
        raise Malformed(f"the keys are at {shown(url)}, expected an https URL")
    host = urlsplit(url).hostname or ""
    if url.startswith("http:") and host not in _LOOPBACK and not host.endswith(".localhost"):
        raise Refused(f"the keys are at {shown(url)}, over plain HTTP", "give them in a file (jwks), or use https")


class MatchedKeys:
    """The key sets of the issuers that match one pattern: the most recent, and no more new ones than a minute may have."""

    def __init__(self, make: Callable[[str], DiscoveredKeys], *, monotonic: Clock = time.monotonic) -> None:
        self._make = make
        self._monotonic = monotonic
        self._sets: dict[str, DiscoveredKeys] = {}
        self._begun: deque[float] = deque(maxlen=NEW_PER_MINUTE)

    def of(self, issuer: str) -> KeySet:
        """The key set of ``issuer``, which matches the pattern."""
        return _OneOf(self, issuer)

    async def find(self, issuer: str, key_id: str) -> TokenKey:
        """The key of ``issuer`` with exactly this id.

        Raises:
            As :meth:`DiscoveredKeys.find`; Unavailable also when too many issuers are new.
        """
        if issuer not in self._sets:
            self._admit(issuer)
        return await self._sets[issuer].find(key_id)

    def _admit(self, issuer: str) -> None:
        now = self._monotonic()
        if len(self._begun) == NEW_PER_MINUTE and now - self._begun[0] < 60:
            raise Unavailable("too many issuers are seen here for the first time", "try again in a minute")
        self._begun.append(now)
        if len(self._sets) >= limits.ISSUERS:  # those that never had keys go first
            oldest = next((name for name, keys in self._sets.items() if keys.empty), next(iter(self._sets)))
            del self._sets[oldest]
        self._sets[issuer] = self._make(issuer)


class _OneOf:
    """One issuer of a pattern."""

    __slots__ = ("_issuer", "_sets")

    def __init__(self, sets: MatchedKeys, issuer: str) -> None:
        self._sets, self._issuer = sets, issuer

    async def find(self, key_id: str) -> TokenKey:
        return await self._sets.find(self._issuer, key_id)
