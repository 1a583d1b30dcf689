# SPDX-License-Identifier: Apache-2.0
"""The authorization endpoint and the login behind it (RFC 6749 section 4.1, OpenID Connect Core section 3.1.2)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from authlib.oauth2.rfc6749 import OAuth2Error  # type: ignore[import-untyped]  # Authlib brings no types

from oidc_dev.accounts import Account, email_key
from oidc_dev.pages import Pages, kept_request
from oidc_dev.parameters import Parameters, parse_parameters
from oidc_dev.passwords import password_holds
from oidc_dev.provider import Provider
from oidc_dev.redirects import OUT_OF_BAND
from oidc_dev.reply import Reply
from oidc_dev.server import Request, Server
from oidc_dev.store import Accounts
from oidc_dev.throttle import Rate, Throttle
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError
from sigcore.strict import shown

WRONG: Final = "The email or the password is wrong."
"""The same words for both, after the same work."""
PER_ACCOUNT: Final = Rate(burst=6, pause_s=10)
PER_ADDRESS: Final = Rate(burst=60, pause_s=1)
QUEUE: Final = 32
"""Passwords that wait to be hashed, one after the other: the memory for one hash is all that logins ever take."""

_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)
"""As ``secrets.token_urlsafe(32)`` makes them; anything else is not ours."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser says of itself with a form: its cookie, the page's origin (empty where it sends none), its address."""

    cookie: str
    origin: str
    address: str


