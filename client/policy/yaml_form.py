# SPDX-License-Identifier: Apache-2.0
"""The part of YAML that says what JSON says, in one way only.

YAML 1.1 and 1.2 disagree on what ``no``, ``1_000``, ``0o17`` or ``12:30`` is, and one text can stand for another by anchors, merge
keys and tags. So: one document; no anchors, aliases, tags or merge keys; names are texts and stand once; a word without
quotes is ``true``, ``false``, ``null``, a whole number as JSON writes it, a text or a date (a text here too), and what another
reader could take for something else must be quoted. Where the caller allows it, a word may have an anchor and be repeated by
its alias, as in Fulcio's configuration; nothing larger than a word, so nothing grows.

A person must see what is read: no character that ends a line, and with it a comment, here and not in an editor, or that turns the
direction of text (CVE-2021-42574), stands anywhere, in comments neither.

Sources: YAML 1.1 types bool, int, float, null, merge, and its line breaks NEL, LS, PS; YAML 1.2.2 sections 5.4 and 10.2 (JSON schema).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import yaml  # type: ignore[import-untyped]  # PyYAML carries no types

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, parse_decimal, shown

_WORDS: Final[dict[str, JSON]] = {"true": True, "false": False, "null": None}
_TEXTS: Final = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z", re.ASCII)
_DISPUTED: Final = re.compile(r"(?:0o[0-7]+|[yYnN]|[-+]?[0-9.]+[eE][-+]?[0-9]+)\Z", re.ASCII)
"""Texts to YAML 1.1 as PyYAML reads it, and numbers or booleans to other readers."""
_MISLEADING: Final = re.compile("\\r(?!\\n)|[\\x85\\u2028\\u2029\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]")
"""Line breaks to YAML 1.1 that show as none, and what turns the direction of text."""


def parse_yaml(data: bytes, *, what: str, anchored_words: bool = False) -> JSON:
    """The value that ``data`` spells; ``anchored_words`` allows anchors and aliases of single words.

    Raises:
        Malformed: not UTF-8, not YAML, or more of YAML than is said above; larger or deeper than ``limits`` allow.
    """
    if len(data) > limits.POLICY_YAML:
        raise Malformed(
            f"{what} is {len(data)} bytes long, the limit for YAML is {limits.POLICY_YAML}", "convert it to JSON"
        )
    try:
        text = data.decode("utf-8")
        _refuse_misleading(text, what)
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        return _Reader(events, what, {} if anchored_words else None).document()
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is not UTF-8 (byte {error.start})") from error
    except yaml.YAMLError as error:
        raise Malformed(f"{what} is not YAML: {shown(' '.join(str(error).split()), 300)}") from error


def _refuse_misleading(text: str, what: str) -> None:
    if found := _MISLEADING.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise Malformed(
            f"{what} has U+{ord(found[0]):04X} in line {line}: what a person sees is not what is read",
            "lines end with a line feed; take the character out, or write JSON",
        )


class _Reader:
    """One pass over the events of the parser."""

    def __init__(self, events: Iterator[yaml.Event], what: str, words: dict[str, JSON] | None) -> None:
        self._events = events
        self._words = words
        self._what = what
        self._resolve = yaml.SafeLoader("").resolve

    def document(self) -> JSON:
        """The only document."""
        next(self._events)  # the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            raise Malformed(f"{self._what} is empty")
        value = self._value(next(self._events), limits.JSON_DEPTH)
        next(self._events)  # the document's end
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            raise Malformed(f"{self._what} has a second document")
        return value

    def _value(self, event: yaml.Event, depth: int) -> JSON:
        if isinstance(event, yaml.AliasEvent) and self._words is not None and event.anchor in self._words:
            return self._words[event.anchor]
        if isinstance(event, yaml.AliasEvent) or event.tag is not None or (event.anchor and not self._may_keep(event)):
            raise self._refused(event, "an anchor, an alias or a tag")
        if depth == 0:
            raise Malformed(f"{self._what} is nested deeper than {limits.JSON_DEPTH} levels")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth - 1)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(one, depth - 1) for one in self._until(yaml.SequenceEndEvent)]
        word = self._scalar(event)
        if event.anchor and self._words is not None:
            self._words[event.anchor] = word
        return word

    def _may_keep(self, event: yaml.Event) -> bool:
        return self._words is not None and isinstance(event, yaml.ScalarEvent) and event.anchor not in self._words

    def _mapping(self, depth: int) -> JSON:
        members: dict[str, JSON] = {}
        for event in self._until(yaml.MappingEndEvent):
            name = self._value(event, depth)
            if not isinstance(name, str):
                raise self._refused(event, "a name that is no text")
            if name in members:
                raise self._refused(event, f"the name {shown(name)} a second time")
            members[name] = self._value(next(self._events), depth)
        return members

    def _scalar(self, event: yaml.ScalarEvent) -> JSON:
        text: str = event.value
        if event.style is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text):
            sign = -1 if text.startswith("-") else 1
            return sign * parse_decimal(text.removeprefix("-"), what=self._what)
        if _DISPUTED.match(text) or self._resolve(yaml.ScalarNode, text, (True, False)) not in _TEXTS:
            raise self._refused(event, f"{shown(text)}, which readers of YAML take for different things")
        return text

    def _refused(self, event: yaml.Event, found: str) -> Malformed:
        return Malformed(f"{self._what} has {found}, in line {event.start_mark.line + 1}", "put texts into quotes")

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event
