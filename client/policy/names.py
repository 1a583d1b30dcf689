# SPDX-License-Identifier: Apache-2.0
"""The name that an artifact is judged under: what the user says (``--as``), or the last part of a local path."""

from __future__ import annotations

from client.policy.glob import deceives
from client.policy.rules import Kind
from sigcore import limits
from sigcore.errors import Refused
from sigcore.strict import shown
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Name:
    """``text`` names something of ``kind``; ``asserted`` by the user, else chosen by whoever made the file."""

    kind: Kind
    text: str
    asserted: bool

    def __str__(self) -> str:
        return f"{self.kind.value} {shown(self.text, 300)}"


def asserted_name(text: str) -> Name:
    """The name that the user gives: ``pkg:...`` (a purl), ``oci:REFERENCE``, ``file:NAME``, or NAME of a file.

    Raises:
        Refused: empty or not in its one spelling.
    """
    if text.startswith("pkg:"):
        return _honest(Name(Kind.PURL, text, asserted=True))
    for kind in (Kind.OCI, Kind.FILE):
        if text.startswith(f"{kind.value}:"):
            return _honest(Name(kind, text.removeprefix(f"{kind.value}:"), asserted=True))
    return _honest(Name(Kind.FILE, text, asserted=True))


def local_name(path: str) -> Name:
    """The name of a local file: the last part of its path; the folders above it say nothing.

    Raises:
        Refused: the path has no last part, or one that deceives.
    """
    return _honest(Name(Kind.FILE, path.rpartition("/")[2], asserted=False))


def _honest(name: Name) -> Name:
    """One artifact, one name: no empty part, none that climbs, nothing hidden, one normal form."""
    defect = deceives(name.text)
    if not name.text or len(name.text) > limits.POLICY_NAME:
        defect = f"has {len(name.text)} characters"
    elif "" in name.text.split("/"):
        defect = "has an empty part: a slash at an end, or two in a row"
    elif "\\" in name.text:
        defect = "has a backslash"
    if defect:
        raise Refused(f"the name {shown(name.text, 200)} {defect}", "give the plain name: --as NAME")
    return name
