# SPDX-License-Identifier: Apache-2.0
"""Many files in one run, over several processes, and the answers in the files' order.

1. The files are cut into chunks, and a pipe holds the number of each. Fork: a worker inherits that pipe, and what is read and
   warm already: trusted root, keys, policy. One worker alone is this process, without a pipe.
2. A worker takes the next number out of the pipe, whenever it is free: a large file, or a core that others use too, makes
   nobody wait. It verifies the files of its chunk in turns, step by step (:mod:`client.verify.steps`), and writes the rows, and
   what would have gone to standard error, as one message into a pipe of its own. A full pipe makes it wait: nothing piles up.
3. The parent gives the chunks out in the files' order, so the output is that of one process.
4. A worker that ends before it has said that nothing is left to do is an error, as is one that reports one, and a chunk without
   an answer: a file without a verdict is not verified.
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias, cast

from client.verify.steps import Steps, in_turns
from sigcore.errors import NotFound, Refused, SigError
from stack.cli.usage import Usage

Row: TypeAlias = dict[str, object]
Message: TypeAlias = dict[str, Any]
CHUNK: Final = 16
"""Files that take turns; few enough that what they hold stays in the processor's caches."""
_SHARES: Final = 4
"""Chunks for each worker, where there are so many files: who is done early takes from who is late."""
_CHUNKS: Final = 1024
"""At most: their numbers must find room in a pipe before anybody reads, and the smallest pipe is one page."""
_NUMBER: Final = 4
"""Bytes of a chunk's number. Pipes are read that much at a time, and so never in part."""
_BAR: Final = 32
_KINDS: Final[dict[str, type[SigError]]] = {kind.__name__: kind for kind in (NotFound, Usage)}
"""What ends the whole run with an exit code of its own."""


class _Worker(NamedTuple):
    pid: int
    answers: Connection


class _Task(NamedTuple):
    """What the workers inherit; ``numbers`` is the reading end of the pipe."""

    chunks: list[range]
    verify: Callable[[int], Steps[Row]]
    numbers: int


def verify_many(count: int, verify: Callable[[int], Steps[Row]], workers: int) -> list[Row]:
    """The rows of ``verify(0)`` to ``verify(count - 1)``, worked out by ``workers`` processes.

    Raises:
        NotFound, Usage: as ``verify``. Refused: a worker failed in another way, or ended without an answer.
    """
    chunks = _cut(count, workers)
    if workers > 1:
        return _share(_Task(chunks, verify, _numbers(len(chunks))), count, workers)
    rows: list[Row] = []
    for chunk in chunks:
        rows += _verdicts(chunk, verify, _say)
        _show_bar(len(rows), count)
    return rows


