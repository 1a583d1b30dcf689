# SPDX-License-Identifier: Apache-2.0
"""Is this person who he says he is: password, one-time password, session; and how often one may ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from oidc_dev import totp
from oidc_dev.accounts import Account, email_key
from oidc_dev.forms import Browser
from oidc_dev.parameters import Parameters
from oidc_dev.passwords import Passwords
from oidc_dev.rules import LoginRules
from oidc_dev.seal import Seal
from oidc_dev.sessions import Session, Sessions
from oidc_dev.store import Accounts
from oidc_dev.throttle import Rate, Throttle, network_of
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.strict import shown

if TYPE_CHECKING:  # for tests alone
    from oidc_dev.mock_login import MockLogin

WRONG: Final = "The email, the password or the one-time code is wrong."
"""The same words for all of them, after the same work."""
PER_ACCOUNT: Final = Rate(burst=6, pause_s=10)
PER_ADDRESS: Final = Rate(burst=60, pause_s=1)
QUEUE: Final = 32
"""Passwords that wait to be hashed, one after the other: the memory for one hash is all that logins ever take."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Denied:
    """Why somebody is not logged in, in words for the page, with the status to answer and the seconds to wait."""

    problem: str
    status: int = 403
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class Entered:
    """A login: who, since when, and the name of the session for the browser's cookie (empty: it has one already, or gets none)."""

    session: Session
    name: str = ""


class Logins:
    """The logins of one provider. Throttles and sessions are in memory and bounded."""

    def __init__(
        self, accounts: Accounts, rules: LoginRules, seal: Callable[[], Seal], mock: MockLogin | None = None
    ) -> None:
        self._accounts = accounts
        self._mock = mock
        self._passwords = Passwords(rules.passes)
        self._seal = seal
        self._sessions = Sessions(rules)
        self._per_account, self._per_address = Throttle(PER_ACCOUNT), Throttle(PER_ADDRESS)
        self._hasher = ThreadPoolExecutor(1, "oidc-password")
        self._queued = 0

    async def enter(self, form: Parameters, browser: Browser, *, now: datetime) -> Entered | Denied:
        """The login that ``form`` asks for, with email and password, or, where its action is ``continue``, with the session.

        A session is gone on with only as the account that the page has shown: meanwhile another tab may have logged in as another.

        1. The address and the account have tries left: else 429 with the time to wait. Unknown accounts count like known ones.
        2. The password is checked, or that of nobody, which takes as long; then the one-time password of an account that has one,
           whose code is spent by it. Disabled accounts are refused after that work.
        3. A session begins under a new name, and the one that the browser had ends.

        Raises:
            Unavailable: the accounts cannot be read.
        """
        if form.get("action") == "continue":
            session = await self.session(browser, now=now)
            if session is None or form.get("who") != session.account.email:
                return Denied("That session is over. Sign in again.")
            return Entered(session)
        if self._mock and "as" in form:
            return await self._mocked(self._mock, form["as"], now)
        email = form.get("email", "")[: limits.IDENTITY + 1]
        wait_s = self._wait(email, browser.address, now)  # 1
        if wait_s:
            return Denied(f"Too many attempts. Try again in {wait_s} seconds.", 429, wait_s)
        account = await self._authenticate(email, form, now)  # 2
        if account is None:
            _log.warning("failed login as %s from %s", shown(email), browser.address)
            return Denied(WRONG)
        _log.info("%s logged in from %s", account.email, browser.address)
        self._per_account.forgive(account.key)
        self._per_address.give_back(network_of(browser.address))  # people behind one address do not guess
        self._sessions.end(browser.session)  # 3
        return Entered(Session(account, since=now, used=now), self._sessions.begin(account, now=now))

    async def session(self, browser: Browser, *, now: datetime) -> Session | None:
        """The browser's session, if its account is still exactly what it was: not removed, not disabled, with the same password.

        Raises:
            Unavailable: the accounts cannot be read.
        """
        session = self._sessions.find(browser.session, now=now) if browser.session else None
        if session is None:
            return None
        if await self._read(None, self._accounts.find, session.account.email) != session.account:
            self._sessions.end(browser.session)
            return None
        return session

    async def at_once(self, *, now: datetime) -> Session | None:
        """Who answers without a page being shown: nobody, but where a test ordered it, and the account is not disabled.

        Raises:
            Unavailable: the accounts cannot be read.
        """
        if self._mock is None or not self._mock.answers:
            return None
        entered = await self._mocked(self._mock, "", now)
        return None if isinstance(entered, Denied) else entered.session

    async def people(self) -> tuple[str, ...]:
        """Whom the pages offer to be without a password: nobody, but where that is for tests. Unavailable: no accounts."""
        return await asyncio.to_thread(self._mock.offered) if self._mock else ()

    async def _mocked(self, mock: MockLogin, email: str, now: datetime) -> Entered | Denied:
        try:
            session = await asyncio.to_thread(mock.session, email, now=now)
        except (Malformed, Refused) as error:
            _log.warning("failed login without a password: %s", error)
            return Denied(WRONG)
        _log.warning("%s logged in without a password, as tests may here", shown(session.account.email))
        return Entered(session)

    def leave(self, browser: Browser) -> None:
        """The browser's session is over."""
        self._sessions.end(browser.session)

    def may_ask(self, address: str, *, now: datetime) -> bool:
        """Whether somebody at ``address`` may try one more guess at something else than a password."""
        return self._per_address.take(network_of(address), now_s=now.timestamp()) == 0

    def _wait(self, email: str, address: str, now: datetime) -> int:
        """Whole seconds until the next try; 0 when this one may be made."""
        now_s = now.timestamp()
        if self._queued >= QUEUE:
            return 1
        wait_s = self._per_address.take(network_of(address), now_s=now_s)
        return -int(-(wait_s or self._per_account.take(email_key(email), now_s=now_s)) // 1)

    async def _authenticate(self, email: str, form: Parameters, now: datetime) -> Account | None:
        """Runs beside the event loop, one at a time."""
        self._queued += 1
        try:
            return await self._read(self._hasher, self._check, email, form, now)
        finally:
            self._queued -= 1

    async def _read(
        self, where: ThreadPoolExecutor | None, read: Callable[..., Account | None], *arguments: object
    ) -> Account | None:
        """What ``read`` finds, beside the event loop. Why it finds nothing is the operator's news, and nobody else's."""
        try:
            return await asyncio.get_running_loop().run_in_executor(where, read, *arguments)
        except SigError as error:
            _log.error("nobody can log in: %s", error)
            raise Unavailable("the accounts cannot be read", "the log says why") from error

    def _check(self, email: str, form: Parameters, now: datetime) -> Account | None:
        account, password = self._accounts.find(email), form.get("password", "")
        if not self._passwords.holds(account.password if account else None, password):
            return None
        if account is None or account.disabled:
            return None
        if account.one_time and not self._one_time_holds(account, form.get("one_time", ""), now):
            return None
        if not self._passwords.is_outdated(account.password):
            return account
        try:
            return self._accounts.set_password(account.email, self._passwords.hash(password), was=account.password)
        except NotFound:  # somebody has just given it another password
            return None

    def _one_time_holds(self, account: Account, code: str, now: datetime) -> bool:
        secret = self._seal().open(account.one_time, of=account.key)
        step = totp.matching_step(secret, code, now=now, after=self._accounts.last_step(account.email))
        return step is not None and self._accounts.use_step(account.email, step)
