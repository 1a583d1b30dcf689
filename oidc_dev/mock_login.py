# SPDX-License-Identifier: Apache-2.0
"""A login that asks for nothing: anybody is whoever they name. For stacks for tests, whose tokens nobody else takes.

It spares the password and the page, and nothing else: client, redirect URI, PKCE, state, nonce and scope are checked as ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from oidc_dev.accounts import Account
from oidc_dev.mailbox import parse_email
from oidc_dev.sessions import Session
from oidc_dev.store import Accounts
from sigcore.errors import Refused
from sigcore.strict import shown

ALWAYS: Final = ("alice@example.com", "bob@example.com")
"""Whom the pages offer beside those who have an account: a fresh stack has none."""
OFFERED: Final = 20
"""Buttons on a page; others are named by ``PUT /_ctl/login``."""


class MockLogin:
    """Whom the pages offer, and for whom they answer by themselves."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._always_as = ""

    def answer_as(self, email: str) -> None:
        """From now on every authorization request and every user code is answered at once, by ``email``.

        Raises:
            Malformed: it is no email.
        """
        self._always_as = parse_email(email)

    def show_pages(self) -> None:
        """End that."""
        self._always_as = ""

    @property
    def answers(self) -> bool:
        """Whether no page is shown."""
        return bool(self._always_as)

    def offered(self) -> tuple[str, ...]:
        """The emails to click on: of accounts that may log in, and :data:`ALWAYS`. May block; Unavailable: see the accounts."""
        known = {account.key: account for account in self._accounts.list()}
        also = (email for email in ALWAYS if email not in known)
        return (*(one.email for one in known.values() if not one.disabled), *also)[:OFFERED]

    def session(self, email: str, *, now: datetime) -> Session:
        """A login at ``now`` as ``email``, or as whoever the pages answer for. May block.

        It is for one answer: no browser gets it. An account of that email counts as it is.

        Raises:
            Malformed: that is no email. Refused: the account is disabled. Unavailable: the accounts cannot be read.
        """
        email = parse_email(email or self._always_as)
        account = self._accounts.find(email) or Account(email, "", verified=True, created=now)
        if account.disabled:
            raise Refused(f"the account of {shown(email)} is disabled", "sigbox user enable")
        return Session(account, since=now, used=now)
