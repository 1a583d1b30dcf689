# SPDX-License-Identifier: Apache-2.0
"""``[console] login``: who may read the pages. It asks the stack's own provider, in the same process, as any client would ask.

1. A page without a visit leads to the provider, and from there to ``/account/callback``.
2. The code is redeemed where it was made: no token is minted, and no connection opened.
3. Whoever logged in and may read begins a visit, under a name that the browser did not have before.

What programs ask for (JSON, CSV, archives) is refused with 401 instead. The interfaces of the services are not behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from oidc_dev.accounts import Account
from oidc_dev.clients import Registered
from oidc_dev.forms import Browser, Forms
from oidc_dev.rules import LoginRules
from oidc_dev.store import Accounts
from sigcore.errors import NotFound, Refused, SigError, Unavailable
from sigcore.strict import shown
from stack.config import Settings
from stack.console_login import LoginDemand
from stack.plain import refusal
from stack.web.console.around import Around
from stack.web.console.departure import CLIENT, Departures
from stack.web.console.forms import read_texts, see_other
from stack.web.console.visits import Visit, Visits

if TYPE_CHECKING:
    from stack.web.console.pages import Pages

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN: Final = ("/console/{name}", "/account/callback", "/account")
"""Paths that are answered without a visit."""
_FOR_PROGRAMS: Final = (".json", ".csv", ".zip")
_LEAVE: Final = "leave"

_log = logging.getLogger("sigbox.console")


class Door:
    """In front of every page of one console."""

    def __init__(
        self,
        settings: Settings,
        around: Around,
        demand: LoginDemand,
        registered: Registered,
        rules: LoginRules,
        accounts: Accounts,
    ) -> None:
        self._clock = around.clock
        self._demand = demand
        self._codes = registered.codes
        self._visits = Visits(rules)
        self._accounts = accounts
        self._departures = Departures(settings.issuer, registered.client.redirect_uri)
        self._forms = Forms(settings.url)
        self._secure = settings.url.startswith("https:")
        prefix = "__Host-" if self._secure else ""
        self._cookie, self._visit = f"{prefix}sigbox-console", f"{prefix}sigbox-visit"

    def before(self, handlers: Mapping[tuple[str, str], Handler]) -> dict[tuple[str, str], Handler]:
        """The handlers, each behind the door but those that are open."""
        return {
            (method, path): handler if path in OPEN else self._behind(handler)
            for (method, path), handler in handlers.items()
        }

    def _behind(self, handler: Handler) -> Handler:
        async def asked(request: web.Request) -> web.StreamResponse:
            try:
                visit = await self._visit_of(request)
            except Unavailable as error:
                _log.error("nobody can read the console: %s", error)
                return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the accounts cannot be read")
            if visit is not None:
                answer = await handler(request)
                answer.headers["Cache-Control"] = "no-store"
                return answer
            if request.path.endswith(_FOR_PROGRAMS):
                return refusal(
                    HTTPStatus.UNAUTHORIZED, "the console asks for a login: open one of its pages in a browser"
                )
            return self._depart(request)

        return asked

    async def _visit_of(self, request: web.Request) -> Visit | None:
        """The browser's visit, if its account is still exactly what it was. Unavailable: the accounts cannot be read."""
        name = request.cookies.get(self._visit, "")
        visit = self._visits.find(name, now=self._clock()) if name else None
        if visit is not None and await self._account(visit.who) != visit.account:
            self._visits.end(name)
            return None
        return visit

    async def _account(self, who: str) -> Account | None:
        """None for somebody of another provider."""
        return await asyncio.to_thread(self._accounts.find, who)

    def _depart(self, request: web.Request) -> web.Response:
        """(1)"""
        cookie = self._forms.cookie_of(self._browser(request))
        path = str(request.rel_url) if request.method == "GET" else request.path
        answer = see_other(self._departures.leave(cookie, path, now=self._clock()))
        answer.headers["Referrer-Policy"] = "no-referrer"
        self._set(answer, self._cookie, cookie)
        return answer

    # --- its own pages -----------------------------------------------------------------------------------
    def make_routes(self, pages: Callable[[], Pages]) -> list[web.RouteDef]:
        """``/account``: who is logged in, and the way out; ``/account/callback``: back from the provider."""

        async def callback(request: web.Request) -> web.Response:
            try:
                return await self._arrive(request)
            except SigError as error:
                return pages().refusal(request, error)

        async def account(request: web.Request) -> web.Response:
            try:
                visit = await self._visit_of(request)
            except SigError as error:
                return pages().refusal(request, error)
            cookie = self._forms.cookie_of(self._browser(request))
            csrf = self._forms.token(cookie, _LEAVE)
            answer = pages().page(request, "account.html", asked=True, visit=visit, csrf=csrf)
            answer.headers["Referrer-Policy"] = "same-origin"  # else a browser hides the form's origin from us too
            self._set(answer, self._cookie, cookie)
            return answer

        async def leave(request: web.Request) -> web.Response:
            try:
                texts = await read_texts(request)
                self._forms.check(self._browser(request), _LEAVE, texts.get("csrf", ""))
            except SigError as error:
                return pages().refusal(request, error)
            self._visits.end(request.cookies.get(self._visit, ""))
            answer = see_other("/account")
            self._set(answer, self._visit, "")
            return answer

        return [web.get("/account", account), web.post("/account", leave), web.get("/account/callback", callback)]

    async def _arrive(self, request: web.Request) -> web.Response:
        """(2) and (3)"""
        now, words = self._clock(), request.query
        cookie, state = request.cookies.get(self._cookie, ""), words.get("state", "")
        path = self._departures.back(cookie, state, now=now)
        if "error" in words:
            raise Refused(f"nobody was logged in: {shown(words['error'])}", "open the page again")
        granted = self._codes.redeem(words.get("code", ""), CLIENT, now=now)
        self._departures.check(granted, cookie, state)
        assert granted is not None  # noqa: S101 - that was checked
        who = granted.identity.email or granted.identity.subject
        self._demand.check(granted.identity)
        self._visits.end(request.cookies.get(self._visit, ""))
        name = self._visits.begin(who, await self._account(who), now=now)
        answer = see_other(path)
        self._set(answer, self._visit, name)
        return answer

    def _browser(self, request: web.Request) -> Browser:
        return Browser(cookie=request.cookies.get(self._cookie, ""), origin=request.headers.get("Origin", ""))

    def _set(self, answer: web.Response, name: str, value: str) -> None:
        age = None if value else 0
        answer.set_cookie(name, value, secure=self._secure, httponly=True, samesite="Lax", path="/", max_age=age)


def open_routes(pages: Callable[[], Pages]) -> list[web.RouteDef]:
    """The same paths where no login is asked for."""

    async def account(request: web.Request) -> web.Response:
        return pages().page(request, "account.html", asked=False, visit=None, csrf="")

    async def nothing(request: web.Request) -> web.Response:
        return pages().refusal(request, NotFound("these pages ask for no login"))

    return [web.get("/account", account), web.post("/account", nothing), web.get("/account/callback", nothing)]
