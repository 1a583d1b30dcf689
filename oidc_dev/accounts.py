# SPDX-License-Identifier: Apache-2.0
"""Local accounts: a person, and what the provider says of that person. Pure."""

from __future__ import annotations

from datetime import datetime

from oidc_dev.claims import Identity
from sigcore.strict import JSON
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in. ``password`` is an argon2id hash in its usual text form."""

    email: str
    password: str
    verified: bool
    """Whoever makes the account answers for the email; false makes every certificate request fail, as it must."""
    created: datetime
    disabled: bool = False
    """Nobody logs in as this account, and its sessions are over; it can be enabled again."""
    one_time: bytes = b""
    """The sealed secret of its one-time passwords; empty where a password is enough."""

    @property
    def key(self) -> str:
        """What it is found by."""
        return email_key(self.email)


def email_key(email: str) -> str:
    """What accounts are found by: nobody remembers capitals, and two accounts that differ in them only invite mistakes."""
    return email.lower()


def identity_of(account: Account, *, scope: str, nonce: str, logged_in: datetime) -> Identity:
    """What a token says of ``account``, which gave its password at ``logged_in`` (OpenID Connect Core sections 2 and 5.4).

    The email stands there when its scope was granted, the nonce when the client sent one.
    """
    extra: list[tuple[str, JSON]] = [("auth_time", int(logged_in.timestamp()))]
    if nonce:
        extra.append(("nonce", nonce))
    if "email" not in scope.split(" "):
        return Identity(subject=account.email, extra=tuple(extra))
    if not account.verified:
        extra.append(("email_verified", False))
    return Identity(email=account.email, extra=tuple(extra))
