# SPDX-License-Identifier: Apache-2.0
"""One bound for many waits: each ends in its own time, nobody else's cancellation is taken for it."""

from __future__ import annotations

import asyncio
import time

import pytest

from ca.patience import Patience

LONG_S = 60.0


async def wait(patience: Patience, seconds: float, *, before: float = 0.0) -> float:
    """The seconds until the wait was cut off, or -1 where it ended by itself."""
    await asyncio.sleep(before)
    began = time.monotonic()
    try:
        with patience:
            await asyncio.sleep(seconds)
    except TimeoutError:
        return time.monotonic() - began
    return -1.0


async def test_each_of_many_waits_is_bounded_from_its_own_beginning():
    patience = Patience(1.0)
    waits = [wait(patience, LONG_S, before=0.02 * number) for number in range(10)]
    waits += [wait(patience, 0.01, before=0.02 * number) for number in range(10)]
    spent = await asyncio.wait_for(asyncio.gather(*waits), LONG_S)
    assert all(0.99 < seconds < LONG_S / 2 for seconds in spent[:10])
    assert spent[10:] == [-1.0] * 10


async def test_a_wait_after_all_others_have_ended_is_bounded_too():
    patience = Patience(0.05)
    assert await wait(patience, 0.0) == -1.0
    await asyncio.sleep(0.1)
    assert await asyncio.wait_for(wait(patience, LONG_S), LONG_S / 2) > 0.04


async def test_what_came_in_time_is_untouched_and_so_is_the_task_afterwards():
    with Patience(0.5):
        result = await asyncio.sleep(0, "in time")
    await asyncio.sleep(0.6)
    assert result == "in time"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_task_that_others_cancel_is_cancelled():
    task = asyncio.create_task(wait(Patience(LONG_S), LONG_S))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_that_others_cancel_when_its_time_is_over_is_cancelled():
    async def cancelled_twice() -> None:
        with Patience(0.05):
            try:
                await asyncio.sleep(LONG_S)
            except asyncio.CancelledError:
                task.cancel()  # somebody else, at that very moment
                raise

    task = asyncio.create_task(cancelled_twice())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_errors_pass():
    with pytest.raises(ValueError, match="the log"), Patience(LONG_S):
        raise ValueError("the log")


async def test_a_task_is_not_inside_twice():
    patience = Patience(LONG_S)
    with patience, pytest.raises(RuntimeError), patience:
        pass


def test_it_serves_one_event_loop_after_the_other():
    patience = Patience(0.05)
    assert asyncio.run(wait(patience, 0.0)) == -1.0
    assert asyncio.run(asyncio.wait_for(wait(patience, LONG_S), LONG_S / 2)) > 0.04
