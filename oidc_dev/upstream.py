# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider of others that people may log in through, and what of its claims is believed. Pure.

A provider answers for the mail domains that its row names and for no others: whoever runs it could else become anybody here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from oidc_dev.guests import Guest
from oidc_dev.mailbox import parse_email
from oidc_dev.outside import Outside
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError
from sigcore.strict import JSON, Fields, parse_json, shown

ANY_DOMAIN: Final = "*"
"""Instead of mail domains: this provider answers for every mailbox of the world."""
GROUPS: Final = 500
"""Groups of one person that are looked at; Entra ID lists 200 at most."""
_ISSUER: Final = re.compile(
    r"(?P<origin>(?P<scheme>https?)://(?P<host>\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?)(?:/[!-~]*)?\Z", re.ASCII
)
"""Read by one pattern and by no URL parser: those drop some characters, and stumble over others."""
_ENDPOINT: Final = re.compile(r"[!-~]{1,1000}\Z", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z", re.ASCII)
_SUBJECT: Final = re.compile(r"[ -~]{1,255}\Z", re.ASCII)
"""OpenID Connect Core section 2: at most 255 ASCII characters."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One row of the configuration.

    Attributes:
        name: its name in URLs. label: its name on the login page.
        issuer: its exact issuer string.
        client_id, client_secret: how we are registered there; without a secret, PKCE alone protects the code.
        scopes: what is asked for; ``openid`` is always among them.
        domains: the mail domains that it answers for, lower case; or :data:`ANY_DOMAIN` alone.
        groups: a person must be in one of them; empty lets everybody in. ``groups_claim`` is where they stand.
        email_claim: where the email stands.
        assume_verified: take an email that is not said to be verified (Entra ID and ADFS never say so).
        userinfo: ask its userinfo endpoint too, for claims that it does not put into tokens.
        hosts: hosts beside the issuer's own that its discovery document may name.
        certified: certificates of its people name its issuer, not ours.
        outside: how it is reached.
    """

    name: str
    label: str
    issuer: str
    client_id: str
    outside: Outside = field(repr=False, compare=False)
    domains: tuple[str, ...]
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "email")
    groups: tuple[str, ...] = ()
    groups_claim: str = "groups"
    email_claim: str = "email"
    assume_verified: bool = False
    userinfo: bool = False
    hosts: tuple[str, ...] = ()
    certified: bool = False

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise Malformed(
                f"the upstream is named {shown(self.name)}", "expected up to 32 of a-z, 0-9 and inner dashes"
            )
        url = _ISSUER.match(self.issuer)
        if url is None or not (url["scheme"] == "https" or _is_loopback(url["host"].strip("[]"))):
            raise Malformed(f"the issuer of {self.name} is {shown(self.issuer)}", "expected an https URL")
        if "?" in self.issuer or "#" in self.issuer:
            raise Malformed(f"the issuer of {self.name} is {shown(self.issuer)}, which has more than a host and a path")
        if not self.client_id or not self.label.isprintable() or not 0 < len(self.label) <= 40:
            raise Malformed(f"the upstream {self.name} needs a client_id, and a label of 1 to 40 printable characters")
        if not self.domains or (ANY_DOMAIN in self.domains and len(self.domains) > 1):
            raise Malformed(
                f"the upstream {self.name} does not say for which mail domains it answers",
                'domains = ["corp.example"]; or ["*"], if it may name anybody',
            )

    def checked_url(self, url: str, what: str) -> str:
        """``url``, which the discovery document gives for ``what``, if it is on a host of this provider.

        Raises:
            Refused: it is somewhere else; nothing is sent there.
        """
        own = _ISSUER.match(self.issuer)
        assert own is not None  # noqa: S101 - else there would be no row
        origins = (own["origin"], *(f"{own['scheme']}://{host}" for host in self.hosts))
        there = any(url.startswith(f"{origin}/") for origin in origins)
        if not there or not _ENDPOINT.match(url) or "#" in url or "\\" in url:
            host = own["origin"].partition("//")[2]
            raise Refused(
                f"{self.label} says that its {what} is {shown(url, 200)}, which is not on {host}",
                "if that is right, name the host in the row: hosts = [...]",
            )
        return url


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What its discovery document says, as far as it is needed. ``answers_with_issuer``: RFC 9207 section 3."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    answers_with_issuer: bool


