# SPDX-License-Identifier: Apache-2.0
"""The publication of a start: its process is forked before there is anything to publish, and waits.

A start has imported most of what signing the TUF repository takes: so a fork costs a third of what a new interpreter does, which
every other publication gets (:mod:`stack.trust.publisher`), and python-tuf is imported while the start makes or reads its keys.
Forking is sound because the start has one thread then and no event loop. It has no key either: what the child knows of secrets is
what it reads itself, and the passphrase.

1. The child lets go of what is not its own: handlers of signals, the three streams, the start's ends of the two pipes. There is
   nothing else: the start has neither the port nor a lock yet. (What a library has opened stays: it may be in use.)
2. It imports what it needs, and waits until the documents are there. A start that fails closes the pipe, however it ends; then so
   does the child.
3. It publishes, and says ``+`` and the roles that it signed, or ``-`` and why it could not.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final, NoReturn

from sigcore.errors import Refused, SigError
from stack.config import Home

PATIENCE_S: Final = 60.0
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_GO: Final = b"g"
_SIGNED: Final = b"+"
_REFUSED: Final = b"-"


class FirstPublication:
    """The start's end of it: the child, and the two pipes to it."""

    def __init__(self, child: int, told: int, says: int) -> None:
        self._child: int | None = child
        self._told = told
        self._says = says
        self._signed: str | None = None

    def begin(self) -> None:
        """The trust documents are there: publish them."""
        with suppress(BrokenPipeError):  # it has ended already; finish says so
            os.write(self._told, _GO)

    def finish(self, patience_s: float = PATIENCE_S) -> str:
        """Wait for it; the answer names the roles that were signed. Harmless when repeated.

        Raises:
            Refused: it could not publish, or took longer than ``patience_s`` seconds.
        """
        if self._signed is not None:
            return self._signed
        said = self._heard(time.monotonic() + patience_s)
        if said[:1] != _SIGNED:
            reason = said[1:].decode("utf-8", "replace") or "the process that signs it ended without a word"
            raise Refused(f"the TUF repository cannot be published: {reason}")
        self._wait()
        self._signed = said[1:].decode("utf-8", "replace")
        return self._signed

    def _heard(self, deadline: float) -> bytes:
        """All that it says until it has ended."""
        said, ready = b"", select.poll()
        ready.register(self._says, select.POLLIN)
        while ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
            piece = os.read(self._says, 65536)
            if not piece:
                return said
            said += piece
        return _REFUSED + b"it was not signed in time"

    def end(self) -> None:
        """End the child, if it has not ended: what is published is whole whenever that is. Harmless when repeated."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.kill(self._child, signal.SIGKILL)
            self._wait()

    def _wait(self) -> None:
        if self._child is not None:
            os.close(self._told)
            os.close(self._says)
            with suppress(ChildProcessError):  # whoever started us ignores SIGCHLD, and so do we
                os.waitpid(self._child, 0)
            self._child = None


@contextmanager
def first_publication(home: Home) -> Iterator[FirstPublication]:
    """The process that will publish the documents of ``home``, for the length of a block at most."""
    publication = _fork(home)
    try:
        yield publication
    finally:
        publication.end()


def _fork(home: Home) -> FirstPublication:
    (waits, told), (says, speaks) = os.pipe(), os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # none may come to the child while it has our handlers
    try:
        child = os.fork()
        if child == 0:
            _be(home, waits, speaks, (told, says), before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(waits)
        os.close(speaks)
    return FirstPublication(child, told, says)


def _be(home: Home, waits: int, speaks: int, others: tuple[int, int], mask: set[signal.Signals | int]) -> NoReturn:
    """Never returns: what the start has opened around this call is not the child's to close."""
    try:
        _let_go(others)  # (1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        said = _published(home, waits)
        while said:
            said = said[os.write(speaks, said) :]
    finally:
        os._exit(0)


def _let_go(others: tuple[int, int]) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    for end in others:
        os.close(end)


def _published(home: Home, waits: int) -> bytes:
    """What the start is told; nothing when there is no start any more."""
    try:
        # Deferred: python-tuf, which the start itself does not import.
        from stack.trust.publish import publish  # noqa: PLC0415 - see the line above
        from stack.turned_clock import time_in  # noqa: PLC0415 - the same

        if os.read(waits, 1) != _GO:  # (2)
            return b""
        return _SIGNED + " ".join(publish(home, time_in(home), clock=partial(time_in, home))).encode()  # (3)
    except (SigError, OSError) as error:
        return _REFUSED + str(error).encode("utf-8", "replace")
    except Exception as error:  # noqa: BLE001 - the last edge of this process; the start says it
        return _REFUSED + f"{type(error).__name__}: {error}".encode("utf-8", "replace")
