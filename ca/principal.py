# SPDX-License-Identifier: Apache-2.0
"""Verified claims -> whom the certificate names. Pure; one table row per kind of issuer.

The name comes from the token and from nowhere else, and it is taken as it stands or not at all: no folding, no trimming, no
decoding. Two readers of a certificate must never see two names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from ca.issuers import CHALLENGE_CLAIMS, OWN
from ca.token import Claims
from sigcore import limits
from sigcore.errors import Refused
from sigcore.fulcio import FulcioExtensions
from sigcore.strict import shown
from sigcore.values import dataclass
from sigcore.x509 import Email, San, Uri

URI_LENGTH: Final = 2048
"""Longest URI of a subject, in characters; far above any real workload's name."""

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_MAILBOX = re.compile(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)*(?![0-9]+\Z){_LABEL}\Z", re.ASCII)
"""RFC 5321 section 4.1.2: Dot-string "@" Domain. No quoted local part, no address literal, and no numeric last label, which
some readers take for an IPv4 address."""
_ANY_ORIGIN = rf"https?://(?:{_LABEL}\.)*{_LABEL}(?::[1-9][0-9]{{0,4}})?"
"""RFC 3986 sections 3.1 and 3.2, for issuers without a subject domain; no user information."""
_PATH = r"(?:[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?\Z"
"""RFC 3986 sections 3.3 and 3.4: what may follow the authority. No fragment: it names no resource of its own."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a certificate is for.

    Attributes:
        san: the one subject alternative name.
        subject: the text that the proof of possession signs.
        extensions: issuer and token subject, and what else the kind knows of the identity.
    """

    san: San
    subject: str
    extensions: FulcioExtensions


def make_principal(claims: Claims) -> Principal:
    """The principal that ``claims`` describe, by the kind of their issuer.

    Raises:
        Malformed: a claim is missing or of the wrong type. Refused: the claims do not make a name that may be certified.
    """
    kind = _kind(claims)
    return Principal(
        san=SANS[kind](claims),
        subject=claims.fields.text(CHALLENGE_CLAIMS[kind]),
        extensions=FulcioExtensions(issuer=claims.issuer.url, token_subject=_plain(claims.subject)),
    )


def _kind(claims: Claims) -> str:
    """The row that the claims belong to. Tokens of our own provider say it by themselves, in the way that clients read them.

    sigstore-go and sigstore-js sign the email as their proof where the token has one, and ``sub`` where it has none or an
    empty one.
    """
    if claims.issuer.kind != OWN:
        return claims.issuer.kind
    return "uri" if claims.fields.raw().get("email", "") == "" else "email"


def _email(claims: Claims) -> Email:
    email = claims.fields.text("email")
    if claims.fields.raw().get("email_verified") is not True:
        raise Refused("the issuer has not verified the email (email_verified is not true)", "verify it there first")
    if len(email) > limits.IDENTITY or not _MAILBOX.match(email):
        raise Refused(
            f"the email {shown(email)} is not a plain ASCII mailbox of at most {limits.IDENTITY} octets",
            "expected the form local@domain (RFC 5321 section 4.1.2, no quotes, no comments)",
        )
    return Email(email)


def _uri(claims: Claims) -> Uri:
    domain, subject = claims.issuer.subject_domain, claims.subject
    start = re.escape(domain) if domain else _ANY_ORIGIN
    if len(subject) > URI_LENGTH or not re.match(f"{start}{_PATH}", subject, re.ASCII):
        raise Refused(
            f"the subject {shown(subject)} is not a URI below {domain or 'https://HOST'} of at most {URI_LENGTH} characters",
            "scheme and host of the subject must be those of the issuer's subject domain"
            if domain
            else "a token names a person in email, or a machine by a URI in sub",
        )
    return Uri(subject)


def _plain(subject: str) -> str:
    """The token's subject as an extension may carry it: printable, so that no report of it can be forged with it."""
    if len(subject) > URI_LENGTH or not subject.isprintable():
        raise Refused(f"token.sub {shown(subject)} is longer than {URI_LENGTH} characters or not printable")
    return subject


SANS: Final[Mapping[str, Callable[[Claims], San]]] = {"email": _email, "uri": _uri}
"""Kind of issuer -> how its claims become the subject alternative name."""