def _cut(count: int, workers: int) -> list[range]:
    """Chunks of the same length, to one file."""
    parts = min(count, max(-(-count // CHUNK), _SHARES * workers), _CHUNKS)
    return [range(part * count // parts, (part + 1) * count // parts) for part in range(parts)]


def _numbers(count: int) -> int:
    """A pipe out of which 0 to ``count - 1`` can be read, and then its end."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(b"".join(number.to_bytes(_NUMBER, "big") for number in range(count)))
    return reader


def _share(task: _Task, count: int, workers: int) -> list[Row]:
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # the workers share these pages for longer
    crew: list[_Worker] = []
    rows: list[Row] = []
    done = False
    try:
        for _ in range(min(workers, len(task.chunks))):
            _start(task, crew)
        for chunk, answer in zip(task.chunks, _in_order(crew), strict=True):
            rows += _read(answer, len(chunk))
            _show_bar(len(rows), count)
        done = True
    finally:
        os.close(task.numbers)
        ended = _end(crew, kill=not done)
    if any(ended):
        raise Refused("a worker process ended with an error after its last answer", "run it again with --max-workers 1")
    return rows


def _start(task: _Task, crew: list[_Worker]) -> None:
    """One more worker in ``crew``. An interrupt waits until it is there: who is not in the crew is not ended."""
    reader, writer = Pipe(duplex=False)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if pid := os.fork():
            crew.append(_Worker(pid, reader))
            writer.close()
            return
        _work(task, crew, (reader, writer))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _work(task: _Task, crew: list[_Worker], ends: tuple[Connection, Connection]) -> NoReturn:
    code = 1
    try:  # in the worker; it must never return into the parent's code
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends us
        for connection in (ends[0], *(worker.answers for worker in crew)):
            connection.close()
        while number := os.read(task.numbers, _NUMBER):
            chunk = int.from_bytes(number, "big")
            ends[1].send((chunk, _message(task.chunks[chunk], task.verify)))
        ends[1].send(None)
        code = 0
    finally:
        os._exit(code)


def _in_order(crew: list[_Worker]) -> Iterator[Message]:
    """The workers' messages in the order of their chunks, until every worker has said that it is done."""
    early: dict[int, Message] = {}
    working = {worker.answers: worker for worker in crew}
    wanted = 0
    while working:
        for ready in wait(list(working)):
            answers = cast("Connection", ready)
            try:
                told = answers.recv()
            except (EOFError, OSError) as error:
                raise Refused(
                    f"a worker process ended before it had verified its files (process {working[answers].pid})",
                    "was it killed, for memory perhaps? try --max-workers 1",
                ) from error
            if told is None:
                del working[answers]
                continue
            early[told[0]] = told[1]
            while wanted in early:
                yield early.pop(wanted)
                wanted += 1


def _message(chunk: range, verify: Callable[[int], Steps[Row]]) -> Message:
    """What a worker tells of one chunk: its rows; or ``error``, which ends the run."""
    said = io.StringIO()
    try:
        rows = _verdicts(chunk, verify, said.write)
    except SigError as error:
        return {"said": said.getvalue(), "error": [type(error).__name__, error.message, error.hint]}
    except Exception as error:  # noqa: BLE001 - the worker's edge: whatever it is, the parent must hear of it
        message = f"internal error: {type(error).__name__}: {error}"
        return {"said": said.getvalue(), "error": ["", message, "this is a bug; try --max-workers 1"]}
    return {"said": said.getvalue(), "rows": rows}


def _verdicts(chunk: range, verify: Callable[[int], Steps[Row]], say: Callable[[str], object]) -> list[Row]:
    """The rows of one chunk, whose files take turns; ``say`` is given the lines of each in the files' order."""
    rows: list[Row] = []
    for start in range(0, len(chunk), CHUNK):
        numbers = chunk[start : start + CHUNK]
        heard = [io.StringIO() for _ in numbers]
        try:
            with _apart(heard) as entering:
                for row in in_turns(map(verify, numbers), entering):
                    rows.append(row)  # noqa: PERF402 - the rows before an error count
        finally:
            for one in heard[: len(rows) - start + 1]:
                say(one.getvalue())
    return rows


@contextmanager
def _apart(heard: Sequence[io.StringIO]) -> Iterator[Callable[[int], None]]:
    """Let what would go to standard error go to that one of ``heard`` whose number was told last."""
    stderr = sys.stderr

    def entering(number: int) -> None:
        sys.stderr = heard[number]

    try:
        yield entering
    finally:
        sys.stderr = stderr


def _read(answer: Message, expected: int) -> list[Row]:
    _say(answer["said"])
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


def _say(lines: str) -> None:
    """In place of the bar, where there is one."""
    sys.stderr.write(lines if not sys.stderr.isatty() else f"\r\x1b[K{lines}")


def _show_bar(done: int, count: int) -> None:
    """On a terminal only; elsewhere the lines themselves are counted."""
    if sys.stderr.isatty():
        filled = _BAR * done // count
        bar = f"[{'#' * filled}{' ' * (_BAR - filled)}] {done}/{count}"
        sys.stderr.write(bar if done < count else "")
        sys.stderr.flush()
