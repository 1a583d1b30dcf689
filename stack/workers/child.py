# SPDX-License-Identifier: Apache-2.0
"""A process that the supervisor forks: how it begins, how it says that it is ready, and how it ends when the supervisor does.

Forked and not started anew: everything is imported and read already, so the next one answers a few milliseconds after the last
one died, and no secret goes through a pipe. The supervisor has one thread and no event loop, which is when forking is sound.

1. The child lets go of what is not its own, and takes the default way to end at SIGTERM until its event loop has a better one.
2. It says ``r`` on its status pipe when it serves, or why it cannot.
3. The supervisor holds the other end of the lifeline. When that end is closed, however the supervisor ended, so does the child.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Final, NoReturn

import orjson

from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.strict import Fields

READY: Final = b"r"
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
ATOMIC: Final = 4096
"""Bytes that a pipe takes in one piece (POSIX: at least 512, Linux: this), so that two processes do not mix their lines."""
_KINDS: Final = {kind.__name__: kind for kind in (Malformed, Refused, NotFound, Unavailable)}

_log = logging.getLogger("sigbox.workers")


def fork(run: Callable[[Callable[[], None]], None], foreign: Callable[[], None]) -> tuple[int, int]:
    """``run`` in a process of its own; its id, and the end of its status pipe.

    Args:
        run: is given what says that it is ready.
        foreign: closes what is the supervisor's alone.
    """
    status, told = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may come to the child while it has our handlers
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _be(run, foreign, told)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.close(told)
    os.set_blocking(status, False)
    return pid, status


def _be(run: Callable[[Callable[[], None]], None], foreign: Callable[[], None], told: int) -> NoReturn:
    """Never returns: what the supervisor has opened around this call is not the child's to close."""
    code = 1
    try:
        foreign()  # (1)
        os.setpgid(0, 0)  # Ctrl-C is the supervisor's to pass on, and so is the end of the terminal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        sys.stderr = Lines(sys.stderr.fileno())
        run(lambda: _say(told, READY))  # (2)
        code = 0
    except SystemExit:
        code = 0
    except SigError as error:
        _say(told, _encode(error))
    except OSError as error:
        _say(told, _encode(Unavailable(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")))
    except BaseException:  # noqa: BLE001 - the last edge of this process; logged with its traceback
        _log.exception("a process of this stack failed")
    finally:
        os._exit(code)


def _say(told: int, what: bytes) -> None:
    os.write(told, what)


def stop_with(stopping: asyncio.Event, lifeline: int) -> None:  # (3)
    """Set ``stopping`` when the supervisor has ended."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(lifeline)
        _log.warning("the supervisor has ended: finishing what is under way")
        stopping.set()

    loop.add_reader(lifeline, ended)


# --- what a child says that cannot serve --------------------------------------------------------------
def _encode(error: SigError) -> bytes:
    kind = next(name for name, kind in _KINDS.items() if isinstance(error, kind))
    document = orjson.dumps({"kind": kind, "message": error.message, "hint": error.hint})
    return (
        document
        if len(document) <= ATOMIC
        else orjson.dumps({"kind": kind, "message": error.message[:500], "hint": ""})
    )


def reason_of(said: bytes) -> SigError:
    """Why a child could not serve; where it did not say so, that it has ended.

    Raises:
        Malformed: what it said is no reason.
    """
    if not said:
        return Unavailable("a process of this stack ended before it was ready", "its log says more")
    fields = Fields.parse(said, what="the reason", limit=ATOMIC)
    fields.only("kind", "message", "hint")
    kind = _KINDS.get(fields.text("kind"), Unavailable)
    return kind(fields.text("message"), fields.optional_text("hint") or "")


class Lines(io.TextIOBase):
    """Standard error of a process that shares it: whole lines go out together, in pieces that do not mix with others'."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str, /) -> int:
        """Write it out at once."""
        for piece in pieces(text.encode("utf-8", "backslashreplace").splitlines(keepends=True)):
            left = memoryview(piece)
            while left:
                left = left[os.write(self._descriptor, left) :]
        return len(text)


def pieces(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Lines together, as many as a pipe takes in one piece; a longer line is a piece of its own."""
    gathered = b""
    for line in lines:
        if gathered and len(gathered) + len(line) > ATOMIC:
            yield gathered
            gathered = b""
        gathered += line
    if gathered:
        yield gathered
