# SPDX-License-Identifier: Apache-2.0
"""Verified claims -> whom the certificate names. Pure; one table row per kind of issuer.

The name comes from the token and from nowhere else, and it is taken as it stands or not at all: no folding, no trimming, no
decoding. Two readers of a certificate must never see two names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from ca.issuers import BUILT_IN, CHALLENGE_CLAIMS, CI_PROVIDER, OWN
from ca.token import Claims
from ca.uris import LABEL, ORIGIN, REST
from ca.uris import LENGTH as URI_LENGTH
from sigcore import limits
from sigcore.errors import Refused
from sigcore.fulcio import FulcioExtensions
from sigcore.general_name import Email, OtherName, San, Uri
from sigcore.patterns import pattern
from sigcore.strict import shown
from sigcore.values import dataclass

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_MAILBOX = pattern(rf"(?=.{{1,64}}@){_ATOM}(?:\.{_ATOM})*@(?:{LABEL}\.)*(?![0-9]+\Z){LABEL}\Z", re.ASCII)
"""RFC 5321 section 4.1.2: Dot-string "@" Domain. No quoted local part, no address literal, and no numeric last label, which
some readers take for an IPv4 address."""
_CLIMBS = pattern(r"/(?:\.|%2[eE]){1,2}(?=[/?]|\Z)")
"""A segment that a reader may resolve away (RFC 3986 section 5.2.4)."""
_VISIBLE = pattern(r"[!-~]+\Z", re.ASCII)
_SPIFFE_PATH = r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+\Z"
"""SPIFFE-ID sections 2.1 and 2.2."""
_NAMESPACE = pattern(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z", re.ASCII)
_SERVICE_ACCOUNT = pattern(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z", re.ASCII)
"""RFC 1123 label and subdomain, as Kubernetes takes them."""


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
    san, described = SANS[kind](claims)
    for _, text in described:
        _plain(text, "what stands in an extension")
    if claims.issuer.names is not None:
        claims.issuer.names.check(san)
    return Principal(
        san=san,
        subject=_challenge(claims, kind),
        extensions=FulcioExtensions(
            issuer=_issuer(claims), token_subject=_plain(claims.subject, "token.sub"), **dict(described)
        ),
    )


def _kind(claims: Claims) -> str:
    """The row that the claims belong to. Tokens of our own provider say it by themselves, in the way that clients read them.

    sigstore-go and sigstore-js sign the email as their proof where the token has one, and ``sub`` where it has none or an
    empty one.
    """
    if claims.issuer.kind != OWN:
        return claims.issuer.kind
    return "uri" if claims.fields.raw().get("email", "") == "" else "email"


def _challenge(claims: Claims, kind: str) -> str:
    """What the proof of possession signs. Chainguard's tokens may show an email beside the name, and clients sign that."""
    if kind == "chainguard-identity" and claims.fields.raw().get("email", "") != "":
        return _email(claims)[0].value
    return claims.fields.text(CHALLENGE_CLAIMS[kind])


def _issuer(claims: Claims) -> str:
    """The issuer that the certificate names: the token's own, or the one behind it where the table says so.

    Our own provider says nothing of that for its own accounts, or gives a name that is no issuer.
    """
    path = claims.issuer.issuer_claim
    own = claims.issuer.kind == OWN
    if not path or (own and path.split(".")[1] not in claims.fields):
        return claims.issuer.url
    *parts, last = path.split(".")[1:]
    fields = claims.fields
    for part in parts:
        fields = fields.object(part)
    issuer = fields.text(last)
    if own and not issuer.startswith(("https://", "http://")):
        return claims.issuer.url
    if not len(issuer) <= URI_LENGTH or not _VISIBLE.match(issuer):
        raise Refused(f"token{path[1:]} is {shown(issuer)}, which is no issuer that a certificate may name")
    return issuer


# --- one row per kind: (name, what else the certificate says) -------------------------------------------------
Description: TypeAlias = tuple[tuple[str, str], ...]
"""(field of :class:`~sigcore.fulcio.FulcioExtensions`, text), beside issuer and token subject."""


