# SPDX-License-Identifier: Apache-2.0
"""The authorization endpoint and the login behind it (RFC 6749 section 4.1, OpenID Connect Core section 3.1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from authlib.oauth2.rfc6749 import OAuth2Error  # type: ignore[import-untyped]  # Authlib brings no types

from oidc_dev.forms import Browser, Forms
from oidc_dev.guests import GuestSession
from oidc_dev.logins import Denied, Entered, Logins
from oidc_dev.pages import Pages, Shown, kept_request
from oidc_dev.parameters import Parameters, parse_parameters
from oidc_dev.redirects import OUT_OF_BAND
from oidc_dev.reply import Reply
from oidc_dev.server import Request, Server
from oidc_dev.sessions import Session
from sigcore import limits
from sigcore.errors import Malformed, Refused, Unavailable

_START_AGAIN: Final = "Close this page and start again from the program that sent you here."
_MAX_AGE: Final = re.compile(r"[0-9]{1,9}\Z", re.ASCII)


class Authorization:
    """The endpoint of one provider."""

    def __init__(self, server: Server, logins: Logins, pages: Pages, forms: Forms) -> None:
        self._server = server
        self._logins = logins
        self._pages = pages
        self._forms = forms

    async def ask(self, data: bytes, browser: Browser) -> Reply:
        """The login page for the authorization request that ``data``, a query or a form, spells.

        1. Parameters: form-urlencoded, each once.
        2. The client exists and the redirect URI is one that it may use. What fails up to here is shown and never redirected.
        3. Response type, PKCE, scope: what fails is told to the client by a redirect, with its ``state``.
        4. Who has a session is asked whether to go on with it, unless the request wants a login. Nobody is passed by silently,
           but where a test has said who answers (:mod:`oidc_dev.mock_login`).
        5. The page gets a token that is bound to this request and to this browser's cookie; a browser without one gets one.
        """
        now = self._server.now()
        try:
            asked = parse_parameters(data, what="the authorization request")  # 1
            request, grant = self._consent(asked, now)  # 2, 3
            session = await self._usable_session(asked, browser, now)  # 4
            if tester := await self._logins.at_once(now=now):
                return self._answer(request, grant, tester)
            if "none" in asked.get("prompt", "").split(" "):
                raise _error(asked, "interaction_required" if session else "login_required", "somebody has to agree")
            people = await self._logins.people()
        except OAuth2Error as error:
            return self._refused(error)
        except Malformed as error:
            return self._refused_by_page("invalid_request", str(error))
        except Unavailable:
            return self._pages.unavailable()
        cookie = self._forms.cookie_of(browser)
        email = session.account.email if session else ""
        hint = asked.get("login_hint", "")[: limits.IDENTITY]
        shown = Shown(self._forms.token(cookie, kept_request(asked)), email=hint, session=email, people=people)
        return replace(self._pages.login(asked, shown), cookie=cookie)  # 5

    async def login(self, data: bytes, browser: Browser) -> Reply:
        """What the login form leads to: a code for the client, or the form again.

        1. The form is whole, comes from a page of ours, and carries the token of this browser and this request: else 403.
        2. The request is checked again as in :meth:`ask`; the form proves nothing but that it was shown.
        3. "Cancel" is told to the client.
        4. Somebody is logged in (:meth:`oidc_dev.logins.Logins.enter`), or gets the form again.
        5. The code is made and bound, and the client gets it.
        """
        now = self._server.now()
        try:
            form = parse_parameters(data, what="the login form")
            asked = parse_parameters(form.get("request", "").encode("utf-8"), what="the form's request")
            self._forms.check(browser, kept_request(asked), form.get("csrf", ""))  # 1
            request, grant = self._consent(asked, now)  # 2
            if form.get("action") == "cancel":  # 3
                return self._answer(request, grant, None)
            entered = await self._entered(form, asked, browser, now)  # 4
        except OAuth2Error as error:
            return self._refused(error)
        except Malformed as error:
            return self._refused_by_page("invalid_request", str(error))
        except Refused as error:
            return self._forged(str(error))
        except Unavailable:
            return self._pages.unavailable()
        if isinstance(entered, Denied):
            return again(self._pages.login(asked, form_again(form, entered)), entered)
        return replace(self._answer(request, grant, entered.session), session=entered.name or None)  # 5

    def welcome(self, asked: Parameters, session: GuestSession) -> Reply:
        """The answer to the client that asked, for somebody who logged in elsewhere; the request is checked again."""
        try:
            request, grant = self._consent(asked, self._server.now())
            return self._answer(request, grant, session)
        except OAuth2Error as error:
            return self._refused(error)

    # --- the request ---------------------------------------------------------------------------------------
    def _consent(self, asked: Parameters, now: datetime) -> tuple[Request, Any]:
        request = Request(asked, now=now)
        return request, self._server.get_consent_grant(request)

    async def _usable_session(self, asked: Parameters, browser: Browser, now: datetime) -> Session | None:
        """The browser's session, unless the request wants a login (OpenID Connect Core section 3.1.2.1)."""
        max_age = asked.get("max_age", "")
        if max_age and not _MAX_AGE.match(max_age):
            raise _error(asked, "invalid_request", "max_age must be a number of seconds")
        if {"login", "select_account"} & set(asked.get("prompt", "").split(" ")):
            return None
        session = await self._logins.session(browser, now=now)
        if session is None or (max_age and now - session.since > timedelta(seconds=int(max_age))):
            return None
        return session

    async def _entered(self, form: Parameters, asked: Parameters, browser: Browser, now: datetime) -> Entered | Denied:
        if form.get("action") == "continue" and await self._usable_session(asked, browser, now) is None:
            return Denied("That session is over, or not enough for this program. Sign in again.")
        return await self._logins.enter(form, browser, now=now)

    # --- the answer ----------------------------------------------------------------------------------------
    def _answer(self, request: Request, grant: Any, session: Session | GuestSession | None) -> Reply:
        """The client's answer: a redirect with code or error; out of band, a page."""
        if session is None and request.payload.redirect_uri == OUT_OF_BAND:
            return self._refused_by_page("access_denied", "you cancelled; the program that sent you here got nothing")
        reply: Reply = self._server.create_authorization_response(request, session, grant)
        if session and isinstance(reply.body, Mapping):
            return self._pages.code(str(reply.body["code"]), email=session.account.email)
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

    def _forged(self, message: str) -> Reply:
        return forged(self._pages, message, _START_AGAIN)


def forged(pages: Pages, message: str, advice: str) -> Reply:
    """The answer to a form that was not shown here."""
    heading = "This form cannot be used"
    return pages.error(403, heading=heading, message=message, advice=advice, code="access_denied")


def form_again(form: Parameters, denied: Denied) -> Shown:
    """The form as it was sent, without what is secret, and why it is shown again."""
    return Shown(
        csrf=form.get("csrf", ""),
        email=form.get("email", "")[: limits.IDENTITY + 1],
        problem=denied.problem,
        status=denied.status,
        one_time="one_time" in form,
    )


def again(page: Reply, denied: Denied) -> Reply:
    """``page`` with the time to wait, if there is one."""
    return replace(page, headers=(*page.headers, ("Retry-After", str(denied.wait_s)))) if denied.wait_s else page


def _error(asked: Parameters, code: str, description: str) -> Any:
    return OAuth2Error(description, state=asked.get("state"), redirect_uri=asked["redirect_uri"], error=code)


def _redirect(reply: Reply) -> Reply:
    """303 instead of Authlib's 302: no browser may send the password on (RFC 9700 section 4.12)."""
    return Reply(303, "", (*reply.headers, ("Cache-Control", "no-store")))
