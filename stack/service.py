# SPDX-License-Identifier: Apache-2.0
"""What a role keeps open beside its routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Protocol


class Service(Protocol):
    """What is opened before the first request, and closed after the last one."""

    async def start(self) -> None:
        """Open."""

    async def stop(self) -> None:
        """Close."""


class During:
    """The context manager that ``make`` gives, as a service."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._make = make
        self._opened = AsyncExitStack()

    async def start(self) -> None:
        """Enter it."""
        await self._opened.enter_async_context(self._make())

    async def stop(self) -> None:
        """Leave it."""
        await self._opened.aclose()


@asynccontextmanager
async def working(work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """``work`` beside the block, cancelled at its end."""
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
