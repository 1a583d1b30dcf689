# SPDX-License-Identifier: Apache-2.0
"""The part of Go's ``text/template`` that Fulcio's shipped configuration uses, and nothing more.

    text {{ .name }} {{ index . "any/name" }} {{ (index . "any/name") }}
    {{ if eq OPERAND OPERAND }} ... {{ else }} ... {{ end }}

An operand is ``.name``, ``(index . "name")`` or ``"text"``. As in Go with ``missingkey=error``, ``.name`` must be there, and what
``index`` does not find is empty. A template without ``{{`` is the name of one value, which must be there.

Source: Fulcio ``pkg/identity/ciprovider/principal.go`` and ``config/identity/config.yaml``; Go's package text/template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from sigcore.errors import Malformed, Refused
from sigcore.strict import shown
from sigcore.values import dataclass

LENGTH: Final = 2048
"""Characters of one template; the longest of Fulcio's has 150."""

_ACTION: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = r"\.(?P<field>[A-Za-z_][A-Za-z0-9_]*)"
_INDEX = r'index\s+\.\s+"(?P<index>[^"\\]*)"'
_VALUE: Final = re.compile(rf"\s*(?:{_FIELD}|{_INDEX}|\(\s*{_INDEX.replace('index>', 'inner>')}\s*\))\s*\Z")
_OPERAND = r'(\.[A-Za-z_][A-Za-z0-9_]*|\(\s*index\s+\.\s+"[^"\\]*"\s*\)|"[^"\\]*")'
_IF: Final = re.compile(rf"\s*if\s+eq\s+{_OPERAND}\s+{_OPERAND}\s*\Z")
_KNOWN: Final = '{{ .name }}, {{ index . "name" }}, {{ if eq A B }}..{{ else }}..{{ end }}'


class Text(NamedTuple):
    """Stands as it is."""

    text: str


class Value(NamedTuple):
    """The value of that name; when it is not ``needed`` and not there, nothing."""

    name: str
    needed: bool


class Choice(NamedTuple):
    """``then`` where both operands are the same text, else ``otherwise``."""

    left: Text | Value
    right: Text | Value
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


Node = Text | Value | Choice


@dataclass(frozen=True, slots=True)
class Template:
    """What :func:`parse_template` made of a text."""

    text: str
    nodes: tuple[Node, ...]

    def render(self, values: Mapping[str, str]) -> str:
        """The text for these values.

        Raises:
            Refused: a value that the template needs is missing.
        """
        return "".join(_render(self.nodes, values))

    def names(self) -> frozenset[str]:
        """Every value that the template may look at."""
        return frozenset(_names(self.nodes))


def parse_template(text: str) -> Template:
    """A template, or the name of one value.

    Raises:
        Malformed: it is longer than :data:`LENGTH`, or has more of Go's language than stands above.
    """
    if len(text) > LENGTH:
        raise Malformed(f"a template has {len(text)} characters, the limit is {LENGTH}")
    if "{{" not in text:
        return Template(text, (Value(text, needed=True),))
    return Template(text, _Parser(text).whole())


class _Parser:
    """One pass over the pieces of a template: text, action, text, action, ..., text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._pieces = iter(_ACTION.split(text))

    def whole(self) -> tuple[Node, ...]:
        nodes, end = self._until()
        if end:
            raise self._bad(end)
        return nodes

    def _until(self) -> tuple[tuple[Node, ...], str]:
        """Nodes up to ``else``, ``end`` or the end of the text, and which of them it was."""
        nodes: list[Node] = []
        while True:
            text = next(self._pieces)
            if "{{" in text:
                raise self._bad("an action that does not end")
            if text:
                nodes.append(Text(text))
            action = next(self._pieces, None)
            if action is None or action.strip() in ("else", "end"):
                return tuple(nodes), (action or "").strip()
            nodes.append(self._action(action))

    def _action(self, action: str) -> Node:
        if value := _value(action):
            return value
        condition = _IF.match(action)
        if condition is None:
            raise self._bad(f"{{{{{action}}}}}")
        left, right = map(_operand, condition.groups())
        then, end = self._until()
        otherwise: tuple[Node, ...] = ()
        if end == "else":
            otherwise, end = self._until()
        if end != "end":
            raise self._bad("an if without its end")
        return Choice(left, right, then, otherwise)

    def _bad(self, found: str) -> Malformed:
        return Malformed(f"the template {shown(self._text)} has {shown(found)}", f"understood is {_KNOWN}")


def _value(action: str) -> Value | None:
    match = _VALUE.match(action)
    if match is None:
        return None
    if match["field"]:
        return Value(match["field"], needed=True)
    return Value(match["inner"] if match["index"] is None else match["index"], needed=False)


def _operand(text: str) -> Text | Value:
    return _value(text) or Text(text[1:-1])


def _render(nodes: tuple[Node, ...], values: Mapping[str, str]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Choice):
            chosen = node.then if _text(node.left, values) == _text(node.right, values) else node.otherwise
            yield from _render(chosen, values)
        else:
            yield _text(node, values)


def _text(node: Text | Value, values: Mapping[str, str]) -> str:
    if isinstance(node, Text):
        return node.text
    if node.needed and node.name not in values:
        raise Refused(f"the token has no claim {shown(node.name)}, which its issuer's templates need")
    return values.get(node.name, "")


def _names(nodes: tuple[Node, ...]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Choice):
            yield from _names((node.left, node.right, *node.then, *node.otherwise))
        elif isinstance(node, Value):
            yield node.name
