# SPDX-License-Identifier: Apache-2.0
"""Where somebody lets a program have a token that waits on another device (RFC 8628 section 3.3), and where he logs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from oidc_dev.authorization import again, forged, form_again
from oidc_dev.devices import Device, Devices, plain_user_code
from oidc_dev.forms import Browser, Forms
from oidc_dev.guests import GuestSession
from oidc_dev.logins import Denied, Logins
from oidc_dev.pages import Pages, Shown, shown_time
from oidc_dev.parameters import Parameters, parse_parameters
from oidc_dev.reply import Reply
from oidc_dev.sessions import Session
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable

UNKNOWN: Final = "No program waits with this code. Codes are good for ten minutes, and once."
_OPEN_AGAIN: Final = "Open the page anew."


class DevicePages:
    """The verification page and the session page of one provider."""

    def __init__(
        self, devices: Devices, logins: Logins, pages: Pages, forms: Forms, clock: Callable[[], datetime]
    ) -> None:
        self._devices = devices
        self._logins = logins
        self._pages = pages
        self._forms = forms
        self._clock = clock

    async def ask(self, data: bytes, browser: Browser) -> Reply:
        """The page for the user code in the query ``data``: to type it; or the question whether its program may have a token.

        A guess costs a try of the address, like a password.
        """
        now = self._clock()
        try:
            typed = parse_parameters(data, what="the query").get("user_code", "")
            if not typed:
                return self._pages.device()
            if not self._logins.may_ask(browser.address, now=now):
                return _later(self._pages.device(problem="Too many attempts. Try again in a minute.", status=429))
            device = self._devices.find(plain_user_code(typed), now=now)
            if device is None:
                return self._pages.device(problem=UNKNOWN, status=404)
            if tester := await self._logins.at_once(now=now):
                return self._allowed(device, tester, now, kept=False)
            session, people = await self._logins.session(browser, now=now), await self._logins.people()
        except Malformed as error:
            return self._pages.device(problem=str(error), status=400)
        except Unavailable:
            return self._pages.unavailable()
        cookie = self._forms.cookie_of(browser)
        email = session.account.email if session else ""
        shown = Shown(self._forms.token(cookie, _about(device)), session=email, people=people)
        return replace(self._pages.approve(device, shown), cookie=cookie)

    async def decide(self, data: bytes, browser: Browser) -> Reply:
        """What the form leads to.

        1. It is a form of ours, shown in this browser, about this user code.
        2. The program still waits.
        3. "Deny" is told to it; else somebody logs in, or gets the form again.
        4. The program gets its answer at its next poll.
        """
        now = self._clock()
        try:
            form = parse_parameters(data, what="the form")
            code = plain_user_code(form.get("user_code", ""))
            self._forms.check(browser, f"device {code}", form.get("csrf", ""))  # 1
            device = self._devices.find(code, now=now)
            if device is None:  # 2
                return self._pages.device(problem=UNKNOWN, status=404)
            return await self._decided(device, form, browser, now)
        except Malformed as error:
            return self._pages.device(problem=str(error), status=400)
        except Refused as error:
            return forged(self._pages, str(error), _OPEN_AGAIN)
        except Unavailable:
            return self._pages.unavailable()

    async def _decided(self, device: Device, form: Parameters, browser: Browser, now: datetime) -> Reply:
        if form.get("action") == "deny":  # 3
            self._devices.decide(device.user_code, None, now=now)
            return self._pages.done(email="", denied=True)
        entered = await self._logins.enter(form, browser, now=now)
        if isinstance(entered, Denied):
            return again(self._pages.approve(device, form_again(form, entered)), entered)
        kept = "as" not in form
        return replace(self._allowed(device, entered.session, now, kept=kept), session=entered.name or None)

    def _allowed(self, device: Device, session: Session, now: datetime, *, kept: bool) -> Reply:
        if not self._devices.decide(device.user_code, session, now=now):  # 4
            return self._pages.device(problem=UNKNOWN, status=404)
        return self._pages.done(email=session.account.email, denied=False, kept=kept)

    # --- with a provider of others -----------------------------------------------------------------------------
    def checked_link(self, link: Parameters, browser: Browser) -> Parameters:
        """What a link beside the form asks for: somebody logs in elsewhere, for this user code.

        Raises:
            Refused: it was not shown in this browser about this code. NotFound: no program waits with it any more.
        """
        code = plain_user_code(link.get("user_code", ""))
        self._forms.check(browser, f"device {code}", link.get("csrf", ""))
        if self._devices.find(code, now=self._clock()) is None:
            raise NotFound(UNKNOWN)
        return {"user_code": code}

    def welcome(self, asked: Parameters, session: GuestSession) -> Reply:
        """Somebody who logged in elsewhere allows the program: it gets its answer. NotFound: none waits any more."""
        if not self._devices.decide(asked["user_code"], session, now=self._clock()):
            raise NotFound(UNKNOWN)
        return self._pages.done(email=session.account.email, denied=False, kept=False)

    # --- the session -----------------------------------------------------------------------------------------
    async def session(self, browser: Browser) -> Reply:
        """Who is logged in with this browser."""
        try:
            session = await self._logins.session(browser, now=self._clock())
        except Unavailable:
            return self._pages.unavailable()
        if session is None:
            return self._pages.session(email="", since="", csrf="")
        cookie = self._forms.cookie_of(browser)
        since = shown_time(session.since)
        page = self._pages.session(email=session.account.email, since=since, csrf=self._forms.token(cookie, _LEAVE))
        return replace(page, cookie=cookie)

    def leave(self, data: bytes, browser: Browser) -> Reply:
        """Log out with this browser."""
        try:
            self._forms.check(browser, _LEAVE, parse_parameters(data, what="the form").get("csrf", ""))
        except SigError as error:
            return forged(self._pages, str(error), _OPEN_AGAIN)
        self._logins.leave(browser)
        return replace(self._pages.session(email="", since="", csrf=""), session="")


_LEAVE: Final = "leave"


def _about(device: Device) -> str:
    return f"device {device.user_code}"


def _later(page: Reply) -> Reply:
    return replace(page, headers=(*page.headers, ("Retry-After", "60")))
