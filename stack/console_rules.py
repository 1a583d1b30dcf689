# SPDX-License-Identifier: Apache-2.0
"""What the configuration says about the console: whom to look out for (``[[watch]]``, ``[alerts]``).

Most stacks say nothing, and pay for nothing at their start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sigcore import limits
from stack.config import Home, Settings
from stack.files import load_file, make_folder
from tlog.log import Log

if TYPE_CHECKING:
    from stack.watch.rules import Watching, Webhook
    from stack.watch.store import Alert
    from stack.watch.watcher import Post, Watcher

TABLES: Final = ("watch", "alerts")


@dataclass(frozen=True, slots=True)
class ConsoleRules:
    """Each of it may be nothing."""

    watching: Watching | None = None

    def watcher(
        self, home: Home, settings: Settings, logs: Mapping[str, Log], clock: Callable[[], datetime]
    ) -> Watcher | None:
        """What follows ``logs`` by the rules; None without rules."""
        if self.watching is None:
            return None
        from stack.watch.watcher import Watcher  # noqa: PLC0415 - see the module
        from tlog.catalog.catalog import SOURCES  # noqa: PLC0415 - the same

        path = None
        if not settings.ephemeral:
            make_folder(home.path / "console")
            path = home.path / "console" / "alerts.db"
        sources = {name: SOURCES[name](log) for name, log in logs.items() if name in SOURCES}
        webhook = self.watching.webhook
        return Watcher(path, self.watching.rules, sources, clock, _teller(webhook, settings.url) if webhook else None)


def _teller(webhook: Webhook, stack_url: str) -> Post:
    """Posts to the webhook. What that takes is imported on a thread, with the first alert: aiohttp's client takes 280 ms."""

    async def tell(alert: Alert) -> str:
        post = await asyncio.to_thread(_import_post)
        return await post(alert, webhook, stack_url)

    return tell


def _import_post() -> Callable[[Alert, Webhook, str], Awaitable[str]]:
    from stack.watch.webhook import post  # noqa: PLC0415 - see above

    return post


def load_console_rules(files: Iterable[Path]) -> ConsoleRules:
    """What the TOML ``files`` say, all together.

    Raises:
        NotFound, Malformed, Refused: a file cannot be read, or says something that cannot be meant.
    """
    files = tuple(files)
    texts = [load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET) for file in files]
    if not any(b"watch" in text or b"alerts" in text for text in texts):
        return ConsoleRules()
    from stack.watch.rules import load_watching  # noqa: PLC0415 - see the module

    return ConsoleRules(load_watching(files))
