# SPDX-License-Identifier: Apache-2.0
"""The process that is started with ``--workers N``: it holds the port, the locks and the data directory, and answers nothing itself.

1. The port is bound once for each worker (SO_REUSEPORT), so that the kernel spreads connections evenly; all of these sockets are
   held here. Those that wait for a worker which dies are taken by the one in its place, not reset.
2. The sequencer and the workers are forked. When all serve, that is announced.
3. One that dies is forked again: at once when it had served for a while, soon when it had served at all, else a little later each
   time. Meanwhile the others answer what they can, and 503 where they need it.
4. SIGTERM goes to all. The workers finish what is under way, the sequencer when they have; a second one ends all at once.

The logs of an ephemeral stack are the sequencer's memory; so such a stack ends with it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from sigcore.errors import SigError, Unavailable
from stack import logs
from stack.ending import came_before, ending_signals
from stack.lock import WORKERS, held
from stack.running import run_loop
from stack.workers import front, sequencer
from stack.workers.child import ATOMIC, READY, fork, reason_of
from stack.workers.crew import Crew
from stack.workers.floors import Floors
from stack.workers.place import Place, meeting

STEADY_S: Final = 5.0
"""Who has served for so long is started again at once."""
DELAY_S: Final = 0.1
MOST_DELAY_S: Final = 2.0
STOP_S: Final = 11.0
"""Longer than the sequencer and the workers give themselves; then they are killed."""

_log = logging.getLogger("sigbox.workers")


def supervise(crew: Crew, listener: socket.socket) -> int:
    """Serve on the address of ``listener`` until a signal; the answer is the exit code.

    Raises:
        SigError: of a process that could not serve when it was first started.
    """
    logs.set_up(crew.log_format)
    lifeline, life = os.pipe()
    sockets, floors = spread(listener, crew.workers), Floors(crew.workers + 1)

    def foreign(own: socket.socket | None) -> None:
        os.close(life)
        for one in sockets:
            if one is not own:
                one.close()

    try:
        with ExitStack() as locks, meeting() as place:
            for folder in crew.locked:
                locks.enter_context(held(folder, WORKERS))
            children = _children(crew, place, floors, sockets, lifeline, foreign)
            return Supervisor(children, sockets, crew.announce, mortal=crew.mortal).run()
    finally:
        if crew.ready_file is not None:
            crew.ready_file.unlink(missing_ok=True)


def _children(
    crew: Crew,
    place: Place,
    floors: Floors,
    sockets: Sequence[socket.socket],
    lifeline: int,
    foreign: Callable[[socket.socket | None], None],
) -> list[Child]:
    def commit(ready: Callable[[], None]) -> None:
        serve = partial(sequencer.serve, crew, place, floors.of(0), lifeline, ready)
        run_loop(crew.log_format, None, serve, behind_proxy=True)

    def front_at(number: int, listener: socket.socket, ready: Callable[[], None]) -> None:
        serve = partial(front.serve, crew, listener, place, floors.of(number), lifeline, ready)
        behind = crew.behind_proxy
        run_loop(crew.log_format, None, serve, behind_proxy=behind, quota=crew.quota, share=crew.workers)

    children = [Child(SEQUENCER, commit, partial(foreign, None))]
    for number, listener in enumerate(sockets, 1):
        children.append(Child(f"worker {number}", partial(front_at, number, listener), partial(foreign, listener)))
    return children


def spread(first: socket.socket, count: int) -> list[socket.socket]:
    """``count`` sockets on the address of ``first``, which is one of them.

    ``first`` was bound without SO_REUSEPORT: so nobody else had the address, not even another program that would share it.
    """
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sockets = [first]
    for _ in range(count - 1):
        other = socket.socket(first.family, socket.SOCK_STREAM)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind(first.getsockname())
        sockets.append(other)
    return sockets


SEQUENCER: Final = "sequencer"


class Child:
    """A process that there shall be.

    Args:
        name: for the log.
        run: what it does; is given what says that it is ready.
        foreign: closes what is the supervisor's.
    """

    def __init__(self, name: str, run: Callable[[Callable[[], None]], None], foreign: Callable[[], None]) -> None:
        self.name = name
        self._run, self._foreign = run, foreign
        self.pid = 0
        """0 while there is none."""
        self.ready = False
        self.due = 0.0
        """When to start it again."""
        self.status = -1
        self._said = b""
        self._began = self._delay = 0.0

    def start(self) -> None:
        """Fork it."""
        self._said, self.ready, self._began = b"", False, time.monotonic()
        self.pid, self.status = fork(self._run, self._foreign)

    def listen(self) -> None:
        """Read what it says."""
        try:
            said = os.read(self.status, ATOMIC)
        except BlockingIOError:
            return
        self.ready |= said.startswith(READY)
        self._said += said.removeprefix(READY)

    def ended(self) -> int | None:
        """How it ended (:func:`os.waitstatus_to_exitcode`), once; None while it runs, or is not there."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self.listen()
        os.close(self.status)
        self.pid, self.status = 0, -1
        if self.ready:
            self._delay = 0.0 if time.monotonic() - self._began > STEADY_S else DELAY_S
        else:
            self._delay = min(MOST_DELAY_S, max(DELAY_S, 2 * self._delay))
        self.due = time.monotonic() + self._delay
        return os.waitstatus_to_exitcode(status)

    @property
    def reason(self) -> SigError:
        """What it said when it could not serve."""
        return reason_of(self._said)

    def signal(self, number: int) -> None:
        """Send it."""
        if self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """As it stands, and wait until it is gone; harmless where there is none."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


class Supervisor:
    """Keeps ``children`` running until a signal.

    Args:
        children: the first one is the sequencer.
        sockets: closed before the end begins.
        now_ready: called once, when all of them serve.
        mortal: the stack ends with its sequencer.
    """

    def __init__(
        self,
        children: Sequence[Child],
        sockets: Sequence[socket.socket],
        now_ready: Callable[[], None],
        *,
        mortal: bool,
    ) -> None:
        self._children = children
        self._sockets = sockets
        self._now_ready = now_ready
        self._mortal = mortal
        self._announced = False
        self._signals: list[int] = []

    def run(self) -> int:
        """See the module. SigError: as :func:`supervise`."""
        with self._woken() as wake:
            try:
                for child in self._children:
                    child.start()  # (2)
                while not self._signals:
                    self._wait(wake)
                    if self._look():
                        self._stop(wake)
                        return 1
                return self._stop(wake)
            finally:
                for child in self._children:
                    child.kill()

    @contextmanager
    def _woken(self) -> Iterator[int]:
        """The end of a pipe that can be read when a signal came."""
        wake, write = os.pipe()
        for end in (wake, write):
            os.set_blocking(end, False)
        before = signal.set_wakeup_fd(write)
        handlers = {
            number: signal.signal(number, lambda number, _: self._signals.append(number)) for number in ending_signals()
        }
        if (came := came_before(handlers.values())) is not None:
            self._signals.append(came)
        handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        try:
            yield wake
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before)
            os.close(wake)
            os.close(write)

    def _wait(self, wake: int) -> None:
        """Until a signal comes, a child says something, or one is due."""
        dues = [child.due - time.monotonic() for child in self._children if not child.pid]
        status = {child.status: child for child in self._children if child.pid and not child.ready}
        readable, _, _ = select.select([wake, *status], [], [], max(0.0, min(dues)) if dues else None)
        for descriptor in readable:
            if descriptor == wake:
                os.read(wake, ATOMIC)
            else:
                status[descriptor].listen()

    def _look(self) -> bool:
        """Take note of who died, and start whoever is due; whether the stack must end."""
        for child in self._children:
            code = child.ended()
            if code is not None:
                if not self._announced:
                    raise child.reason
                how = f"signal {-code}" if code < 0 else f"status {code}: {child.reason.message}"
                _log.error("the %s ended with %s; it is started again", child.name, how)  # (3)
                if self._mortal and child.name == SEQUENCER:
                    _log.critical("the logs of an ephemeral stack are gone with their process; the stack ends")
                    return True
        for child in self._children:
            if not child.pid and child.due <= time.monotonic():
                try:
                    child.start()
                except OSError as error:  # no memory or no process left: others may end
                    _log.error("the %s cannot be started: %s", child.name, error.strerror)
                    child.due = time.monotonic() + MOST_DELAY_S
        if not self._announced and all(child.ready for child in self._children):
            self._announced = True
            self._now_ready()
        return False

    def _stop(self, wake: int) -> int:  # (4)
        for one in self._sockets:
            one.close()
        for child in self._children:
            child.signal(signal.SIGTERM)
        end = time.monotonic() + STOP_S
        while any(child.pid for child in self._children):
            if len(self._signals) > 1:
                return 128 + self._signals[1]
            left = end - time.monotonic()
            if left <= 0:
                raise Unavailable("a process of this stack did not end in time and was killed")
            if select.select([wake], [], [], min(left, 0.5))[0]:
                os.read(wake, ATOMIC)
            for child in self._children:
                child.ended()
        return 0
