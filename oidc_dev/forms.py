# SPDX-License-Identifier: Apache-2.0
"""Forms of our own pages: good in the browser that was shown them, for the request that they were shown for, until a restart."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final

from sigcore.errors import Refused

_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)
"""As ``secrets.token_urlsafe(32)`` makes them; anything else is not ours."""


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser says of itself: its two cookies, the origin of the page that sent a form (empty where it says none), its address.

    ``cookie`` was set with the first form, ``session`` after a login.
    """

    cookie: str = ""
    session: str = ""
    origin: str = ""
    address: str = ""


class Forms:
    """Makes and checks the tokens of forms, with a key that lasts as long as the object."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._key = secrets.token_bytes(32)

    @staticmethod
    def cookie_of(browser: Browser) -> str:
        """The browser's cookie, or a fresh one where it has none of ours."""
        return browser.cookie if _COOKIE.match(browser.cookie) else secrets.token_urlsafe(32)

    def token(self, cookie: str, about: str) -> str:
        """The token of a form that is shown to the browser with ``cookie``, ``about`` one request."""
        return hmac.new(self._key, f"{cookie}\n{about}".encode(), hashlib.sha256).hexdigest()

    def check(self, browser: Browser, about: str, token: str) -> None:
        """Refuse a form that was not shown to this browser about this request.

        Raises:
            Refused: says which of it.
        """
        if browser.origin not in ("", self._origin):
            raise Refused("the form was sent from a page of another origin")
        # The cookie is looked at first: what is none of ours may hold what no text can be encoded with.
        ours = _COOKIE.match(browser.cookie) is not None
        expected = self.token(browser.cookie, about) if ours else ""
        if not ours or not hmac.compare_digest(expected.encode(), token.encode("utf-8")):
            raise Refused("the form was not opened in this browser, or the stack has been started anew since")
