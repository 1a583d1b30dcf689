# SPDX-License-Identifier: Apache-2.0
"""Where the figures of a stack are, for whoever exposes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from stack.config import Home
from stack.gate import Gate
from stack.traffic import Traffic
from tlog.log import Log

if TYPE_CHECKING:
    from stack.watch.watcher import Watcher


class Figures:
    """What is counted while the process runs. ``gate`` comes with the listening socket, after the routes;
    ``watcher`` is there with watch rules.
    """

    def __init__(
        self,
        home: Home,
        traffic: Traffic,
        logs: Mapping[str, Log],
        clock: Callable[[], datetime],
        *,
        watcher: Watcher | None = None,
    ) -> None:
        self.home = home
        self.traffic = traffic
        self.logs = logs
        self.clock = clock
        self.gate: Gate | None = None
        self.watcher = watcher
        self.workers: Callable[[], tuple[int, int]] | None = None
        """Where others answer for this process: the connections that they have, and those that they cut."""

    def connections(self) -> tuple[int, int] | None:
        """Open ones, and those that were cut since the start; None before the first one can come."""
        if self.workers is not None:
            return self.workers()
        return None if self.gate is None else (len(self.gate.connections), self.gate.cut)
