# SPDX-License-Identifier: Apache-2.0
"""What the provider needs of providers of others. Structural: whoever has the methods fits, no import needed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from sigcore.strict import Fields


class Outside(Protocol):
    """HTTP to one provider of others: bounded in size and time, no redirects, its TLS authority pinned where one is named."""

    async def fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """The body of a 200 answer: to a POST of ``form``, or to a GET where there is none.

        Raises:
            Unavailable: no answer, or 5xx. Refused: any other status. Malformed: an answer that is too long.
        """
        ...


class TokenReader(Protocol):
    """Verifies tokens of other providers; the algorithm comes from the key and never from the token."""

    async def read(self, token: str, key_set: bytes, *, issuer: str, audience: str, now: datetime) -> Fields:
        """The claims of ``token``, signed with a key of the JWK set ``key_set``, of ``issuer``, for ``audience``, valid at ``now``.

        Raises:
            Malformed, Refused: it is no such token; says what is wrong.
        """
        ...
