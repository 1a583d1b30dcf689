# SPDX-License-Identifier: Apache-2.0
"""Local accounts: a person, and what the provider says of that person. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from oidc_dev.claims import Identity
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, shown

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX: Final = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}\Z", re.ASCII)
"""RFC 5321 section 4.1.2, Dot-string "@" Domain: what a certificate authority will write into a certificate."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may log in. ``password`` is an argon2id hash in its usual text form."""

    email: str
    password: str
    verified: bool
    """Whoever makes the account answers for the email; false makes every certificate request fail, as it must."""
    created: datetime


def parse_email(text: str) -> str:
    """``text`` as it is, if it is a plain mailbox of at most ``limits.IDENTITY`` characters.

    Raises:
        Malformed: names it.
    """
    if len(text) > limits.IDENTITY or not _MAILBOX.match(text):
        raise Malformed(f"the email is {shown(text)}, expected a plain ASCII mailbox", "for example alice@example.com")
    return text


def email_key(email: str) -> str:
    """What accounts are found by: nobody remembers capitals, and two accounts that differ in them only invite mistakes."""
    return email.lower()


def identity_of(account: Account, *, scope: str, nonce: str, now: datetime) -> Identity:
    """What a token says of ``account``, which logged in at ``now`` (OpenID Connect Core sections 2 and 5.4).

    The email stands there when its scope was granted, the nonce when the client sent one.
    """
    extra: list[tuple[str, JSON]] = [("auth_time", int(now.timestamp()))]
    if nonce:
        extra.append(("nonce", nonce))
    if "email" not in scope.split(" "):
        return Identity(subject=account.email, extra=tuple(extra))
    if not account.verified:
        extra.append(("email_verified", False))
    return Identity(email=account.email, extra=tuple(extra))
