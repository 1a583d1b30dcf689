# SPDX-License-Identifier: Apache-2.0
"""The way to a provider of others and back, as a browser goes it: from the login page, and to the program that waits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from oidc_dev.authorization import Authorization
from oidc_dev.device_pages import DevicePages
from oidc_dev.federation import Federation
from oidc_dev.forms import Browser, Forms
from oidc_dev.guests import GuestSession
from oidc_dev.pages import Pages, kept_request
from oidc_dev.parameters import Parameters, parse_parameters
from oidc_dev.reply import Reply
from oidc_dev.throttle import network_of
from sigcore.errors import NotFound, SigError, Unavailable

_AGAIN: Final = "Start again from the program that sent you here; tell whoever runs this stack if it stays like this."

_log = logging.getLogger(__name__)


class GuestPages:
    """The two ends of a login elsewhere."""

    def __init__(
        self,
        federation: Federation,
        authorization: Authorization,
        devices: DevicePages,
        pages: Pages,
        forms: Forms,
        clock: Callable[[], datetime],
    ) -> None:
        self._federation = federation
        self._authorization = authorization
        self._devices = devices
        self._pages = pages
        self._forms = forms
        self._clock = clock

    async def begin(self, name: str, data: bytes, browser: Browser) -> Reply:
        """A redirect to the provider ``name``, from the link on a page of ours, whose query is ``data``.

        The link is good in the browser, and for the request or the user code, that it was shown for, like the form beside it.
        """
        try:
            link = parse_parameters(data, what="the link")
            asked = self._devices.checked_link(link, browser) if "user_code" in link else self._checked(link, browser)
            address = network_of(browser.address)
            url = await self._federation.begin(name, asked, cookie=browser.cookie, address=address, now=self._clock())
        except SigError as error:
            return self._failed(name, error)
        return Reply(303, "", (("Location", url), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")))

    async def finish(self, name: str, data: bytes, browser: Browser) -> Reply:
        """The answer to the program that waits, from the provider's answer ``data``, a query."""
        now = self._clock()
        try:
            answer = parse_parameters(data, what="the provider's answer")
            asked, guest = await self._federation.finish(name, answer, cookie=browser.cookie, now=now)
            place = self._devices if "user_code" in asked else self._authorization
            reply = place.welcome(asked, GuestSession(guest, since=now, used=now))
        except SigError as error:
            return self._failed(name, error)
        _log.info("%s logged in through %s from %s", guest.email, name, browser.address)
        return replace(reply, headers=(*reply.headers, ("Referrer-Policy", "no-referrer")))

    def _checked(self, link: Parameters, browser: Browser) -> Parameters:
        """The authorization request that the link on the login page carries."""
        asked = parse_parameters(link.get("request", "").encode("utf-8"), what="the link's request")
        self._forms.check(browser, kept_request(asked), link.get("csrf", ""))
        return asked

    def _failed(self, name: str, error: SigError) -> Reply:
        _log.warning("a login through %s failed: %s", ascii(name), error)
        status = 404 if isinstance(error, NotFound) else 503 if isinstance(error, Unavailable) else 403
        code = "temporarily_unavailable" if status == 503 else "access_denied"
        return self._pages.error(status, heading="You are not logged in", message=str(error), advice=_AGAIN, code=code)
