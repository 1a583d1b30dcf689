# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.missing import missing
from tests.ports import free_port
from tests.postgres_server import Server, running_server

pytest_plugins = ["tests.at_once", "tests.ci_skips", "tests.fork_server", "tests.memory_folder", "tests.turns"]

# How long one example takes says how busy the machine is. Where CI is set, Hypothesis does the same by itself.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Third-party test vectors; they stay outside the repository. Their absence is a failure where CI is set."""
    return shared("vectors", "SIGBOX_VECTORS", "third-party vectors are absent")


@pytest.fixture(scope="session")
def conformance_kit() -> Path:
    """The wrapper that runs a client under the conformance suite; it lies beside the vectors, and is as necessary."""
    return shared("conformance-kit", "SIGBOX_CONFORMANCE_KIT", "the kit of the conformance suite is absent")


def shared(name: str, variable: str, absent: str) -> Path:
    """A folder of material that is not ours; skip, or fail where CI is set, when it is not there."""
    beside = os.environ.get("SIGBOX_VECTORS")
    default = Path(beside).parent if beside else Path(__file__).resolve().parent.parent.parent / "shared"
    folder = Path(os.environ.get(variable, default / name))
    if not folder.is_dir():
        missing(f"{absent}; set {variable} to the folder")
    return folder


@pytest.fixture
def unused_tcp_port() -> int:
    """In place of the plugin's: the kernel would give that port to the next one who asks, in another process of tests."""
    return free_port()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests that only need one; each keeps to logs of its own."""
    with running_server() as server:
        yield server
