# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable

KINDS = (Malformed, Refused, NotFound, Unavailable)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_reads_as_its_message_and_its_hint(kind):
    error = kind("the size is 3, expected 4", "send all of it")
    assert (error.message, error.hint) == ("the size is 3, expected 4", "send all of it")
    assert str(error) == "the size is 3, expected 4 (send all of it)"


def test_without_a_hint_there_are_no_brackets():
    assert str(Refused("no")) == "no"


def test_the_kinds_are_distinct_and_have_one_base():
    for kind in KINDS:
        assert issubclass(kind, SigError)
        assert not any(issubclass(kind, other) for other in KINDS if other is not kind)
