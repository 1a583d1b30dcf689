# SPDX-License-Identifier: Apache-2.0
"""A signal that comes where Python ignores what it raises ends the stack all the same."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from stack.ending import IMPORTING, Ending, came_before
from stack.running import stop_on_signals
from stack.serve import ended_by_sigterm


def sending(file: str, name: str) -> Callable[[], None]:
    """A function of that file and name that sends this process a SIGTERM, and is still there when it comes."""
    code = compile(f"def {name}():\n    kill(own, number)\n    for _ in range(100): pass\n", file, "exec")
    space = {"kill": os.kill, "own": os.getpid(), "number": signal.SIGTERM}
    exec(code, space)  # noqa: S102 - the two lines above
    return space[name]


@pytest.fixture
def handler() -> Iterator[Ending]:
    """Takes SIGTERM during the test."""
    ours = Ending()
    before = signal.signal(signal.SIGTERM, ours)
    yield ours
    signal.signal(signal.SIGTERM, before)


def test_a_signal_ends_the_process_where_it_is(handler):
    with pytest.raises(SystemExit) as ended:
        sending("elsewhere.py", "cb")()
    assert ended.value.code == 0
    assert handler.came == signal.SIGTERM


def test_one_that_comes_in_the_callback_of_an_import_is_remembered(handler):
    assert came_before([signal.SIG_DFL, None, handler]) is None
    sending(IMPORTING, "cb")()
    assert came_before([signal.SIG_DFL, None, handler]) == signal.SIGTERM


async def test_an_event_loop_that_takes_the_signals_over_stops_at_once(handler):
    stopping = asyncio.Event()
    try:
        stop_on_signals(stopping, lambda: None)
        assert not stopping.is_set()
    finally:
        give_back()
    signal.signal(signal.SIGTERM, handler)
    sending(IMPORTING, "cb")()
    try:
        stop_on_signals(stopping, lambda: None)
        assert stopping.is_set()
    finally:
        give_back()


def give_back() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.remove_signal_handler(number)


def test_what_was_remembered_before_the_next_handler_ends_there(handler):
    sending(IMPORTING, "cb")()
    with pytest.raises(SystemExit), ended_by_sigterm():
        pytest.fail("it was told to end")
    assert signal.getsignal(signal.SIGTERM) is handler


def test_the_callback_of_an_import_is_called_as_it_is_known_here():
    """In this interpreter; another one may have none, and then nothing is ignored there."""
    from importlib import _bootstrap  # noqa: PLC0415 - private, and for this test alone

    names = [code.co_name for code in _bootstrap._get_module_lock.__code__.co_consts if hasattr(code, "co_name")]
    assert (names, _bootstrap._get_module_lock.__code__.co_filename) in ((["cb"], IMPORTING), ([], IMPORTING))
