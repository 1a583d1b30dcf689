# SPDX-License-Identifier: Apache-2.0
"""The userinfo endpoint: a token of ours -> what it says of a person (OpenID Connect Core section 5.3, RFC 6750)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from oidc_dev.clients import CLIENTS
from oidc_dev.provider import Provider
from oidc_dev.signing import ALGORITHM
from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, parse_base64url, parse_json, shown

_ABOUT_A_PERSON: Final = ("sub", "email", "email_verified")


def userinfo(token: str, provider: Provider, *, now: datetime) -> Mapping[str, JSON]:
    """The claims about a person in ``token``, an access token of ``provider`` that is valid at ``now``.

    1. At most ``limits.IDENTITY_TOKEN`` characters; three parts, each in its one base64url spelling.
    2. The header has the three members that ours have, and no other: no key, no extension, no other algorithm.
    3. It names one of our keys, and the signature verifies with that.
    4. Issuer, audience and times are right.

    Raises:
        Malformed, Refused: it is none of ours, or not any more.
    """
    if len(token) > limits.IDENTITY_TOKEN:  # 1
        raise Malformed(f"the token is {len(token)} characters long, the limit is {limits.IDENTITY_TOKEN}")
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise Malformed("the token is not a signed JWT: expected three parts joined by dots")
    header, payload, _ = (parse_base64url(part, what="a part of the token") for part in parts)
    _verify(token, Fields.parse(header, what="the token's header", limit=limits.IDENTITY_TOKEN), provider, now)  # 2, 3
    read = parse_json(payload, what="the token", limit=limits.IDENTITY_TOKEN, floats=True)
    fields = Fields.of(read, "the token")
    _check(fields, provider, now)  # 4
    return {name: fields.raw()[name] for name in _ABOUT_A_PERSON if name in fields}


def _verify(token: str, header: Fields, provider: Provider, now: datetime) -> None:
    header.only("alg", "kid", "typ")
    if header.text("alg") != ALGORITHM:
        raise Refused(f"the token is signed with {shown(header.text('alg'))}, expected {ALGORITHM}")
    key = provider.keys.published(now).get(header.text("kid"))
    if key is None:
        raise Refused("the token is signed with another key than ours")
    # Deferred: PyJWT takes 60 ms to import, a tenth of a start.
    import jwt  # noqa: PLC0415 - see the line above

    try:
        jwt.PyJWS(algorithms=[ALGORITHM]).decode(token, key, algorithms=[ALGORITHM])
    except jwt.PyJWTError as error:
        raise Refused("the token's signature does not verify") from error


def _check(fields: Fields, provider: Provider, now: datetime) -> None:
    if fields.text("iss") != provider.issuer:
        raise Refused("the token is of another issuer")
    if fields.text("aud") not in CLIENTS:
        raise Refused("the token is for nobody that is known here")
    if not fields.integer("nbf") <= now.timestamp() < fields.integer("exp"):
        raise Refused("the token has expired, or is not valid yet")
