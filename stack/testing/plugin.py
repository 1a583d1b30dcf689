# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: fixtures ``sigbox`` and ``make_sigbox``.

pytest loads it by its entry point wherever sigbox is installed; ``-p no:sigbox`` leaves it out. Nothing is started before a test
asks. In a run of pytest-xdist each worker has a stack of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from stack.testing import Sigbox, SigError, load_ready, load_trust_config, running


class MakeSigbox(Protocol):
    """What the fixture ``make_sigbox`` is: :func:`stack.testing.running` for the rest of the test."""

    def __call__(self, *arguments: str | Path, **options: Any) -> Sigbox:
        """Start one more stack."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the command line and of the ini file."""
    group = parser.getgroup("sigbox", "a private Sigstore for tests")
    group.addoption("--sigbox-ready-file", metavar="FILE", help="use the stack of this machine that wrote FILE")
    group.addoption("--sigbox-url", metavar="URL", help="use the stack at URL, with --sigbox-trust-config")
    group.addoption("--sigbox-trust-config", metavar="FILE", help="the trust_config.json of the stack at --sigbox-url")
    group.addoption("--sigbox-ca-file", metavar="PEM", help="what an https --sigbox-url is trusted by")
    parser.addini(
        "sigbox_args", type="args", help="further arguments of sigbox up, for the stack of the fixture sigbox"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that contradict each other before anything runs."""
    ready, url, trust = (_option(config, name) for name in ("ready_file", "url", "trust_config"))
    if ready and url:
        raise pytest.UsageError("--sigbox-ready-file and --sigbox-url name a stack each: leave one of them out")
    if bool(url) != bool(trust):
        raise pytest.UsageError("--sigbox-url and --sigbox-trust-config belong together: give both, or none")


def _option(config: pytest.Config, name: str) -> str | None:
    value: str | None = config.getoption(f"sigbox_{name}")
    return value


@pytest.fixture(scope="session")
def sigbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sigbox]:
    """A Sigstore for the whole run: an ephemeral one of its own, or the one that the command line names."""
    with ExitStack() as held:
        try:
            box = _named(request.config, tmp_path_factory) or held.enter_context(
                running(
                    *request.config.getini("sigbox_args"),
                    folder=tmp_path_factory.mktemp("sigbox"),
                    cwd=request.config.rootpath,
                )
            )
        except (SigError, OSError) as error:
            pytest.fail(f"there is no sigbox: {error}", pytrace=False)
        yield box


def _named(config: pytest.Config, folders: pytest.TempPathFactory) -> Sigbox | None:
    """The stack that the command line names, if it does."""
    start = config.invocation_params.dir
    if ready := _option(config, "ready_file"):
        return load_ready(start / ready)
    url, trust, ca_file = (_option(config, name) for name in ("url", "trust_config", "ca_file"))
    if url and trust:
        return load_trust_config(url, start / trust, folders.mktemp("sigbox"), start / ca_file if ca_file else None)
    return None


@pytest.fixture
def make_sigbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSigbox]:
    """Starts fresh stacks, each with keys and logs of its own, that end with the test: options as of ``stack.testing.running``."""
    with ExitStack() as held:

        def make(*arguments: str | Path, **options: Any) -> Sigbox:
            place = {"folder": tmp_path_factory.mktemp("sigbox"), **options}
            return held.enter_context(running(*arguments, **place))

        yield make
