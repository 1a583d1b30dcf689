# SPDX-License-Identifier: Apache-2.0
"""Tests that wait much and work little run at the same time: ``@pytest.mark.at_once("group")``.

A client waits seconds for its next attempt, a rotation for its window, and needs no processor meanwhile. The waits of a group lie
beside each other; none is shorter.

1. The first test of a group that runs begins all that were chosen of the same group and file, ``threads`` at a time.
2. When all of them have ended, each says what became of it: the first one has the seconds of all.
3. So nothing of a group goes on when its turn (``turns.py``) has ended.

A test of a group has parameters, ``tmp_path`` and fixtures that outlive the test, and nothing that another one of its group changes.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

THREADS = 6
"""At a time where the marker does not say; each test has a process or two that work when they begin."""
SHARED = ("module", "package", "session")


class AtOnce:
    """Of one session: the tests that have run by group."""

    def __init__(self) -> None:
        self._ended: dict[str, Future[None]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        __tracebackhide__ = True
        if pyfuncitem.get_closest_marker("at_once") is None:
            return None
        if pyfuncitem.nodeid not in self._ended:
            self._run(pyfuncitem)
        self._ended[pyfuncitem.nodeid].result()
        return True

    def _run(self, first: pytest.Function) -> None:
        marker = first.get_closest_marker("at_once")
        assert marker is not None
        given = {one: arguments(one, first) for one in group(first.session, first.path, *marker.args)}
        with ThreadPoolExecutor(marker.kwargs.get("threads", THREADS)) as pool:
            for one, values in given.items():
                self._ended[one.nodeid] = pool.submit(one.obj, **values)


def group(session: pytest.Session, file: Path, name: str) -> list[pytest.Function]:
    """The tests of a file that were chosen and are marked with this name."""
    return [
        item
        for item in session.items
        if isinstance(item, pytest.Function)
        and item.path == file
        and (marker := item.get_closest_marker("at_once")) is not None
        and marker.args == (name,)
    ]


def arguments(item: pytest.Function, first: pytest.Function) -> dict[str, Any]:
    """What ``item`` asks for, while only ``first`` is set up."""
    found: dict[str, Any] = {}
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    for name in item._fixtureinfo.argnames:
        if name in parameters:
            found[name] = parameters[name]
        elif item is first:
            found[name] = item.funcargs[name]
        elif name == "tmp_path":
            found[name] = item.config._tmp_path_factory.mktemp(item.name[:30], numbered=True)
        elif item._fixtureinfo.name2fixturedefs[name][-1].scope in SHARED and name in first.funcargs:
            found[name] = first.funcargs[name]
        else:
            raise pytest.UsageError(
                f"{item.nodeid} is marked at_once and asks for {name}, which {first.nodeid} has not"
            )
    return found


def pytest_configure(config: pytest.Config) -> None:
    """In every process that runs tests."""
    config.pluginmanager.register(AtOnce())
