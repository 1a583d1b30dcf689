# SPDX-License-Identifier: Apache-2.0
"""Who is logged in with which browser (OpenID Connect Core section 3.1.2.3: the end-user may be authenticated already).

In memory, by the hash of a name of 256 random bits. A session spares the password, never the question: a page still asks before
a program gets a token.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from oidc_dev.accounts import Account
from oidc_dev.rules import LoginRules

MOST: Final = 10_000
"""Sessions at one time; beyond it the one that was not used for longest ends. Each costs a password."""
MOST_OF_ONE: Final = 10
"""Of one account; beyond it, its oldest ends."""


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which ``account`` gave its password at ``since``."""

    account: Account
    since: datetime
    used: datetime


class Sessions:
    """The sessions of one provider. Time is given."""

    def __init__(self, rules: LoginRules) -> None:
        self._rules = rules
        self._open: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, account: Account, *, now: datetime) -> str:
        """A session under a name that was never seen before, for the browser's cookie; empty where there are no sessions."""
        if not self._rules.session_s:
            return ""
        self._forget(now)
        own = [key for key, session in self._open.items() if session.account.key == account.key]
        for key in own[: max(len(own) - MOST_OF_ONE + 1, 0)]:
            del self._open[key]
        while len(self._open) >= MOST:
            self._open.popitem(last=False)
        name = secrets.token_urlsafe(32)
        self._open[_hashed(name)] = Session(account, since=now, used=now)
        return name

    def find(self, name: str, *, now: datetime) -> Session | None:
        """The session of that name, unless it has idled or lasted too long; it counts as used now.

        Whether its account is still what it was is for the caller to compare.
        """
        key = _hashed(name)
        session = self._open.get(key)
        if session is None or not self._lasts(session, now):
            self._open.pop(key, None)
            return None
        self._open[key] = replace(session, used=max(session.used, now))
        self._open.move_to_end(key)
        return session

    def end(self, name: str) -> None:
        """The session of that name is over."""
        self._open.pop(_hashed(name), None)

    def _lasts(self, session: Session, now: datetime) -> bool:
        """A clock that was set back before its beginning ends a session too."""
        idle, whole = timedelta(seconds=self._rules.idle_s), timedelta(seconds=self._rules.session_s)
        return session.since <= now < session.since + whole and now < session.used + idle

    def _forget(self, now: datetime) -> None:
        for key in [key for key, session in self._open.items() if not self._lasts(session, now)]:
            del self._open[key]


def _hashed(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
