# SPDX-License-Identifier: Apache-2.0
"""What the verifier says is said in Japanese too, with its values; what has no translation stays what it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import client.explain
import client.verify
from sigcore.errors import Refused
from stack.web.console.language import translations
from stack.web.console.said import phrases, say, sentence

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def template_of(node: ast.expr) -> str | None:
    """The text of a message with ``{}`` for its values; None for one that is put together elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return None


def texts_of(node: ast.expr) -> Iterator[ast.expr]:
    """Both sides of a choice, and of a text that may be longer."""
    if isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    else:
        yield node


def raised_by_the_verifier() -> set[str]:
    found = set()
    for path in Path(client.verify.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("Refused", "Malformed")
            ):
                texts = (template_of(text) for argument in node.args[:2] for text in texts_of(argument))
                found |= {text for text in texts if text}
    return found


def test_everything_that_the_verifier_raises_is_said_in_japanese():
    raised = raised_by_the_verifier()
    assert len(raised) > 70
    assert raised - set(phrases("ja").texts) == set()


def test_a_translation_has_the_values_of_its_english_and_is_japanese():
    for english, other in phrases("ja").texts.items():
        number = english.count("{}")
        assert set(re.findall(r"\{(\d)\}", other)) == {str(place) for place in range(1, number + 1)}, english
        assert JAPANESE.search(other) or not re.search(r"[a-z]{4}", english), english


def test_the_names_of_steps_and_evidence_are_in_japanese():
    names = set()
    for path in Path(client.explain.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Part" and node.args:
                names |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
    assert len(names) > 10
    assert {name for name in names if isinstance(name, str)} - set(translations("ja")) == set()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("the signature over the artifact does not verify", "ファイルに対する署名の検証に失敗しました。"),
        (
            "the signer is 'a@b.example', expected 'c@d.example'",
            "署名者は 'a@b.example' です。期待する署名者は 'c@d.example' です。",
        ),
        (
            "timestamp 1 of 2: the timestamp is over another message",
            "タイムスタンプ(2 個中 1 番目): タイムスタンプは別のデータに対するものです。",
        ),
        (
            "the SCT is of 2026-01-01T00:00:00Z, the log 'x' is trusted from 2025-01-01T00:00:00Z to open end",
            "SCT の時刻は 2026-01-01T00:00:00Z ですが、ログ 'x' を信頼する期間は 2025-01-01T00:00:00Z から期限なしです。",
        ),
        ("something that nobody has translated", "Something that nobody has translated."),
        ("is this a question?", "Is this a question?"),
    ],
)
def test_a_message_is_said_with_its_values(message, said):
    assert sentence("ja", message) == said


@pytest.mark.parametrize(
    "value", ["{1}", "{2}{1}", "\0", ", expected ", "the signer is x, expected y", "<b>", "a: b: c", "", " "]
)
def test_whatever_stands_in_a_value_stays_in_it(value):
    said = say("ja", f"the signer is '{value}', expected 'c@d.example'")
    assert f"'{value}'" in said
    assert "c@d.example" in said
    assert "{2}" not in said.replace(value, "")


def test_english_stays_english_and_an_endless_message_costs_nothing():
    message = str(Refused("the signer is x, expected y"))
    assert say("en", message) == message
    endless = "the signer is " + ", expected " * 100_000
    assert say("ja", endless) == endless
    hostile = ("the signer is " + "x is y, expected " * 250)[:3999]
    assert isinstance(say("ja", hostile), str)


def test_english_sentences_are_as_before():
    assert sentence("en", "the signer is x") == "The signer is x."
    assert sentence("en", "is it?") == "Is it?"
