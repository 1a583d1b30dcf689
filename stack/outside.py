# SPDX-License-Identifier: Apache-2.0
"""Providers of others, from this side: how their documents are fetched and their tokens verified.

The provider asks for both through ``oidc_dev/outside.py``. HTTP is that of the client, with its bounds; tokens are judged by
what judges those that buy certificates (``ca/token.py``): there is one verifier of foreign tokens in the house.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from ca.issuers import Issuer, IssuerTable
from ca.jwks import parse_fetched_jwks
from ca.token import verify_token
from client.transport import AiohttpTransport, call, tls_context
from sigcore import limits
from sigcore.errors import Refused, SigError, Unavailable
from sigcore.strict import Fields
from stack.proxies import outside

TIMEOUT_S: Final = 10.0
"""For one whole answer; Fulcio gives a discovery document the same."""


class Fetcher:
    """Fetches from the one provider ``label``, through the proxy of the environment where there is one.

    It follows no redirect: wherever it led, nobody has configured that.

    Args:
        label: as messages name the provider.
        ca_file: the one TLS authority to trust; the system's where it is None.
    """

    def __init__(self, label: str, ca_file: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._label = label
        self._tls = tls_context(ca_file) if ca_file else None
        self._timeout_s = timeout_s

    async def fetch(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """See :class:`oidc_dev.outside.Outside`."""
        sent = {"Accept": "application/json", **(headers or {})}
        body = None
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form).encode("ascii")
        try:
            async with AiohttpTransport(tls=self._tls, timeout_s=self._timeout_s, way=outside) as transport:
                return await call(
                    transport,
                    "GET" if form is None else "POST",
                    url,
                    service=self._label,
                    headers=sent,
                    body=body,
                    limit=limits.TOKEN_KEY_SET,
                )
        except Unavailable as error:
            raise Unavailable(
                error.message, f"try again; whoever runs this stack can see whether {self._label} answers"
            ) from error
        except Refused as error:
            raise Refused(error.message) from error


class Reader:
    """See :class:`oidc_dev.outside.TokenReader`."""

    async def read(self, token: str, key_set: bytes, *, issuer: str, audience: str, now: datetime) -> Fields:
        """As the Protocol says."""
        try:
            keys, _ = parse_fetched_jwks(key_set)
            table = IssuerTable((Issuer(issuer, keys, audience=audience),))
            return (await verify_token(token, table, now=now)).fields
        except SigError as error:
            raise type(error)(f"the token of {issuer}: {error.message}", error.hint) from error
