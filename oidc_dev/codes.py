# SPDX-License-Identifier: Apache-2.0
"""Authorization codes between the login page and the token endpoint (RFC 6749 section 4.1.2). In memory: they live a minute."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import datetime
from typing import Final

from oidc_dev.claims import Identity
from sigcore.values import dataclass

LIFETIME_S: Final = 60
OUT_OF_BAND_LIFETIME_S: Final = 300
"""For a code that somebody copies by hand."""
MOST: Final = 1000
"""Codes that wait at one time; beyond it the oldest are dropped. Each costs a login, so nobody gets there by asking."""


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """What a code stands for: who logged in, and everything that it is bound to. The last four members are Authlib's."""

    client_id: str
    redirect_uri: str
    scope: str
    identity: Identity
    code_challenge: str
    expires: datetime
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        """The redirect URI of the authorization request; that of the token request must be the same."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """The granted scope."""
        return self.scope


class Codes:
    """The codes that wait to be redeemed, by their hash: a dump of the memory holds none that could be used."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[bytes, AuthorizationCode] = OrderedDict()

    def save(self, code: str, granted: AuthorizationCode, *, now: datetime) -> None:
        """Remember what ``code`` stands for; forget what has expired."""
        for key in [key for key, waiting in self._waiting.items() if now >= waiting.expires]:
            del self._waiting[key]
        self._waiting[_hashed(code)] = granted
        while len(self._waiting) > MOST:
            self._waiting.popitem(last=False)

    def redeem(self, code: str, client_id: str, *, now: datetime) -> AuthorizationCode | None:
        """What ``code`` stands for, once: whoever asks first uses it up, whether the rest of his request is right or not.

        None for a code that is unknown, used, expired, or of another client.
        """
        granted = self._waiting.pop(_hashed(code), None)
        if granted is None or granted.client_id != client_id or now >= granted.expires:
            return None
        return granted


def _hashed(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8")).digest()
