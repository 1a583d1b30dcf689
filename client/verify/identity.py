# SPDX-License-Identifier: Apache-2.0
"""Who signed: the certificate's subject alternative name and its OIDC issuer, and what the user demands of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from sigcore import fulcio, general_name, keys, limits, patterns
from sigcore.errors import Refused
from sigcore.keys import PublicKey
from sigcore.strict import shown
from sigcore.values import dataclass
from sigcore.x509 import Certificate

if TYPE_CHECKING:
    from sigcore.automaton import Automaton


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed. ``kind`` is the form of a certificate's name (Email, Uri or OtherName), or Key for a bare key.

    A bare key's ``identity`` is ``sha256:`` and the hash of its SPKI; nobody has identified it, so ``issuer`` is empty.
    """

    identity: str
    kind: str
    issuer: str


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """Whom the user expects. Issuer and identity are each exact, or match a pattern as a whole.

    Args:
        issuer: the OIDC issuer's URL, byte for byte.
        identity: the email address or URI, byte for byte.
        pattern: a regular expression (ASCII, at most 1 KiB, what RE2 can do) that the whole identity must match; instead of
            ``identity``.
        issuer_pattern: the same for the issuer; instead of ``issuer``.

    Raises:
        Refused: none or both of issuer and its pattern, of identity and its pattern; a pattern that is no regular expression.
    """

    issuer: str
    identity: str = ""
    pattern: str = ""
    issuer_pattern: str = ""

    def __post_init__(self) -> None:
        if not self.issuer and not self.issuer_pattern:
            raise Refused(
                "no issuer is demanded", "give --certificate-oidc-issuer: an identity means nothing without it"
            )
        if self.issuer and self.issuer_pattern:
            raise Refused(
                "an issuer and a pattern for it are demanded",
                "give one of --certificate-oidc-issuer and --certificate-oidc-issuer-regexp",
            )
        if bool(self.identity) == bool(self.pattern):
            raise Refused(
                "an identity and a pattern are demanded" if self.pattern else "no identity is demanded",
                "give one of --certificate-identity and --certificate-identity-regexp",
            )
        if self.pattern:
            compile_pattern(self.pattern)
        if self.issuer_pattern:
            compile_pattern(self.issuer_pattern, what="issuer")


def pattern_doubts(pattern: str) -> tuple[str, ...]:
    """What may let more identities through than its author meant; for a warning, nothing is refused for it."""
    doubts = []
    if any(_DOTS.findall(pattern)):
        doubts.append(r"an unescaped dot matches any character; write \. for a dot")
    if _is_open(pattern):
        doubts.append("its end is open: whatever follows is accepted")
    return tuple(doubts)


_DOTS = patterns.pattern(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\.[*+?{]|(\.)")
"""A dot by itself is the group; not so one that is escaped, stands in brackets, or is repeated and so meant as it is."""
_FOLLOWING = tuple(map(ord, ".x/@"))
"""What an identity is made longer with: another domain, another path."""


def _is_open(pattern: str) -> bool:
    """Whether a match can go on with anything for as long as it likes: a step that takes anything, again and again, to the end."""
    if not pattern:
        return False
    try:
        steps = compile_pattern(pattern).steps
    except Refused:
        return False  # that it is no pattern is said by who uses it
    for number, step in enumerate(steps):
        if step.takes is None or not all(any(low <= one <= high for low, high in step.takes) for one in _FOLLOWING):
            continue
        behind, waiting = set(step.leads), list(step.leads)
        while waiting:
            other = steps[waiting.pop()]
            fresh = set(other.leads) - behind if other.takes is None else set()
            behind |= fresh
            waiting += fresh
        if {0, number} <= behind:
            return True
    return False


@lru_cache(maxsize=64)
def compile_pattern(pattern: str, *, what: str = "identity") -> Automaton:
    """A pattern for whole names, of the user's own; whoever signs chooses what it is held against.

    Raises:
        Refused: not ASCII, too long, no regular expression, or one that could take more time than the name is long.
    """
    if len(pattern) > limits.IDENTITY_PATTERN or not pattern.isascii():
        raise Refused(f"the {what} pattern is not ASCII, or longer than {limits.IDENTITY_PATTERN} characters")
    # Deferred: who names an identity needs none of it.
    from sigcore.automaton_making import make_automaton  # noqa: PLC0415 - see the line above

    return make_automaton(pattern, what=f"the {what} pattern")


def read_signer(leaf: Certificate) -> Signer:
    """Who ``leaf`` speaks for; it is as good as the chain that the caller must have verified.

    Raises:
        Malformed: not exactly one name, or two issuers that differ (arcs 1 and 8). Refused: no issuer.
    """
    return _signer(leaf) if leaf.like is None else _recent_signer(leaf.like)


def _signer(leaf: Certificate) -> Signer:
    issuer = fulcio.parse_extensions(leaf).issuer
    if not issuer:
        raise Refused("the certificate names no OIDC issuer", "it was not issued by a Fulcio-compatible authority")
    san = general_name.parse_san(leaf)
    return Signer(san.value, type(san).__name__, issuer)


_recent_signer = lru_cache(maxsize=64)(_signer)
"""For one that others are like: neither name nor issuer is a certificate's own."""


def key_signer(key: PublicKey) -> Signer:
    """The signer that a bare key is."""
    return Signer(f"sha256:{keys.key_id(keys.encode_public_key(key)).hex()}", "Key", "")


def verify_identity(signer: Signer, policy: IdentityPolicy) -> None:
    """That ``signer`` is whom ``policy`` demands.

    Raises:
        Refused: another issuer, or another identity.
    """
    if policy.issuer_pattern:
        if not compile_pattern(policy.issuer_pattern, what="issuer").fullmatch(signer.issuer):
            raise Refused(
                f"the signer was identified by {shown(signer.issuer, 200)}, "
                f"which does not match {shown(policy.issuer_pattern, 300)}",
                "the pattern must match the whole issuer, as if it stood between ^ and $",
            )
    elif signer.issuer != policy.issuer:
        raise Refused(
            f"the signer was identified by {shown(signer.issuer, 200)}, expected the issuer {shown(policy.issuer, 200)}",
            "the comparison is exact: look for a trailing slash",
        )
    if policy.identity and signer.identity != policy.identity:
        raise Refused(
            f"the signer is {shown(signer.identity, 300)}, expected {shown(policy.identity, 300)}",
            "the comparison is exact, upper and lower case count",
        )
    if policy.pattern and not compile_pattern(policy.pattern).fullmatch(signer.identity):
        raise Refused(
            f"the signer is {shown(signer.identity, 300)}, which does not match {shown(policy.pattern, 300)}",
            "the pattern must match the whole identity, as if it stood between ^ and $",
        )


def verify_workflow(chain: Sequence[Certificate], wanted: Sequence[tuple[str, str]]) -> None:
    """That a certificate carries the claims of a workflow that are demanded, byte for byte.

    Args:
        chain: as it was verified, the signer's certificate first; empty where a bare key signed.
        wanted: (field of :class:`sigcore.fulcio.FulcioExtensions`, value).

    Raises:
        Refused: one of them is missing or another one.
    """
    if wanted and not chain:
        raise Refused("a bare key signed, which carries no claims of a workflow")
    for field, value in wanted:
        found: str = getattr(fulcio.parse_extensions(chain[0]), field)
        if found != value:
            name = field.replace("_", " ")
            raise Refused(f"the certificate says {name} {shown(found, 200)}, expected {shown(value, 200)}")
