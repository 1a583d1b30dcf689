# SPDX-License-Identifier: Apache-2.0
"""The way from a page to the provider and back (OpenID Connect Core section 3.1, RFC 7636), without a memory on our side. Pure.

``state`` says where to return and until when, under a MAC that covers the browser's cookie: an answer counts in the browser, and for
the page, that asked. The PKCE verifier and the nonce are derived from both under the same key, so nothing is kept for somebody who
never comes back.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from oidc_dev.codes import AuthorizationCode
from sigcore.errors import Malformed, Refused
from sigcore.strict import encode_base64url, parse_base64url

CLIENT: Final = "sigbox-console"
SCOPE: Final = "openid email"
"""With less, nothing is said of the email, not even whether the provider vouches for it."""
MINUTES: Final = 10
"""From the page to the answer."""
LONGEST_PATH: Final = 1500
"""Characters of the page to return to; beyond it, the search."""
FIRST_PAGE: Final = "/search"
_OURS: Final = re.compile(r"/(?![/\\])[!-~]*\Z", re.ASCII)
"""A path, and nothing that a browser takes for another host."""
_MAC: Final = 32


class Departures:
    """Those of one console: ``issuer`` is its provider, ``callback`` the whole URL of its redirect."""

    def __init__(self, issuer: str, callback: str) -> None:
        self._issuer = issuer
        self._callback = callback
        self._key = secrets.token_bytes(32)

    def leave(self, cookie: str, path: str, *, now: datetime) -> str:
        """Where the browser with ``cookie`` is sent, to return to ``path`` of ours."""
        until = int((now + timedelta(minutes=MINUTES)).timestamp())
        back = path if len(path) <= LONGEST_PATH and _OURS.match(path) else FIRST_PAGE
        said = f"{until}\n{secrets.token_urlsafe(12)}\n{back}".encode()
        state = encode_base64url(self._mac("state", cookie, said) + said)
        asked = {
            "client_id": CLIENT,
            "redirect_uri": self._callback,
            "response_type": "code",
            "scope": SCOPE,
            "state": state,
            "nonce": self._derived("nonce", cookie, state),
            "code_challenge": encode_base64url(
                hashlib.sha256(self._derived("verifier", cookie, state).encode()).digest()
            ),
            "code_challenge_method": "S256",
        }
        return f"{self._issuer}/auth?{urlencode(asked)}"

    def back(self, cookie: str, state: str, *, now: datetime) -> str:
        """The page that ``state`` returns to.

        Raises:
            Refused: it is not ours, of another browser, or too old.
        """
        again = "open the page again"
        try:
            data = parse_base64url(state, what="the state")
        except Malformed as error:
            raise Refused("the login's answer belongs to no question of ours", again) from error
        mac, said = data[:_MAC], data[_MAC:]
        if not hmac.compare_digest(mac, self._mac("state", cookie, said)):
            raise Refused("the login was not begun in this browser, or the stack has been started anew since", again)
        until, _, path = said.decode("utf-8").split("\n", 2)
        if now.timestamp() >= int(until):
            raise Refused(f"the login took longer than {MINUTES} minutes", again)
        return path

    def check(self, granted: AuthorizationCode | None, cookie: str, state: str) -> None:
        """That a code was given for this departure (RFC 7636 section 4.6, OpenID Connect Core section 3.1.3.7).

        Raises:
            Refused: it is unknown, used, or of another departure.
        """
        if granted is None:
            raise Refused("the login's answer is unknown, used or too old", "open the page again")
        verifier = self._derived("verifier", cookie, state).encode()
        challenge = encode_base64url(hashlib.sha256(verifier).digest())
        extra: Mapping[str, object] = dict(granted.identity.extra)
        if (
            not hmac.compare_digest(granted.code_challenge, challenge)
            or granted.redirect_uri != self._callback
            or granted.scope != SCOPE  # what the browser sends on is its own word
            or extra.get("nonce") != self._derived("nonce", cookie, state)
        ):
            raise Refused("the login's answer was given for another question", "open the page again")

    def _mac(self, what: str, cookie: str, said: bytes) -> bytes:
        head = f"{what}\n{cookie}\n".encode("utf-8", "surrogatepass")  # a cookie is whatever the browser says
        return hmac.new(self._key, head + said, hashlib.sha256).digest()

    def _derived(self, what: str, cookie: str, state: str) -> str:
        return encode_base64url(self._mac(what, cookie, state.encode()))
