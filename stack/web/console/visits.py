# SPDX-License-Identifier: Apache-2.0
"""Who reads the console: in memory, by the hash of a name of 256 random bits, as the provider keeps its sessions. A restart ends all."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from oidc_dev.accounts import Account
from oidc_dev.rules import LoginRules
from sigcore.values import dataclass

MOST: Final = 10_000
"""At one time; beyond it the one that was not used for longest ends. Each costs a login."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A browser in which ``who`` logged in at ``since``; ``account`` is the local one, as it was then."""

    who: str
    account: Account | None
    since: datetime
    used: datetime


class Visits:
    """All of one console. Time is given; ``rules`` say how long one lasts, as for the provider."""

    def __init__(self, rules: LoginRules) -> None:
        self._idle = timedelta(seconds=rules.idle_s)
        self._whole = timedelta(seconds=rules.session_s or rules.idle_s)
        self._open: OrderedDict[bytes, Visit] = OrderedDict()

    def begin(self, who: str, account: Account | None, *, now: datetime) -> str:
        """A visit under a name that was never seen before, for the browser's cookie."""
        for key in [key for key, visit in self._open.items() if not self._lasts(visit, now)]:
            del self._open[key]
        while len(self._open) >= MOST:
            self._open.popitem(last=False)
        name = secrets.token_urlsafe(32)
        self._open[_hashed(name)] = Visit(who, account, now, now)
        return name

    def find(self, name: str, *, now: datetime) -> Visit | None:
        """The visit of that name, unless it has idled or lasted too long; it counts as used now.

        Whether its account is still what it was is for the caller to compare.
        """
        key = _hashed(name)
        visit = self._open.get(key)
        if visit is None or not self._lasts(visit, now):
            self._open.pop(key, None)
            return None
        self._open[key] = replace(visit, used=max(visit.used, now))
        self._open.move_to_end(key)
        return visit

    def end(self, name: str) -> None:
        """The visit of that name is over."""
        self._open.pop(_hashed(name), None)

    def _lasts(self, visit: Visit, now: datetime) -> bool:
        return visit.since <= now < visit.since + self._whole and now < visit.used + self._idle


def _hashed(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
