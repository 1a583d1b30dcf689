# SPDX-License-Identifier: Apache-2.0
"""The issuers whose tokens the authority accepts, each with its keys, its audience and its kind of identity."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca.ports import KeySet, TokenKey
from sigcore.errors import Malformed, Refused, Unavailable
from sigcore.keys import PublicKey, check_strength
from sigcore.patterns import pattern
from sigcore.strict import shown
from sigcore.values import dataclass

if TYPE_CHECKING:  # neither is needed where nobody configured one
    from ca.names import NameRules
    from ca.workflows import Workflow
    from sigcore.automaton import Automaton

ALGORITHMS: Final = ("RS256", "ES256", "ES384", "EdDSA")
"""RFC 7518 section 3.1, RFC 8037. Public-key algorithms only: no key of ours is ever a shared secret."""
BUILT_IN: Final = ("github-workflow", "gitlab-pipeline", "buildkite-job", "codefresh-workflow")
"""Kinds whose templates are ours: :mod:`ca.workflows`."""
CI_PROVIDER: Final = "ci-provider"
"""The kind whose templates the configuration brings."""
CHALLENGE_CLAIMS: Final = {
    "email": "email",
    **dict.fromkeys(("uri", "username", "spiffe", "kubernetes", *BUILT_IN, "chainguard-identity", CI_PROVIDER), "sub"),
}
"""Kind of identity -> the claim whose text the proof of possession signs, for every kind that there is (wire form: Fulcio's)."""
OWN: Final = "own"
"""The kind of the stack's own provider: each of its tokens is of the kind ``email`` or ``uri`` (docs/adr/0007)."""

_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384"}
_AUTHORITY = pattern(r"(https?)://([a-z0-9.-]{1,253})(?=[:/]|\Z)", re.ASCII)
_ORIGIN = pattern(r"(https?)://(?P<host>[a-z0-9.-]{1,253})(?::[0-9]{1,5})?\Z", re.ASCII)
_HOST = pattern(r"(?P<host>[a-z0-9.-]{1,253})\Z", re.ASCII)
_TRUST_DOMAIN = pattern(r"[a-z0-9._-]{1,255}\Z", re.ASCII)
"""SPIFFE-ID section 2.1."""
_CLAIM_PATH = pattern(r"\$(?:\.[A-Za-z_][A-Za-z0-9_]*)+\Z", re.ASCII)
"""The part of JSONPath that names one value."""


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

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._by_id

    async def find(self, key_id: str) -> TokenKey:
        """The key of exactly this id; Refused otherwise."""
        try:
            return self._by_id[key_id]
        except KeyError as error:
            raise Refused(f"the issuer has no key with the id {shown(key_id)}", "ask for a fresh token") from error


class NoKeys:
    """Of an issuer that nobody gave keys."""

    __slots__ = ()

    async def find(self, key_id: str) -> TokenKey:
        """Unavailable, whatever is asked."""
        raise Unavailable(f"there is no key {shown(key_id)}: the issuer was given none")


NO_KEYS: Final = NoKeys()


@dataclass(frozen=True, slots=True)
class Issuer:
    """One OpenID provider.

    Attributes:
        url: its exact ``iss`` string; in a :class:`Pattern` with ``*``.
        keys: its keys; a token of this issuer is checked with no others.
        audience: the exact ``aud`` string.
        kind: which identity its tokens carry, a row of :data:`CHALLENGE_CLAIMS`; or :data:`OWN`.
        subject_domain: for ``uri``: scheme and host (and port) that every subject starts with; for ``username``: the host that
            stands behind every name.
        trust_domain: for ``spiffe``: the trust domain of every subject.
        issuer_claim: for ``email``: where the token names the issuer that the certificate shall name, such as
            ``$.federated_claims.connector_id``. Our own provider's tokens may have it or not.
        skip_email_verification: for ``email``: ``email_verified`` may be absent. It is never false.
        workflow: for ``ci-provider``: its templates.
        values: values for templates that no claim changes.
        names: which names may be certified; all, when None.
        challenge_claim: what ``GET /api/v2/configuration`` says, where it is not the usual one.
    """

    url: str
    keys: KeySet = NO_KEYS
    audience: str = "sigstore"
    kind: str = "email"
    subject_domain: str = ""
    trust_domain: str = ""
    issuer_claim: str = ""
    skip_email_verification: bool = False
    workflow: Workflow | None = None
    values: tuple[tuple[str, str], ...] = ()
    names: NameRules | None = None
    challenge_claim: str = ""

    def __post_init__(self) -> None:
        if not re.match(r"https?://[!-~]+\Z", self.url):
            raise Malformed(f"the issuer is {shown(self.url)}, expected an http(s) URL")
        if not self.audience:
            raise Malformed(f"the issuer {self.url} has no audience")
        if self.kind not in (*CHALLENGE_CLAIMS, OWN):
            known = ", ".join(CHALLENGE_CLAIMS)
            raise Malformed(f"the issuer {self.url} has the kind {shown(self.kind)}", f"use one of {known}")
        for name, kinds in _BELONG_TO.items():
            self._check_belonging(name, kinds)
        if self.issuer_claim and not _CLAIM_PATH.match(self.issuer_claim):
            raise Malformed(f"the issuer claim is {shown(self.issuer_claim)}", "expected the form $.name.name")
        if self.trust_domain and not _TRUST_DOMAIN.match(self.trust_domain):
            raise Malformed(f"the trust domain is {shown(self.trust_domain)}, expected a name like example.org")
        if self.challenge_claim not in ("", "email", "sub"):
            raise Malformed(f"the challenge claim is {shown(self.challenge_claim)}, expected email or sub")
        if self.subject_domain and "*" not in self.url:
            self._check_domain()

    def _check_belonging(self, name: str, kinds: Mapping[str, bool]) -> None:
        """A member that the kind must have, or must not."""
        given, wanted = bool(getattr(self, name)), kinds.get(self.kind)
        what = name.replace("_", " ")
        if given and wanted is None:
            only = " or ".join(kind for kind in kinds if kind != OWN)
            raise Malformed(f"the issuer {self.url} of kind {self.kind}: a {what} goes with the kind {only} only")
        if wanted and not given:
            raise Malformed(f"the issuer {self.url} of kind {self.kind} has no {what}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The rows of :data:`CHALLENGE_CLAIMS` that its tokens may belong to."""
        return ("email", "uri") if self.kind == OWN else (self.kind,)

    def challenge(self, kind: str) -> str:
        """The claim that clients are told to sign, for a row of :attr:`kinds`."""
        return self.challenge_claim or CHALLENGE_CLAIMS[kind]

    def _check_domain(self) -> None:
        """As Fulcio: one scheme, and one host or two hosts below the same two last labels."""
        bare = self.kind == "username"
        domain = (_HOST if bare else _ORIGIN).match(self.subject_domain)
        own = _AUTHORITY.match(self.url)
        if domain is None:
            expected = "a host without scheme" if bare else "https://host"
            raise Malformed(f"the subject domain is {shown(self.subject_domain)}, expected {expected}")
        host, scheme = domain["host"], own[1] if own and bare else domain[1]
        if own is None or scheme != own[1] or not _related(host, own[2]):
            raise Malformed(
                f"the issuer {self.url} cannot answer for subjects of {self.subject_domain}",
                "scheme and second-level domain of both must be the same",
            )


_BELONG_TO: Final[Mapping[str, Mapping[str, bool]]] = {
    "subject_domain": {"uri": True, "username": True},
    "trust_domain": {"spiffe": True},
    "issuer_claim": {"email": False, OWN: False},
    "skip_email_verification": {"email": False},
    "workflow": {CI_PROVIDER: True},
    "values": dict.fromkeys((*BUILT_IN, CI_PROVIDER), False),
}
"""Member -> the kinds that may have it, and whether they must."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Issuers whose URLs differ in parts only, such as those of the clusters of one provider.

    Attributes:
        issuer: what holds for all; each ``*`` of its URL stands for one or more letters, digits, ``-`` and ``_``.
        keys_of: the keys of one issuer, by its URL. Who asks for it names no other issuer than one that matches.
    """

    issuer: Issuer
    keys_of: Callable[[str], KeySet] = lambda _: NO_KEYS

    def __post_init__(self) -> None:
        scheme, _, rest = self.issuer.url.partition("://")
        if scheme != "https" or "*" not in rest:
            raise Malformed(
                f"the pattern is {shown(self.issuer.url)}, expected https:// and a * for each part that varies"
            )
        if self.issuer.kind == "spiffe":
            raise Malformed("a pattern cannot be of the kind spiffe", "name each issuer of a trust domain by its URL")

    def matches(self, url: str) -> bool:
        """Whether the whole of ``url`` is one of these issuers."""
        return _pattern(self.issuer.url).fullmatch(url)


@lru_cache(maxsize=256)
def _pattern(text: str) -> Automaton:
    """The URL that it is held against is a stranger's."""
    # Deferred: most stacks name each issuer by its URL.
    from sigcore.automaton_making import make_automaton  # noqa: PLC0415 - see the line above

    return make_automaton(re.escape(text).replace(r"\*", "[-_a-zA-Z0-9]+"))


def _related(host: str, other: str) -> bool:
    labels, others = host.split("."), other.split(".")
    named = min(len(labels), len(others)) > 1 and not labels[-1].isdigit()
    return host == other or (named and labels[-2:] == others[-2:])


class IssuerTable:
    """Exact issuer string -> :class:`Issuer`, and patterns for the rest. No case folding, no slash slack.

    What it holds can be exchanged, all at once, while requests are served.
    """

    __slots__ = ("_by_url", "_matched", "_patterns")

    def __init__(self, issuers: Iterable[Issuer], patterns: Iterable[Pattern] = ()) -> None:
        self.replace(issuers, patterns)

    def replace(self, issuers: Iterable[Issuer], patterns: Iterable[Pattern] = ()) -> None:
        """Hold these and no others; Malformed, and nothing is changed, when one is named twice."""
        listed, rest = tuple(issuers), tuple(patterns)
        by_url = {issuer.url: issuer for issuer in listed}
        if len(by_url) != len(listed) or len({pattern.issuer.url for pattern in rest}) != len(rest):
            raise Malformed("the issuer table names one issuer twice")
        self._by_url, self._patterns = by_url, rest
        self._matched: dict[str, Issuer] = {}

    def __iter__(self) -> Iterator[Issuer]:
        return chain(self._by_url.values(), (pattern.issuer for pattern in self._patterns))

    def find(self, url: str) -> Issuer:
        """The issuer with exactly this ``url``, or that of the first pattern that it matches; Refused otherwise."""
        found = self._by_url.get(url) or self._matched.get(url) or self._match(url)
        if found is None:
            hint = f"accepted: {shown(', '.join(issuer.url for issuer in self) or 'none', 300)}"
            raise Refused(f"the token's issuer {shown(url)} is not accepted here", hint)
        return found

    def _match(self, url: str) -> Issuer | None:
        pattern = next((pattern for pattern in self._patterns if pattern.matches(url)), None)
        if pattern is None:
            return None
        issuer = replace(pattern.issuer, url=url, keys=pattern.keys_of(url))
        while len(self._matched) >= _MATCHED:
            del self._matched[next(iter(self._matched))]
        self._matched[url] = issuer
        return issuer


_MATCHED: Final = 64
"""Issuers of patterns that are kept ready: what others send cannot fill the memory."""
