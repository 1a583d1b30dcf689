# SPDX-License-Identifier: Apache-2.0
"""Every public parser: nothing but a SigError comes out of it, and what it takes is written again as it was (V11, V16, L06).

The parsers are found by looking, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigcore.errors import Malformed, SigError
from tests.architecture_rules import PACKAGES
from tests.chance import chosen_seed
from tests.property import client_corpus, corpus, oci_corpus
from tests.property.corpus import Parser, same
from tests.property.mutate import mutants

PARSERS = corpus.PARSERS | client_corpus.PARSERS | oci_corpus.PARSERS
COUNT = 400
SEED = chosen_seed()
NO_IMPORT = ("stack.cli.__main__",)
"""Modules that run something when they are imported."""


def public_parsers() -> Iterator[str]:
    """Each function ``parse_...`` by its dotted name, where it is defined."""
    for package in PACKAGES:
        root = import_module(package)
        names = [package, *(found.name for found in pkgutil.walk_packages(root.__path__, f"{package}."))]
        for name in names:
            if name not in NO_IMPORT:
                module = import_module(name)
                for function in map(inspect.unwrap, filter(callable, vars(module).values())):
                    own = inspect.isfunction(function) and function.__module__ == name
                    if own and function.__name__.startswith("parse_"):
                        yield f"{name}.{function.__name__}"


def test_every_public_parser_has_a_row():
    found = set(public_parsers())
    assert not found - set(PARSERS), "give each of these a row in tests/property/corpus.py"
    assert not set(PARSERS) - found, "these are gone"


def outcome(parser: Parser, data: bytes) -> tuple[Any, Any]:
    """(input as it was given, value or the SigError); anything else is an error of the parser, shown with its input."""
    given = data.decode("utf-8", "surrogateescape") if parser.text else data
    try:
        return given, parser.parse(given)
    except SigError as error:
        return given, error
    except Exception as error:
        error.add_note(f"input (seed {SEED}): {given!r}")
        raise


def check_round_trip(parser: Parser, given: Any, value: Any) -> None:
    if parser.encode is not None and not isinstance(value, SigError):
        written = parser.encode(value)
        if parser.exact:
            assert written == given, f"seed {SEED}: another spelling of the same was taken"
        else:
            assert same(parser.parse(written), value), f"seed {SEED}: {given!r} was written as {written!r}"


@pytest.mark.parametrize("name", PARSERS)
def test_a_good_input_is_taken_and_written_as_it_was(name: str):
    parser = PARSERS[name]
    assert parser.seeds
    for seed in parser.seeds:
        given, value = outcome(parser, seed)
        assert not isinstance(value, SigError), value
        check_round_trip(parser, given, value)
        if parser.encode is not None:
            assert parser.encode(value) == given or not parser.exact


@pytest.mark.parametrize("name", PARSERS)
def test_a_bad_input_is_a_sig_error_or_another_value_in_its_one_spelling(name: str):
    parser = PARSERS[name]
    for data in mutants(parser.seeds, Random(f"{SEED} {name}"), COUNT):
        given, value = outcome(parser, data)
        if isinstance(value, SigError):
            assert value.message
        check_round_trip(parser, given, value)


@pytest.mark.parametrize("name", PARSERS)
def test_any_input_is_answered(name: str):
    parser = PARSERS[name]

    @settings(max_examples=25, deadline=None, database=None)
    @given(
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
        if parser.text
        else st.binary(max_size=300)
    )
    def run(data: bytes) -> None:
        check_round_trip(parser, *outcome(parser, data))

    run()


# --- the tests can fail ------------------------------------------------------------------------------------
def raises(_text: str) -> None:
    [].pop()


def takes_two_spellings(text: str) -> int:
    if not text.isdigit():
        raise Malformed("no number")
    return int(text)


@pytest.mark.parametrize(
    ("parse", "encode", "error"),
    [(raises, None, IndexError), (int, None, ValueError), (takes_two_spellings, str, AssertionError)],
    ids=["raises", "forgets to catch", "takes two spellings"],
)
def test_control_a_careless_parser_is_found(parse: Any, encode: Any, error: type[Exception]):
    careless = Parser(parse, [b"10", b"7"], encode, text=True)

    def run() -> None:
        for data in mutants(careless.seeds, Random(1), COUNT):
            check_round_trip(careless, *outcome(careless, data))

    with pytest.raises(error):
        run()
