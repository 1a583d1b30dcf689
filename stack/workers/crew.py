# SPDX-License-Identifier: Apache-2.0
"""What several processes serve on one port: a whole stack, or one role of it. The supervisor knows it as this and no more.

Both functions are called in the process that serves, each time that one is started: they read the keys of that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web

from sigcore.floor import Floor
from sigcore.values import dataclass
from stack.edge import Edge
from stack.figures import Figures
from stack.health import Check
from stack.start import ServerTls
from tlog.submission import Intake

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Served:
    """What one process serves.

    Attributes:
        app: the application and its figures; its logs are open inside.
        work: is done beside it, until it ends.
        tls: with what a worker speaks TLS.
    """

    app: AbstractAsyncContextManager[tuple[web.Application, Figures]]
    work: Sequence[Work] = ()
    tls: ServerTls | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """What a worker reaches of the others.

    Attributes:
        logs: the sequencer's, by name.
        floors: the last times that anybody has signed with, by name.
        elsewhere: every route that is not answered here.
    """

    logs: Mapping[str, Intake]
    floors: Mapping[str, Floor]
    elsewhere: Sequence[web.RouteDef]


@dataclass(frozen=True, slots=True)
class Crew:
    """Several processes, and what each kind of them serves.

    Attributes:
        workers: processes that answer.
        commit: what the sequencer serves; readiness asks the given checks, too.
        front: what a worker serves.
        announce: says to people and programs that all of them serve.
        locked: folders of logs that take no new tree meanwhile.
        quota: as of :class:`stack.start.Plan`.
        mortal: all ends with the sequencer.
    """

    workers: int
    commit: Callable[[Edge, Mapping[str, Check]], Served]
    front: Callable[[Edge, Reached], Served]
    announce: Callable[[], None]
    locked: Sequence[Path]
    ready_file: Path | None
    log_format: str | None
    behind_proxy: bool = False
    quota: int | None = None
    mortal: bool = False
