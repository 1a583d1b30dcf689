# SPDX-License-Identifier: Apache-2.0
"""The policy (C2SP tlog-policy) that a stack's own log can keep: its trees, the witnesses that it asks, how many of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from sigcore.cosignature import CosignerKey, parse_witness_verifier
from sigcore.errors import Malformed
from sigcore.note import NoteKey
from sigcore.strict import parse_decimal
from sigcore.tlog_policy import NONE, PolicyGroup, PolicyLog, PolicyWitness, TlogPolicy
from stack.config import Settings

_GROUP: Final = "witnesses"
_WORDS: Final = ("log", "witness", "group", "quorum", "any", "all", NONE)
"""No names for other readers of the format, although it allows all but the last."""


def stack_policy(settings: Settings, logs: Sequence[NoteKey], quorum: str = "") -> tuple[TlogPolicy, tuple[str, ...]]:
    """The policy, and what to say above it.

    Args:
        settings: whom the log asks, and how many it waits for.
        logs: the keys of its trees.
        quorum: ``any``, ``all`` or a number; empty: as many as the log waits for, one where it waits for none.

    Raises:
        Malformed: no such number of witnesses.
    """
    keys = [parse_witness_verifier(row.key) for row in settings.witnesses]
    rows = zip(settings.witnesses, keys, _names(keys), strict=True)
    witnesses = tuple(PolicyWitness(name, key, row.url) for row, key, name in rows)
    trees = tuple(PolicyLog(key, settings.at("log")) for key in logs)
    if not witnesses:
        if quorum:
            raise Malformed(f"--quorum is {quorum}, and the log asks no witness", "name them in [[log.witnesses]]")
        return TlogPolicy(trees, (), (), NONE), tuple(_remarks(settings, 0))
    number = _number(quorum, settings.witness_quorum, len(witnesses))
    group = PolicyGroup(_GROUP, number, tuple(one.name for one in witnesses))
    return TlogPolicy(trees, witnesses, (group,), _GROUP), tuple(_remarks(settings, number))


def _number(quorum: str, awaited: int, most: int) -> int:
    if quorum in {"any", "all", ""}:
        return {"any": 1, "all": most, "": awaited or 1}[quorum]
    number = parse_decimal(quorum, what="--quorum")
    if not 1 <= number <= most:
        raise Malformed(f"--quorum is {number}, expected any, all, or 1 to {most}: so many witnesses are asked")
    return number


def _names(keys: Sequence[CosignerKey]) -> list[str]:
    """Each by the name of its key, and its hash where that name is taken."""
    count = Counter([*_WORDS, _GROUP, *(key.name for key in keys)])
    return [key.name if count[key.name] == 1 else f"{key.name}+{key.hash.hex()}" for key in keys]


def _remarks(settings: Settings, number: int) -> Iterator[str]:
    yield "who must have cosigned this log's checkpoints (C2SP tlog-policy): --witness-policy FILE"
    if not settings.witnesses:
        yield "the log asks no witness, so nobody is demanded: name them as [[log.witnesses]] in sigbox.toml"
    elif number > settings.witness_quorum:
        yield f"the log waits for {settings.witness_quorum} of them (witness_quorum): what it takes while others are away is refused"
