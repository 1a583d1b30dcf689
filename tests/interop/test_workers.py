# SPDX-License-Identifier: Apache-2.0
"""The official Python client against a stack of several workers: to it, it is a stack like any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.places import Kind, Place
from tests.interop.round_trip import sign_and_verify, trust_by_tuf_alone
from tests.interop.tools import PYTHON
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("workers")
    with running_stack(folder, "--data", folder / "data", "--workers", "2") as running:
        yield running


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.INTOTO_V1], ids=lambda kind: kind.label)
def test_it_signs_and_attests_on_either_log_and_we_read_it(place: Place, kind: Kind):
    sign_and_verify(PYTHON, place, kind)


def test_trust_comes_by_tuf_from_the_first_root_alone(place: Place):
    trust_by_tuf_alone(place)
