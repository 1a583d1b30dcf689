# SPDX-License-Identifier: Apache-2.0
"""The issuers whose tokens the authority accepts, each with its keys, its audience and its kind of identity."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ca.ports import KeySet
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from sigcore.strict import shown

ALGORITHMS: Final = ("RS256", "ES256")
"""RFC 7518 section 3.1. Public-key algorithms only: no key of ours is ever a shared secret."""
CHALLENGE_CLAIMS: Final = {"email": "email", "uri": "sub"}
"""Kind of identity -> the claim whose text the proof of possession signs, for every kind that there is."""

_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]{1,253})(?::[0-9]{1,5})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class PinnedKeys:
    """A key set that was given with the configuration, as (``kid``, key)."""

    keys: tuple[tuple[str, PublicKey], ...]

    def __post_init__(self) -> None:
        if not self.keys or len(dict(self.keys)) != len(self.keys):
            raise Malformed("the pinned key set is empty or has one key id twice")

    async def find(self, key_id: str) -> PublicKey:
        """The key of exactly this id; Refused otherwise."""
        for name, key in self.keys:
            if name == key_id:
                return key
        raise Refused(f"the issuer has no key with the id {shown(key_id)}", "ask for a fresh token")


@dataclass(frozen=True, slots=True)
class Issuer:
    """One OpenID provider.

    Attributes:
        url: its exact ``iss`` string.
        keys: its keys; a token of this issuer is checked with no others.
        audience: the exact ``aud`` string.
        kind: which identity its tokens carry, a row of :data:`CHALLENGE_CLAIMS`.
        subject_domain: for ``uri``: scheme and host (and port) that every subject starts with.
        algorithm: the one JWS algorithm of its tokens.
    """

    url: str
    keys: KeySet
    audience: str = "sigstore"
    kind: str = "email"
    subject_domain: str = ""
    algorithm: str = "RS256"

    def __post_init__(self) -> None:
        if not re.match(r"https?://[!-~]+\Z", self.url):
            raise Malformed(f"the issuer is {shown(self.url)}, expected an http(s) URL")
        if not self.audience:
            raise Malformed(f"the issuer {self.url} has no audience")
        if self.algorithm not in ALGORITHMS:
            raise Malformed(f"the issuer {self.url} has the algorithm {shown(self.algorithm)}", f"use {ALGORITHMS}")
        if self.kind not in CHALLENGE_CLAIMS:
            raise Malformed(f"the issuer {self.url} has the kind {shown(self.kind)}", f"use {tuple(CHALLENGE_CLAIMS)}")
        if (self.kind == "uri") != bool(self.subject_domain):
            raise Malformed(f"the issuer {self.url} of kind {self.kind}: a subject domain goes with the kind uri only")
        if self.subject_domain and not _ORIGIN.match(self.subject_domain):
            raise Malformed(f"the subject domain is {shown(self.subject_domain)}, expected https://host")


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
