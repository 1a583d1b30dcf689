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
        certified: whether certificates name that issuer instead of ours.
    """

    email: str
    subject: str
    issuer: str
    user_id: str
    certified: bool = False

    @property
    def connector(self) -> str:
        """How tokens name the provider: by its issuer, where certificates shall; else by its name here."""
        return self.issuer if self.certified else self.subject.partition(":")[0]


@dataclass(frozen=True, slots=True)
class GuestSession:
    """A guest who has just come back; for this one answer, no session is kept. The members are those of a session."""

    account: Guest
    since: datetime
    used: datetime


def identity_of_user(user: Account | Guest, *, scope: str, nonce: str, logged_in: datetime) -> Identity:
    """What a token says of ``user``, who logged in at ``logged_in``.

    Of a guest it says who knows him, as Dex does (``federated_claims``). Where that is a URL, the certificate names it as the issuer.
    """
    if isinstance(user, Account):
        return identity_of(user, scope=scope, nonce=nonce, logged_in=logged_in)
    extra: list[tuple[str, JSON]] = [
        ("auth_time", int(logged_in.timestamp())),
        ("federated_claims", {"connector_id": user.connector, "user_id": user.user_id}),
    ]
    if nonce:
        extra.append(("nonce", nonce))
    email = user.email if "email" in scope.split(" ") else ""
    return Identity(email=email, subject=user.subject, extra=tuple(extra))
