# SPDX-License-Identifier: Apache-2.0
"""Stacks for the official clients, and the clients themselves. One that is not installed is a failure where CI is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.clients import Missing
from tests.interop.matrix import Matrix
from tests.interop.places import Place, Tool
from tests.interop.tools import JS, V2, V3, Cosign, SigstoreJs
from tests.missing import missing
from tests.stack_process import RunningStack, running_stack


def require(*tools: Tool) -> None:
    """The test cannot run without these clients."""
    for tool in tools:
        with needed():
            tool.require()


@contextmanager
def needed() -> Iterator[None]:
    """What is missing inside skips the test; in CI it fails it."""
    try:
        yield
    except Missing as reason:
        missing(str(reason))


@pytest.fixture(scope="session")
def cosign_v3() -> Cosign:
    require(V3)
    return V3


@pytest.fixture(scope="session")
def cosign_v2() -> Cosign:
    require(V2)
    return V2


@pytest.fixture(scope="session")
def sigstore_js() -> SigstoreJs:
    require(JS)
    return JS


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One for the tests of a module."""
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", forked=False) as running:
        yield running


@pytest.fixture
def place(stack: RunningStack, tmp_path: Path) -> Place:
    """A fresh home beside it."""
    return Place(stack, tmp_path)


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Another stack: same URL form, same names, other keys. Trust is in the keys alone."""
    with running_stack(tmp_path_factory.mktemp("stranger"), "--ephemeral") as running:
        yield running


@pytest.fixture(scope="session")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """What every client wrote, on a stack of its own."""
    folder = tmp_path_factory.mktemp("matrix")
    with running_stack(folder, "--ephemeral") as running:
        yield Matrix(running, folder)