def parse_endpoints(data: bytes, upstream: Upstream) -> Endpoints:
    """The discovery document of ``upstream`` (OpenID Connect Discovery 1.0 sections 3 and 4.3).

    Raises:
        Malformed: it is none. Refused: it speaks for another issuer, or sends us to hosts that are not its own.
    """
    what = f"the discovery document of {upstream.label}"
    fields = Fields.of(parse_json(data, what=what, limit=limits.TOKEN_KEY_SET, floats=True), what)
    if fields.text("issuer") != upstream.issuer:
        raise Refused(
            f"{what} speaks for {shown(fields.text('issuer'), 200)}, expected {shown(upstream.issuer, 200)}",
            "the comparison is exact: look for a trailing slash",
        )
    return Endpoints(
        authorization=upstream.checked_url(fields.text("authorization_endpoint"), "authorization endpoint"),
        token=upstream.checked_url(fields.text("token_endpoint"), "token endpoint"),
        keys=upstream.checked_url(fields.text("jwks_uri"), "key set"),
        userinfo=upstream.checked_url(fields.text("userinfo_endpoint"), "userinfo endpoint")
        if upstream.userinfo
        else "",
        answers_with_issuer=fields.raw().get("authorization_response_iss_parameter_supported") is True,
    )


def guest_of(claims: Fields, upstream: Upstream) -> Guest:
    """Whom the verified ``claims`` of ``upstream`` describe.

    1. ``sub`` is 1 to 255 ASCII characters.
    2. The person is in one of the row's groups, if it names any.
    3. The email is a plain mailbox, said to be verified (the JSON value true), unless the row takes that for granted.
    4. Its domain is one that the row names.

    Raises:
        Malformed: a claim is missing or no such thing. Refused: this person may not log in; says why.
    """
    subject = claims.text("sub")
    if not _SUBJECT.match(subject):  # 1
        raise Malformed(f"{upstream.label} names the subject {shown(subject)}, expected at most 255 ASCII characters")
    if upstream.groups and not set(upstream.groups) & _groups(claims, upstream):  # 2
        raise Refused(
            f"you are in none of the groups that may log in through {upstream.label}: {', '.join(upstream.groups)}",
            f"ask whoever runs {upstream.label} to put you into one",
        )
    email = _email(claims, upstream)
    return Guest(email, f"{upstream.name}:{subject}", upstream.issuer, subject, upstream.certified)


def _groups(claims: Fields, upstream: Upstream) -> set[str]:
    """Those that are strings; providers list some as objects."""
    found: JSON = claims.raw().get(upstream.groups_claim, [])
    if isinstance(found, str):
        return {found}
    if not isinstance(found, list) or len(found) > GROUPS:
        raise Malformed(f"{upstream.label} gives no list of at most {GROUPS} groups in {upstream.groups_claim}")
    return {group for group in found if isinstance(group, str)}


def _email(claims: Fields, upstream: Upstream) -> str:
    if upstream.email_claim not in claims:
        raise Refused(
            f"{upstream.label} did not name an email in {upstream.email_claim}",
            "the row may have to ask for another scope, for userinfo, or to look in another claim",
        )
    try:
        email = parse_email(claims.text(upstream.email_claim))
    except SigError as error:
        raise Refused(f"{upstream.label}: {error.message}", error.hint) from error
    if not upstream.assume_verified and claims.raw().get("email_verified") is not True:  # 3
        raise Refused(f"{upstream.label} has not verified the email {email}", "verify it there first")
    if email.rpartition("@")[2].lower() not in upstream.domains and upstream.domains != (ANY_DOMAIN,):  # 4
        raise Refused(
            f"{upstream.label} names the email {email}, but it answers here for {', '.join(upstream.domains)} only",
            "log in with an address of that domain",
        )
    return email


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
