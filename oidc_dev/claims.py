# SPDX-License-Identifier: Apache-2.0
"""Identity + audience + time -> the claims of an ID token (OpenID Connect Core section 2). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sigcore.errors import Malformed
from sigcore.strict import JSON
from sigcore.values import dataclass

LIFETIME_S: Final = 600
"""As long as the certificate that the token buys."""

_OURS: Final = frozenset({"iss", "sub", "aud", "iat", "nbf", "exp", "email"})


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks of: a person (``email``), a machine (``subject``), or a person with a subject of its own.

    ``extra`` are further claims as (name, value). They may say ``email_verified: false``, so that a refusal can be
    rehearsed; they may not restate a claim that the provider answers for.
    """

    email: str = ""
    subject: str = ""
    extra: tuple[tuple[str, JSON], ...] = ()


def make_claims(
    identity: Identity, *, issuer: str, audience: str, now: datetime, lifetime_s: int = LIFETIME_S
) -> dict[str, JSON]:
    """The claims of a token that is valid from ``now`` on for ``lifetime_s`` seconds.

    ``aud`` is a plain string: sigstore-js does not take a list. ``sub`` is the subject, or else the email; clients read
    ``email`` first and ``sub`` where there is none, and so does the certificate authority.

    Raises:
        Malformed: the identity names nobody, or ``extra`` restates a claim of the provider.
    """
    subject = identity.subject or identity.email
    if not subject:
        raise Malformed("the identity has neither an email nor a subject", "name one of them")
    restated = sorted(_OURS & {name for name, _ in identity.extra})
    if restated:
        raise Malformed(f"the extra claims restate {restated[0]}", "the provider sets this claim by itself")
    issued_at = int(now.timestamp())
    claims: dict[str, JSON] = {
        "iss": issuer,
        "sub": subject,
        "aud": audience,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + lifetime_s,
    }
    if identity.email:
        claims |= {"email": identity.email, "email_verified": True}
    return claims | dict(identity.extra)
