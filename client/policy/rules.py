# SPDX-License-Identifier: Apache-2.0
"""The values of a policy: identities, rules, names. :mod:`client.policy.document` makes them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TypeAlias

from client.policy.conditions import Condition
from client.policy.glob import Glob
from sigcore.values import dataclass


class Kind(Enum):
    """What a name is the name of."""

    FILE = "file"
    OCI = "oci"
    PURL = "purl"


class NoMatch(Enum):
    """What a policy does with a name that none of its rules is about."""

    DENY = "deny"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Keyless:
    """Somebody whom ``issuer`` identified: by ``email``, exactly, or by a name that is no address and that ``san`` matches.

    ``claims`` are (field of :class:`sigcore.fulcio.FulcioExtensions`, pattern for its value).
    """

    issuer: str
    email: str = ""
    san: Glob | None = None
    claims: tuple[tuple[str, Glob], ...] = ()


@dataclass(frozen=True, slots=True)
class BareKey:
    """A key by the SHA-256 of its SPKI, in hex, good for signatures made before ``until``."""

    sha256: str
    until: datetime | None = None


Identity: TypeAlias = Keyless | BareKey


@dataclass(frozen=True, slots=True)
class AttestationRule:
    """An attestation of the type, by one of the identities named ``by``, whose predicate meets every condition."""

    predicate_type: str
    by: tuple[str, ...]
    where: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may sign what ``match`` is about. ``allow`` and ``by`` hold names of identities, groups already opened."""

    path: str
    match: tuple[tuple[Kind, Glob], ...]
    allow: tuple[str, ...] = ()
    threshold: int = 1
    attestations: tuple[AttestationRule, ...] = ()
    trust_root: str = ""
    any_name: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy whose parts fit together: every name exists, no two rules are equally specific about one name."""

    expires: datetime
    identities: tuple[tuple[str, Identity], ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    rules: tuple[Rule, ...]
    need_time: bool = True
    on_no_match: NoMatch = NoMatch.DENY

    def identity(self, name: str) -> Identity:
        """The identity of that name; KeyError for none, which a parsed policy never asks for."""
        return dict(self.identities)[name]
