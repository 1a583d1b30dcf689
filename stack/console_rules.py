# SPDX-License-Identifier: Apache-2.0
"""What the configuration says about the console: whom to look out for (``[[watch]]``, ``[alerts]``), who may read (``[console]``).

Most stacks say nothing, and pay for nothing at their start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sigcore import limits
from sigcore.values import dataclass
from stack.config import Home, Settings
from stack.files import load_file, make_folder
from stack.shards import Shard

if TYPE_CHECKING:
    from oidc_dev.clients import Registered
    from stack.console_login import LoginDemand
    from stack.watch.rules import Watching, Webhook
    from stack.watch.store import Alert
    from stack.watch.watcher import Post, Watcher
    from tlog.published import Published


@dataclass(frozen=True, slots=True)
class ConsoleRules:
    """Each of it may be nothing."""

    watching: Watching | None = None
    login: LoginDemand | None = None

    def registered(self, settings: Settings) -> Registered | None:
        """The console as a client of the provider in the same process; None where it asks for no login."""
        if self.login is None:
            return None
        from oidc_dev.clients import Client, Registered  # noqa: PLC0415 - see the module
        from oidc_dev.codes import Codes  # noqa: PLC0415 - the same
        from stack.web.console.departure import CLIENT  # noqa: PLC0415 - the same

        return Registered(Client(CLIENT, ("authorization_code",), f"{settings.url}/account/callback"), Codes())

    def watcher(
        self, home: Home, settings: Settings, logs: Mapping[str, Published], clock: Callable[[], datetime]
    ) -> Watcher | None:
        """What follows ``logs`` by the rules; None without rules."""
        if self.watching is None:
            return None
        from stack.watch.watcher import Watcher  # noqa: PLC0415 - see the module
        from tlog.catalog.catalog import SOURCES  # noqa: PLC0415 - the same

        path = None
        if not settings.ephemeral:
            folder = home.folder_of("console")
            make_folder(folder)
            path = folder / "alerts.db"
        sources = {
            name: SOURCES[Shard.of(name).log](log) for name, log in logs.items() if Shard.of(name).log in SOURCES
        }
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
    watching, login = None, None
    if any(b"watch" in text or b"alerts" in text for text in texts):
        from stack.watch.rules import load_watching  # noqa: PLC0415 - see the module

        watching = load_watching(files)
    if any(b"console" in text for text in texts):
        from stack.console_login import load_login_demand  # noqa: PLC0415 - see the module

        login = load_login_demand(files)
    return ConsoleRules(watching, login)