def _email(claims: Claims) -> tuple[Email, Description]:
    email = claims.fields.text("email")
    absent = claims.issuer.skip_email_verification and "email_verified" not in claims.fields
    if not absent and claims.fields.raw().get("email_verified") is not True:
        raise Refused("the issuer has not verified the email (email_verified is not true)", "verify it there first")
    if len(email) > limits.IDENTITY or not _MAILBOX.match(email):
        raise Refused(
            f"the email {shown(email)} is not a plain ASCII mailbox of at most {limits.IDENTITY} octets",
            "expected the form local@domain (RFC 5321 section 4.1.2, no quotes, no comments)",
        )
    return Email(email), ()


def _uri(claims: Claims) -> tuple[Uri, Description]:
    domain, subject = claims.issuer.subject_domain, claims.subject
    start = re.escape(domain) if domain else ORIGIN
    fits = len(subject) <= URI_LENGTH and re.match(f"{start}{REST}", subject, re.ASCII)
    if not fits or _CLIMBS.search(subject):
        raise Refused(
            f"the subject {shown(subject)} is not a URI below {domain or 'https://HOST'} of at most {URI_LENGTH} characters",
            "scheme and host of the subject must be those of the issuer's subject domain"
            if domain
            else "a token names a person in email, or a machine by a URI in sub",
        )
    return Uri(subject), ()


def _username(claims: Claims) -> tuple[OtherName, Description]:
    name = claims.subject
    if len(name) > limits.IDENTITY or not _VISIBLE.match(name) or "!" in name or "@" in name:
        raise Refused(
            f"the subject {shown(name)} is no user name", "expected printable ASCII without spaces, ! and @ (no email)"
        )
    return OtherName(f"{name}!{claims.issuer.subject_domain}"), ()


def _spiffe(claims: Claims) -> tuple[Uri, Description]:
    start, subject = f"spiffe://{claims.issuer.trust_domain}", claims.subject
    if len(subject) > URI_LENGTH or not re.match(f"{re.escape(start)}{_SPIFFE_PATH}", subject, re.ASCII):
        raise Refused(f"the subject {shown(subject)} is not a SPIFFE ID below {start}")
    return Uri(subject), ()


def _kubernetes(claims: Claims) -> tuple[Uri, Description]:
    told = claims.fields.object("kubernetes.io")
    namespace, account = told.text("namespace"), told.object("serviceaccount").text("name")
    if not _NAMESPACE.match(namespace) or not _SERVICE_ACCOUNT.match(account):
        raise Refused(f"the service account {shown(account)} in {shown(namespace)} is no name of Kubernetes")
    if claims.subject != f"system:serviceaccount:{namespace}:{account}":
        raise Refused(f"token.sub is {shown(claims.subject)}, but kubernetes.io names {account} in {namespace}")
    return Uri(f"https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}"), ()


def _chainguard(claims: Claims) -> tuple[Uri, Description]:
    if not re.match(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*\Z", claims.subject, re.ASCII):
        raise Refused(f"the subject {shown(claims.subject)} is no path below its issuer")
    uri = f"{claims.issuer.url.rstrip('/')}/{claims.subject}"
    if len(uri) > URI_LENGTH or not re.match(f"{ORIGIN}{REST}", uri, re.ASCII) or _CLIMBS.search(uri):
        raise Refused(f"the name {shown(uri)} is no URI that a certificate may carry")
    return Uri(uri), ()


def _workflow(claims: Claims) -> tuple[Uri, Description]:
    # Deferred: the templates are read when the first such token comes.
    from ca.workflows import built_in  # noqa: PLC0415 - see the line above

    issuer = claims.issuer
    workflow, fixed = (issuer.workflow, {}) if issuer.workflow else built_in(issuer.kind, issuer.url)
    return workflow.describe(claims.fields.raw(), {**fixed, **dict(issuer.values)})


def _plain(text: str, what: str) -> str:
    """A text of the token as an extension may carry it: printable, so that no report of it can be forged with it."""
    if len(text) > URI_LENGTH or not text.isprintable():
        raise Refused(f"{what} {shown(text)} is longer than {URI_LENGTH} characters or not printable")
    return text


SANS: Final[Mapping[str, Callable[[Claims], tuple[San, Description]]]] = {
    "email": _email,
    "uri": _uri,
    "username": _username,
    "spiffe": _spiffe,
    "kubernetes": _kubernetes,
    "chainguard-identity": _chainguard,
    **dict.fromkeys((*BUILT_IN, CI_PROVIDER), _workflow),
}
"""Kind of issuer -> how its claims become the subject alternative name and the extensions."""
