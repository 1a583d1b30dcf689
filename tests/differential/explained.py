# SPDX-License-Identifier: Apache-2.0
"""The differences that are known, each with its reason: the tables of docs/differences.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.differential.cases import Case
from tests.differential.judges import OFFICIAL, Verdicts

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
_ROW = re.compile(r"^\| (accepts|refuses) \| `(.+)` \| ([a-z, -]+) \| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """What ``sigbox`` does, what is found in the refusal of the one that refuses, the other clients, and why."""

    sigbox: str
    refusal: str
    clients: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Difference:
    """sigbox and ``client`` do not agree about ``case``; ``refusal`` is by the one that refuses."""

    case: Case
    client: str
    sigbox: str
    refusal: str

    def explained_by(self, row: Row) -> bool:
        """Whether ``row`` is about this."""
        found = re.search(row.refusal, f"{self.case.name}\n{self.refusal}")
        return self.sigbox == row.sigbox and self.client in row.clients and found is not None

    def __str__(self) -> str:
        return f"sigbox {self.sigbox}, {self.client} does not: {self.case.name}: {self.refusal}"


def load_rows() -> list[Row]:
    """The rows of the document; in a table a bar is written with a backslash before it."""
    rows = [
        Row(sigbox, refusal.replace(r"\|", "|"), tuple(clients.split(", ")), reason)
        for sigbox, refusal, clients, reason in _ROW.findall(DOCUMENT.read_text("utf-8"))
    ]
    unknown = {client for row in rows for client in row.clients} - set(OFFICIAL)
    assert not unknown, unknown
    return rows


def differences(cases: list[Case], verdicts: list[Verdicts]) -> Iterator[Difference]:
    """Where an official client decides otherwise than we do."""
    for case, verdict in zip(cases, verdicts, strict=True):
        ours = verdict["sigbox"] or ""
        for client in OFFICIAL:
            theirs = verdict[client]
            if theirs is not None and bool(theirs) != bool(ours):
                yield Difference(case, client, "refuses" if ours else "accepts", ours or theirs)


def outvoted(cases: list[Case], verdicts: list[Verdicts]) -> Iterator[str]:
    """The cases that we accept and two or more others refuse.

    Who refuses a bundle of the suite as it is has no voice about changes to it: he would refuse them all, whatever they are.
    """
    voiceless = {
        (case.name, client)
        for case, verdict in zip(cases, verdicts, strict=True)
        for client in OFFICIAL
        if not case.change and verdict[client]
    }
    for case, verdict in zip(cases, verdicts, strict=True):
        original = case.name.partition(" / ")[0] if case.change else ""
        voices = [client for client in OFFICIAL if verdict[client] and (original, client) not in voiceless]
        if not verdict["sigbox"] and len(voices) >= 2:
            yield case.name
