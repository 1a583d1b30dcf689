# SPDX-License-Identifier: Apache-2.0
"""The issuers whose tokens the authority accepts, each with its keys, its audience and its kind of identity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca.ports import KeySet, TokenKey
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey, check_strength
from sigcore.strict import shown

ALGORITHMS: Final = ("RS256", "ES256", "ES384", "EdDSA")
"""RFC 7518 section 3.1, RFC 8037. Public-key algorithms only: no key of ours is ever a shared secret."""
CHALLENGE_CLAIMS: Final = {"email": "email", "uri": "sub"}
"""Kind of identity -> the claim whose text the proof of possession signs, for every kind that there is."""
OWN: Final = "own"
"""The kind of the stack's own provider: each of its tokens is of the kind ``email`` or ``uri`` (docs/adr/0007)."""

_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384"}
_AUTHORITY = re.compile(r"(https?)://([a-z0-9.-]{1,253})(?=[:/]|\Z)", re.ASCII)
_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]{1,253})(?::[0-9]{1,5})?\Z", re.ASCII)


def token_key(key: PublicKey) -> TokenKey:
    """``key`` with the one algorithm that its tokens may be signed with; no header ever chooses.

    Raises:
        Refused: the key is weak, or goes with none of :data:`ALGORITHMS`.
    """
    check_strength(key, what="the issuer's key")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return TokenKey(key, "EdDSA")
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return TokenKey(key, "RS256")
    if key.curve.name not in _CURVES:
        raise Refused(f"the issuer's key is on curve {key.curve.name}", "use P-256, P-384, RSA or Ed25519")
    return TokenKey(key, _CURVES[key.curve.name])


class PinnedKeys:
    """A key set that was given with the configuration, as (``kid``, key).

    Raises:
        Malformed: no key at all, or one id twice. Refused: a key that :func:`token_key` does not take.
    """

    __slots__ = ("_by_id",)

    def __init__(self, keys: Iterable[tuple[str, PublicKey]]) -> None:
        listed = tuple(keys)
        self._by_id = {name: token_key(key) for name, key in listed}
        if not listed or len(self._by_id) != len(listed):
            raise Malformed("the pinned key set is empty or has one key id twice")

    async def find(self, key_id: str) -> TokenKey:
        """The key of exactly this id; Refused otherwise."""
        try:
            return self._by_id[key_id]
        except KeyError as error:
            raise Refused(f"the issuer has no key with the id {shown(key_id)}", "ask for a fresh token") from error


@dataclass(frozen=True, slots=True)
class Issuer:
    """One OpenID provider.

    Attributes:
        url: its exact ``iss`` string.
        keys: its keys; a token of this issuer is checked with no others.
        audience: the exact ``aud`` string.
        kind: which identity its tokens carry, a row of :data:`CHALLENGE_CLAIMS`; or :data:`OWN`.
        subject_domain: for ``uri``: scheme and host (and port) that every subject starts with.
    """

    url: str
    keys: KeySet
    audience: str = "sigstore"
    kind: str = "email"
    subject_domain: str = ""

    def __post_init__(self) -> None:
        if not re.match(r"https?://[!-~]+\Z", self.url):
            raise Malformed(f"the issuer is {shown(self.url)}, expected an http(s) URL")
        if not self.audience:
            raise Malformed(f"the issuer {self.url} has no audience")
        if self.kind not in (*CHALLENGE_CLAIMS, OWN):
            raise Malformed(f"the issuer {self.url} has the kind {shown(self.kind)}", f"use {tuple(CHALLENGE_CLAIMS)}")
        if (self.kind == "uri") != bool(self.subject_domain):
            raise Malformed(f"the issuer {self.url} of kind {self.kind}: a subject domain goes with the kind uri only")
        if self.subject_domain:
            self._check_domain()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The rows of :data:`CHALLENGE_CLAIMS` that its tokens may belong to."""
        return tuple(CHALLENGE_CLAIMS) if self.kind == OWN else (self.kind,)

    def _check_domain(self) -> None:
        """As Fulcio: one scheme, and one host or two hosts below the same two last labels."""
        domain, own = _ORIGIN.match(self.subject_domain), _AUTHORITY.match(self.url)
        if domain is None:
            raise Malformed(f"the subject domain is {shown(self.subject_domain)}, expected https://host")
        if own is None or domain[1] != own[1] or not _related(domain[2], own[2]):
            raise Malformed(
                f"the issuer {self.url} cannot answer for subjects of {self.subject_domain}",
                "scheme and second-level domain of both must be the same",
            )


def _related(host: str, other: str) -> bool:
    labels, others = host.split("."), other.split(".")
    named = min(len(labels), len(others)) > 1 and not labels[-1].isdigit()
    return host == other or (named and labels[-2:] == others[-2:])


class IssuerTable:
    """Exact issuer string -> :class:`Issuer`. No case folding, no slash slack, no patterns."""

    __slots__ = ("_by_url",)

    def __init__(self, issuers: Iterable[Issuer]) -> None:
        listed = tuple(issuers)
        self._by_url = {issuer.url: issuer for issuer in listed}
        if len(self._by_url) != len(listed):
            raise Malformed("the issuer table names one issuer twice")

    def __iter__(self) -> Iterator[Issuer]:
        return iter(self._by_url.values())

    def find(self, url: str) -> Issuer:
        """The issuer with exactly this ``url``; Refused otherwise."""
        try:
            return self._by_url[url]
        except KeyError as error:
            hint = f"accepted: {', '.join(self._by_url) or 'none'}"
            raise Refused(f"the token's issuer {shown(url)} is not accepted here", hint) from error
