# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import threading

import pytest

from tlog.storage.worker import Worker


@pytest.fixture
def worker():
    worker = Worker("a worker of a test")
    yield worker
    worker.close()


async def test_one_thing_after_the_other_on_one_thread(worker):
    seen = []

    def work(number: int) -> int:
        seen.append((number, threading.current_thread().name))
        return number * number

    answers = await asyncio.gather(*(worker.run(lambda n=number: work(n)) for number in range(20)))
    assert answers == [number * number for number in range(20)]
    assert seen == [(number, "a worker of a test") for number in range(20)]


async def test_what_it_raises_is_raised_to_the_caller_and_the_next_is_done(worker):
    class Odd(BaseException):
        pass

    def fail() -> None:
        raise Odd

    with pytest.raises(Odd):
        await worker.run(fail)
    assert await worker.run(lambda: 5) == 5


async def test_a_caller_who_gives_up_stops_nothing(worker):
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(60)
        done.set()

    task = asyncio.create_task(worker.run(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await worker.run(lambda: "next") == "next"
    assert done.is_set()


def test_a_loop_that_is_gone_is_not_told(worker):
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(60)

    async def leave() -> None:
        task = asyncio.create_task(worker.run(work))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()

    asyncio.run(leave())
    go_on.set()
    assert asyncio.run(worker.run(lambda: "still there")) == "still there"


async def test_close_waits_for_what_was_asked():
    worker, done = Worker("closing"), []
    task = asyncio.create_task(worker.run(lambda: done.append(1)))
    await asyncio.sleep(0)
    worker.close()
    assert done == [1]
    await task
