# SPDX-License-Identifier: Apache-2.0
"""Many files in one run, over several processes: a process each for every nth chunk of the files, answers in the files' order.

1. Fork: a worker inherits what is read and warm already: trusted root, keys, policy.
2. A worker verifies its chunks one after the other and writes each chunk's rows, and what would have gone to standard error,
   as one message into its own pipe. A full pipe makes it wait: nothing piles up.
3. The parent reads the chunks in the files' order, so the output is that of one process.
4. A worker that ends before it has answered is an error, as is one that reports one: a file without a verdict is not verified.
5. Whatever ends the parent's loop (an interrupt too) ends the workers; a parent that is killed takes its pipes with it, and
   the workers end at their next answer.

Threads would not do: one verification holds the interpreter for half of its time.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from multiprocessing.connection import Connection, Pipe
from typing import Final, NamedTuple, NoReturn, TypeAlias

from sigcore.errors import NotFound, Refused, SigError
from stack.cli.usage import Usage

Row: TypeAlias = dict[str, object]
CHUNK: Final = 32
"""Files at most; enough that the pipe costs nothing, few enough that the workers end together."""
_BAR: Final = 32
_KINDS: Final[dict[str, type[SigError]]] = {kind.__name__: kind for kind in (NotFound, Usage)}
"""What ends the whole run with an exit code of its own."""


class _Worker(NamedTuple):
    pid: int
    answers: Connection


def verify_many(count: int, verify: Callable[[int], Row], workers: int) -> list[Row]:
    """The rows of ``verify(0)`` to ``verify(count - 1)``, worked out by ``workers`` processes.

    Raises:
        NotFound, Usage: as ``verify``. Refused: a worker failed in another way, or ended without an answer.
    """
    rounds = -(-count // (workers * CHUNK))
    parts = min(count, workers * rounds)  # as many for each worker, all as long
    chunks = [range(part * count // parts, (part + 1) * count // parts) for part in range(parts)]
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # the workers share these pages for longer
    crew: list[_Worker] = []
    rows: list[Row] = []
    done = False
    try:
        for number in range(min(workers, len(chunks))):
            _start(chunks[number::workers], verify, crew)
        for number, chunk in enumerate(chunks):
            rows += _read(crew[number % workers], len(chunk))
            _show_bar(len(rows), count)
        done = True
    finally:
        ended = _end(crew, kill=not done)
    if any(ended):
        raise Refused("a worker process ended with an error after its last answer", "run it again with --max-workers 1")
    return rows


def _start(chunks: list[range], verify: Callable[[int], Row], crew: list[_Worker]) -> None:
    """One more worker in ``crew``. An interrupt waits until it is there: who is not in the crew is not ended."""
    reader, writer = Pipe(duplex=False)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if pid := os.fork():
            crew.append(_Worker(pid, reader))
            writer.close()
            return
        _work(chunks, verify, crew, (reader, writer))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _work(
    chunks: list[range], verify: Callable[[int], Row], crew: list[_Worker], ends: tuple[Connection, Connection]
) -> NoReturn:
    code = 1
    try:  # in the worker; it must never return into the parent's code
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends us
        for connection in (ends[0], *(worker.answers for worker in crew)):
            connection.close()
        for chunk in chunks:
            ends[1].send(_answer(chunk, verify))
        code = 0
    finally:
        os._exit(code)


def _answer(chunk: range, verify: Callable[[int], Row]) -> dict[str, object]:
    """The rows of one chunk; ``error`` is the one that ends the run, if there was one."""
    said, rows = io.StringIO(), []
    try:
        with redirect_stderr(said):
            rows += [verify(number) for number in chunk]
    except SigError as error:
        return {"said": said.getvalue(), "error": [type(error).__name__, error.message, error.hint]}
    except Exception as error:  # noqa: BLE001 - the worker's edge: whatever it is, the parent must hear of it
        message = f"internal error: {type(error).__name__}: {error}"
        return {"said": said.getvalue(), "error": ["", message, "this is a bug; try --max-workers 1"]}
    return {"said": said.getvalue(), "rows": rows}


def _read(worker: _Worker, expected: int) -> list[Row]:
    try:
        answer = worker.answers.recv()
    except (EOFError, OSError) as error:
        raise Refused(
            f"a worker process ended before it had verified its files (process {worker.pid})",
            "was it killed, for memory perhaps? try --max-workers 1",
        ) from error
    sys.stderr.write(answer["said"] if not sys.stderr.isatty() else f"\r\x1b[K{answer['said']}")
    if "error" in answer:
        kind, message, hint = answer["error"]
        raise _KINDS.get(kind, Refused)(message, hint)
    rows: list[Row] = answer["rows"]
    if len(rows) != expected:
        raise Refused(f"a worker process answered for {len(rows)} files, asked for {expected}")
    return rows


def _end(crew: list[_Worker], *, kill: bool) -> list[int]:
    """Wait for the workers; their exit statuses."""
    statuses = []
    for worker in crew:
        if kill:
            os.kill(worker.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
        worker.answers.close()
        statuses.append(os.waitpid(worker.pid, 0)[1])
    return statuses


def _show_bar(done: int, count: int) -> None:
    """On a terminal only; elsewhere the lines themselves are counted."""
    if sys.stderr.isatty():
        filled = _BAR * done // count
        bar = f"[{'#' * filled}{' ' * (_BAR - filled)}] {done}/{count}"
        sys.stderr.write(bar if done < count else "")
        sys.stderr.flush()
