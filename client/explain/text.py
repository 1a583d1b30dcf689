# SPDX-License-Identifier: Apache-2.0
"""An explanation as text for people, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from client.explain.part import Part
from sigcore.strict import JSON

WIDEST = 110
"""Columns; longer lines are hard to read."""
_INDENT = " " * 15


def encode_text(parts: Sequence[Part], width: int = WIDEST) -> str:
    """Numbered steps in lines of ``width`` columns. Shell lines stay whole, so that they can be copied."""
    return "\n".join(line for number, part in enumerate(parts, 1) for line in _part(number, part, width))


def _part(number: int, part: Part, width: int) -> Iterator[str]:
    yield f"{number:2}. {part.name}: {'REFUSED' if part.refusal else 'holds'}"
    yield _row("checked", part.checks, width)
    for name, value in part.facts:
        yield _row(name, value, width)
    if part.refusal:
        yield _row("found", part.refusal, width)
    if part.hint:
        yield _row("do", part.hint, width)
    yield _row("who could lie", part.liar, width)
    for line in part.lines:
        yield f"    $ {line}"
    yield ""


def _row(name: str, value: str, width: int) -> str:
    head = f"    {name}"
    first = f"{head:<{len(_INDENT) + 3}}" if len(head) < len(_INDENT) + 3 else f"{head}  "
    return textwrap.fill(
        value,
        width,
        initial_indent=first,
        subsequent_indent=f"{_INDENT}   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def explanation_json(parts: Sequence[Part]) -> JSON:
    """The same steps as a document."""
    return [
        {
            "number": number,
            "name": part.name,
            "holds": not part.refusal,
            "checked": part.checks,
            "facts": [{"name": name, "value": value} for name, value in part.facts],
            "whoCouldLie": part.liar,
            "lines": list(part.lines),
            "files": [name for name, _ in part.files],
            **({"found": part.refusal, "hint": part.hint} if part.refusal else {}),
        }
        for number, part in enumerate(parts, 1)
    ]
