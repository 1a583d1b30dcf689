# SPDX-License-Identifier: Apache-2.0
"""An explanation as text for people, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from client.explain.part import Part
from sigcore.strict import JSON

_WIDTH = 110
_INDENT = " " * 15


def encode_text(parts: Sequence[Part]) -> str:
    """Numbered steps. Shell lines stay whole, so that they can be copied."""
    return "\n".join(line for number, part in enumerate(parts, 1) for line in _part(number, part))


def _part(number: int, part: Part) -> Iterator[str]:
    yield f"{number:2}. {part.name}: {'REFUSED' if part.refusal else 'holds'}"
    yield _row("checked", part.checks)
    for name, value in part.facts:
        yield _row(name, value)
    if part.refusal:
        yield _row("found", part.refusal)
    if part.hint:
        yield _row("do", part.hint)
    yield _row("who could lie", part.liar)
    for line in part.lines:
        yield f"    $ {line}"
    yield ""


def _row(name: str, value: str) -> str:
    head = f"    {name}"
    first = f"{head:<{len(_INDENT) + 3}}" if len(head) < len(_INDENT) + 2 else f"{head}  "
    return textwrap.fill(
        value,
        _WIDTH,
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