class Authorization:
    """The endpoint of one provider. All state is in memory and bounded: codes, throttles, and the key of its forms."""

    def __init__(self, provider: Provider, accounts: Accounts, server: Server) -> None:
        self._provider = provider
        self._accounts = accounts
        self._server = server
        self._pages = Pages(provider)
        self._key = secrets.token_bytes(32)
        self._per_account, self._per_address = Throttle(PER_ACCOUNT), Throttle(PER_ADDRESS)
        self._hasher = ThreadPoolExecutor(1, "oidc-password")
        self._queued = 0

    @property
    def style(self) -> str:
        """The style sheet of the pages."""
        return self._pages.style

    def ask(self, data: bytes, cookie: str) -> Reply:
        """The login page for the authorization request that ``data``, a query or a form, spells.

        1. Parameters: form-urlencoded, each once.
        2. The client exists and the redirect URI is one that it may use. What fails up to here is shown and never redirected.
        3. Response type, PKCE, scope: what fails is told to the client by a redirect, with its ``state``.
        4. The page gets a token that is bound to this request and to this browser's cookie; a browser without one gets one.
        """
        try:
            asked = parse_parameters(data, what="the authorization request")  # 1
            self._consent(asked, self._provider.clock())  # 2, 3
            if "none" in asked.get("prompt", "").split(" "):
                raise OAuth2Error(
                    "somebody has to log in",
                    state=asked.get("state"),
                    redirect_uri=asked["redirect_uri"],
                    error="login_required",
                )
        except OAuth2Error as error:
            return self._refused(error)
        except Malformed as error:
            return self._refused_by_page("invalid_request", str(error))
        cookie = cookie if _COOKIE.match(cookie) else secrets.token_urlsafe(32)
        page = self._pages.login(
            asked, csrf=self._csrf(cookie, asked), email=asked.get("login_hint", "")[: limits.IDENTITY]
        )  # 4
        return Reply(page.status, page.body, page.headers, cookie)

    async def login(self, data: bytes, browser: Browser) -> Reply:
        """What the login form leads to: a code for the client, or the form again.

        1. The form is whole, comes from a page of ours, and carries the token of this browser and this request: else 403.
        2. The request is checked again as in :meth:`ask`; the form proves nothing but that it was shown.
        3. "Cancel" is told to the client.
        4. The address and the account have tries left: else 429 with the time to wait.
        5. The password is checked, or that of nobody, which takes as long: else 403 with one message for both.
        6. The code is made and bound, and the client gets it.
        """
        now = self._provider.clock()
        try:
            form = parse_parameters(data, what="the login form")
            asked = self._checked_form(form, browser)  # 1
            request, grant = self._consent(asked, now)  # 2
            if form.get("action") == "cancel":  # 3
                return self._answer(request, grant, None)
            return await self._log_in(form, asked, browser, (request, grant))  # 4 - 6
        except OAuth2Error as error:
            return self._refused(error)
        except Malformed as error:
            return self._refused_by_page("invalid_request", str(error))
        except Refused as error:
            return self._pages.error(
                403, heading="This form cannot be used", message=str(error), advice=_START_AGAIN, code="access_denied"
            )

    # --- the request ---------------------------------------------------------------------------------------
    def _consent(self, asked: Parameters, now: datetime) -> tuple[Request, Any]:
        request = Request(asked, now=now)
        return request, self._server.get_consent_grant(request)

    def _checked_form(self, form: Parameters, browser: Browser) -> Parameters:
        """The authorization request that the form carries."""
        if browser.origin not in ("", self._provider.origin):
            raise Refused("the form was sent from a page of another origin")
        asked = parse_parameters(form.get("request", "").encode("utf-8"), what="the form's request")
        expected = self._csrf(browser.cookie, asked)
        if not _COOKIE.match(browser.cookie) or not hmac.compare_digest(
            expected.encode(), form.get("csrf", "").encode("utf-8")
        ):
            raise Refused("the form was not opened in this browser, or the stack has been started anew since")
        return asked

    def _csrf(self, cookie: str, asked: Parameters) -> str:
        message = f"{cookie}\n{kept_request(asked)}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    # --- the login -----------------------------------------------------------------------------------------
    async def _log_in(
        self, form: Parameters, asked: Parameters, browser: Browser, consent: tuple[Request, Any]
    ) -> Reply:
        request, grant = consent
        email, csrf = form.get("email", "")[: limits.IDENTITY + 1], form.get("csrf", "")
        wait_s = self._wait(email, browser.address, request.now)
        if wait_s:
            again = f"Too many attempts. Try again in {wait_s} seconds."
            page = self._pages.login(asked, csrf=csrf, email=email, problem=again, status=429)
            return Reply(page.status, page.body, (*page.headers, ("Retry-After", str(wait_s))))
        try:
            account = await self._authenticate(email, form.get("password", ""))
        except SigError as error:
            _log.error("nobody can log in: %s", error)
            return self._pages.error(
                503,
                heading="Nobody can log in now",
                message="the accounts cannot be read",
                advice="Tell whoever runs this stack; its log says why.",
                code="server_error",
            )
        if account is None:
            _log.warning("failed login as %s from %s", shown(email), browser.address)
            return self._pages.login(asked, csrf=csrf, email=email, problem=WRONG, status=403)
        _log.info("%s logged in from %s", account.email, browser.address)
        self._per_account.forgive(email_key(email))
        return self._answer(request, grant, account)

    def _wait(self, email: str, address: str, now: datetime) -> int:
        """Whole seconds until the next try; 0 when this one may be made. Unknown emails count like known ones."""
        now_s = now.timestamp()
        if self._queued >= QUEUE:
            return 1
        wait_s = self._per_address.take(_network(address), now_s=now_s)
        return -int(-(wait_s or self._per_account.take(email_key(email), now_s=now_s)) // 1)

    async def _authenticate(self, email: str, password: str) -> Account | None:
        """The account, if it exists and the password is its own. Runs beside the event loop, one at a time."""

        def check() -> Account | None:
            account = self._accounts.find(email)
            return account if password_holds(account.password if account else None, password) else None

        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hasher, check)
        finally:
            self._queued -= 1

    # --- the answer ----------------------------------------------------------------------------------------
    def _answer(self, request: Request, grant: Any, account: Account | None) -> Reply:
        """The client's answer: a redirect with code or error; out of band, a page."""
        if account is None and request.payload.redirect_uri == OUT_OF_BAND:
            return self._refused_by_page("access_denied", "you cancelled; the program that sent you here got nothing")
        reply: Reply = self._server.create_authorization_response(request, account, grant)
        if account and not isinstance(reply.body, str):
            return self._pages.code(str(reply.body["code"]), email=account.email)
        return _redirect(reply)

    def _refused(self, error: Any) -> Reply:
        """By redirect where the redirect URI is known to be good and can be gone to; else by a page."""
        if not error.redirect_uri or error.redirect_uri == OUT_OF_BAND:
            return self._refused_by_page(error.error, error.description)
        status, body, headers = error()
        return _redirect(Reply(status, body, tuple(headers)))

    def _refused_by_page(self, code: str, message: str) -> Reply:
        heading = "Cancelled" if code == "access_denied" else "This request cannot be answered"
        return self._pages.error(400, heading=heading, message=message, advice=_START_AGAIN, code=code)


_START_AGAIN: Final = "Close this page and start again from the program that sent you here."


def _redirect(reply: Reply) -> Reply:
    """303 instead of Authlib's 302: no browser may send the password on (RFC 9700 section 4.12)."""
    return Reply(303, "", (*reply.headers, ("Cache-Control", "no-store")))


def _network(address: str) -> str:
    """What one attacker has for himself: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
