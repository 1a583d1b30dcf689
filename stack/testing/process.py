# SPDX-License-Identifier: Apache-2.0
"""``sigbox up`` as a child process that is ready when its caller goes on, and is gone when its caller is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from sigcore.errors import Unavailable
from stack.testing.attached import load_ready
from stack.testing.box import Sigbox
from stack.testing.command import PROGRAM, environment

READY_S: Final = 60
STOP_S: Final = 30
"""Bounds for what hangs, on a busy machine; a start takes some 0.3 s, and an end less."""
_SHOWN: Final = 8000
"""Characters of what a stack printed that an error shows, its last ones."""


@contextmanager
def running(
    *arguments: str | Path,
    seed: int | None = None,
    tls: bool = False,
    data: str | Path | None = None,
    folder: str | Path | None = None,
    cwd: str | Path | None = None,
    timeout_s: float = READY_S,
) -> Iterator[Sigbox]:
    """A stack of its own for the length of the block; without options it is an ephemeral one on a free loopback port.

    Args:
        arguments: further ones of ``sigbox up``, such as ``"--workers", "2"``.
        seed: the same keys at every start with this number.
        tls: serve https, with a certificate authority of its own.
        data: a data directory, for a stack that keeps what it has; an empty one gets its keys first.
        folder: where the ready file and what the stack prints are put; a temporary folder when it is None.
        cwd: the directory that ``arguments`` are relative to; the present one when it is None.
        timeout_s: seconds that a start may take.

    Raises:
        Unavailable: it ended before it was ready, was not ready in time, or ended before it was told to or not in order. The
            message holds what it printed.
    """
    options = [*(("--data", data) if data else ("--ephemeral", "--control")), *(("--tls", "auto") if tls else ())]
    options += [*(("--seed", str(seed)) if seed is not None else ()), *arguments]
    with ExitStack() as held:
        place = Path(folder or held.enter_context(tempfile.TemporaryDirectory(prefix="sigbox-test-"))).absolute()
        child = held.enter_context(closing(_Child(place, tuple(map(str, options)), cwd)))
        yield child.ready(timeout_s)
        child.stop()


class _Child:
    """1. ``start``: one process, in a group of its own: an interrupt from the keyboard is for the tests, which then end it.
    2. Its lifeline: a pipe that we hold open. When we are gone, however that was, the kernel tells it to end (Linux).
    3. ``ready``: its ready file is there.
    4. ``stop``: SIGTERM, which it answers by ending with 0. ``close``: the same without a complaint.
    """

    def __init__(self, place: Path, options: tuple[str, ...], cwd: str | Path | None) -> None:
        self._ready_file, self._log = place / "ready.json", place / "sigbox.log"
        self._ready_file.unlink(missing_ok=True)
        where = ("--listen", "127.0.0.1:0", "--ready-file", str(self._ready_file))
        lifeline, self._held = os.pipe()
        try:
            with self._log.open("wb") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own command line, no shell
                    [*PROGRAM, "up", *where, *options],
                    cwd=cwd,
                    env=environment(),
                    stdin=lifeline,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            _end_with(lifeline, self._process.pid)
        except BaseException:
            os.close(self._held)
            raise
        finally:
            os.close(lifeline)

    def ready(self, timeout_s: float) -> Sigbox:
        """The stack, when it answers."""
        deadline = time.monotonic() + timeout_s
        while not self._ready_file.exists():
            if self._process.poll() is not None:
                raise Unavailable(self._told(f"the stack ended with {self._process.returncode} before it was ready"))
            if time.monotonic() > deadline:
                raise Unavailable(self._told(f"the stack was not ready after {timeout_s:g} s"))
            time.sleep(0.005)
        return load_ready(self._ready_file, self._log)

    def stop(self) -> None:
        """End it in order."""
        if self._process.poll() is not None:
            raise Unavailable(self._told(f"the stack ended with {self._process.returncode} before it was told to"))
        if not self._terminate():
            raise Unavailable(self._told(f"the stack did not end within {STOP_S} s"))
        if self._process.returncode:
            raise Unavailable(self._told(f"the stack ended with {self._process.returncode}"))

    def close(self) -> None:
        """End it, whatever has happened."""
        if self._process.poll() is None and not self._terminate():
            self._process.kill()
            self._process.wait()
        os.close(self._held)

    def _terminate(self) -> bool:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _told(self, what: str) -> str:
        said = self._log.read_text("utf-8", "replace")[-_SHOWN:].strip()
        return f"{what}; it printed:\n{said or '(nothing)'}"


def _end_with(lifeline: int, pid: int) -> None:
    """Have the process ``pid`` get SIGTERM when nobody holds the other end of ``lifeline`` any more, where the kernel can."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 - not there on every platform

        with suppress(OSError):
            fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGTERM)
            fcntl.fcntl(lifeline, fcntl.F_SETOWN, pid)
            fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
