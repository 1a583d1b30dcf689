# SPDX-License-Identifier: Apache-2.0
"""Where the figures of a stack are, for whoever exposes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from stack.config import Home
from stack.gate import Gate
from stack.traffic import Traffic
from tlog.log import Log

if TYPE_CHECKING:
    from stack.watch.watcher import Watcher


@dataclass(slots=True)
class Figures:
    """What is counted while the process runs. ``gate`` comes with the listening socket, after the routes;
    ``watcher`` is there with watch rules.
    """

    home: Home
    traffic: Traffic
    logs: Mapping[str, Log]
    clock: Callable[[], datetime]
    gate: Gate | None = None
    watcher: Watcher | None = None
