# SPDX-License-Identifier: Apache-2.0
"""Entries of Rekor v1: what clients propose, by kind and version, and the canonical body that it comes to.

A proposal is parsed into a frozen value that is whole or is refused; ``verify`` of that value checks the signatures and gives
what may be logged. Nothing is looked at again after that.

Source: rekor ``openapi.yaml`` (ProposedEntry), ``pkg/types``; RFC 8785 for the form of the bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

from sigcore import canonical, limits
from sigcore.entries_v1_artifact import parse_hashedrekord, parse_rekord
from sigcore.entries_v1_envelope import parse_dsse, parse_intoto
from sigcore.entries_v1_verifier import LoggableEntry
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, parse_json, shown


class ProposedEntry(Protocol):
    """One proposal, well-formed."""

    def verify(self) -> LoggableEntry:
        """What may be logged. Refused when a signature does not hold."""
        ...


_KINDS: Final[Mapping[tuple[str, str], Callable[[Fields], ProposedEntry]]] = {
    ("hashedrekord", "0.0.1"): parse_hashedrekord,
    ("dsse", "0.0.1"): parse_dsse,
    ("intoto", "0.0.2"): parse_intoto,
    ("rekord", "0.0.1"): parse_rekord,
}
"""(kind, version) -> parser of ``spec``."""
KINDS: Final = tuple(kind for kind, _version in _KINDS)
"""What a log can take."""
_NEVER_LOGGED: Final = frozenset({("intoto", "0.0.1")})
"""What clients still look for, beside what they have logged (cosign 2)."""
_PROPOSED: Final = {
    "dsse": ("proposedContent",),
    "intoto": ("content", "envelope", "payload"),
    "rekord": ("data", "content"),
}
"""The member that the log drops; without it the entry is the one that was logged."""


def parse_proposal(data: bytes, kinds: Collection[str] = KINDS) -> ProposedEntry:
    """The body of ``POST /api/v1/log/entries``. ``null`` counts as absent: sigstore-python writes it.

    ``kinds`` are those that the log takes.

    Raises:
        Malformed: not strict JSON, an unknown kind or version, an unknown or missing member, a value out of bounds.
        Refused: another kind, a weak key, or a form of signature that is not taken.
    """
    return _proposal(parse_json(data, what="the proposed entry", limit=limits.LOG_REQUEST), kinds)


def check_kind(kind: str, kinds: Collection[str]) -> None:
    """Raises Refused for an entry of a kind that this log does not take."""
    if kind not in kinds:
        raise Refused(f"this log takes no entries of kind {kind}", f"it takes: {', '.join(kinds)}")


def _proposal(value: JSON, kinds: Collection[str] = KINDS) -> ProposedEntry:
    kind, version, spec = _parts(value)
    row = _KINDS.get((kind, version))
    if row is None:
        known = ", ".join(" ".join(pair) for pair in _KINDS)
        raise Malformed(f"the proposed entry is of kind {shown(kind)} {shown(version)}", f"known: {known}")
    check_kind(kind, kinds)
    return row(spec)


def sought_body(value: JSON) -> bytes | None:
    """The canonical body that a proposal, or an entry as it was logged, would be found under; None when there can be none.

    Nobody is told more by it than what he sent, so the signatures of a logged form need no second look.

    Raises:
        Malformed, Refused: as :func:`parse_proposal` and :meth:`ProposedEntry.verify`.
    """
    kind, version, spec = _parts(value)
    if (kind, version) in _NEVER_LOGGED:
        return None
    if (kind, version) in _KINDS and kind in _PROPOSED and not _has(spec, _PROPOSED[kind]):
        return canonical.encode(_without_nulls(value))
    return _proposal(value).verify().body


def _parts(value: JSON) -> tuple[str, str, Fields]:
    fields = Fields.of(_without_nulls(value), "the proposed entry")
    fields.only("apiVersion", "kind", "spec")
    return fields.text("kind"), fields.text("apiVersion"), fields.object("spec")


def _has(fields: Fields, path: tuple[str, ...]) -> bool:
    *parents, last = path
    for name in parents:
        found = fields.optional_object(name)
        if found is None:
            return False
        fields = found
    return last in fields


def _without_nulls(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {name: _without_nulls(member) for name, member in value.items() if member is not None}
    return [_without_nulls(element) for element in value] if isinstance(value, list) else value
