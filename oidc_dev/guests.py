# SPDX-License-Identifier: Apache-2.0
"""People who logged in through a provider of others: nothing of them is kept. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from oidc_dev.accounts import Account, identity_of
from oidc_dev.claims import Identity
from sigcore.strict import JSON


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody whom another provider knows.

    Attributes:
        email: verified by that provider.
        subject: ours, unlike any local account's: the provider's name, a colon, its subject.
        issuer: the provider's exact issuer string. user_id: its own subject.
    """

    email: str
    subject: str
    issuer: str
    user_id: str


def identity_of_user(user: Account | Guest, *, scope: str, nonce: str, now: datetime) -> Identity:
    """What a token says of ``user``, who logged in at ``now``.

    Of a guest it says who knows him, as Dex does (``federated_claims``): a row of the authority's issuer table may write that
    issuer into the certificate instead of ours.
    """
    if isinstance(user, Account):
        return identity_of(user, scope=scope, nonce=nonce, now=now)
    extra: list[tuple[str, JSON]] = [
        ("auth_time", int(now.timestamp())),
        ("federated_claims", {"connector_id": user.issuer, "user_id": user.user_id}),
    ]
    if nonce:
        extra.append(("nonce", nonce))
    email = user.email if "email" in scope.split(" ") else ""
    return Identity(email=email, subject=user.subject, extra=tuple(extra))
