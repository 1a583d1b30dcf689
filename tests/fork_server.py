# SPDX-License-Identifier: Apache-2.0
"""A command of ``sigbox`` in a process of its own that need not import everything anew.

The tests call some thousand commands, each for a tenth of a second of work and as much of imports. So a process that has imported
them forks one that runs the command, as ``python -m stack.cli`` would:

1. ``start`` connects to the server of this process of tests, and sends the words, the environment, the folder, and two files for
   what it prints; ``run`` gives pipes, and waits for the end.
2. The server forks the command and tells its process id.
3. The command takes over the files and the environment, runs, and ends as it would have ended.
4. The server tells the exit code when it has ended.

The server ends with the process of tests. Real processes are stacks where a start is what is tested (``forked=False``), our client
where it stands beside the official ones (``interop/tools.py``), what is measured or limited, and whatever says how its
interpreter begins. ``SIGBOX_TEST_FORK=no`` makes all of them real.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import random
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
START_MODULES = ROOT / "tests" / "unit" / "stack" / "start_modules.txt"
END_S = 60
BEGINNING = ("PYTHON", "LD_", "LC_", "LANG", "OPENSSL")
"""What variables that count when an interpreter begins are called."""


# --- in the process of tests -------------------------------------------------------------------------------
class _Server:
    """Started when it is needed first, with the environment that the tests began with."""

    environment: dict[str, str] | None = None
    """None: there is none, and may be none."""
    place = ""
    starting = threading.Lock()

    @classmethod
    def started(cls) -> str:
        """Where it listens."""
        with cls.starting:
            if not cls.place:
                cls.place = cls._start()
        return cls.place

    @classmethod
    def _start(cls) -> str:
        folder = tempfile.TemporaryDirectory(prefix="sb-fork-")
        place = f"{folder.name}/s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(place)
            listener.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(listener.fileno())],
                cwd=ROOT,
                env=cls.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(listener.fileno(),),
            )

        def end() -> None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(END_S)
            folder.cleanup()

        atexit.register(end)
        return place


def pytest_configure() -> None:
    """Tests may fork from now on; nothing else does that imports ``stack_process``, as the benchmarks."""
    if os.environ.get("SIGBOX_TEST_FORK") != "no":
        _Server.environment = {**os.environ, "PYTHONPATH": str(ROOT)}


def may_run(environment: Mapping[str, str]) -> bool:
    """Whether a command with this environment is the same forked as started."""
    return _Server.environment is not None and _beginning(environment) == _beginning(_Server.environment)


def _beginning(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in environment.items() if name.startswith(BEGINNING)}


class Forked:
    """A command that was forked; to be used as a ``subprocess.Popen`` is."""

    def __init__(self, words: list[str], connection: socket.socket) -> None:
        self.args = ["sigbox", *words]
        self.returncode: int | None = None
        self._connection = connection
        self._told = connection.makefile("r", encoding="ascii")
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self.returncode is None and self._has_ended(0):
            self.returncode = int(self._told.readline())
            self._told.close()
            self._connection.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, when it has ended."""
        if self.returncode is None and not self._has_ended(timeout):
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def _has_ended(self, timeout: float | None) -> bool:
        return bool(select.select([self._connection], [], [], timeout)[0])

    def send_signal(self, number: int) -> None:
        """To the command, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(words: list[str], environment: Mapping[str, str], cwd: Path | None, files: Sequence[int]) -> Forked:
    """The command ``sigbox`` with ``words``; without standard input, what it prints goes to ``files``: output and errors."""
    request = {"words": words, "environment": dict(environment), "cwd": str(cwd or Path.cwd())}
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(_Server.started())
        socket.send_fds(connection, [b"\0"], list(files))
        connection.sendall(json.dumps(request).encode() + b"\n")
        return Forked(words, connection)
    except BaseException:
        connection.close()
        raise


def run(
    words: list[str], environment: Mapping[str, str], cwd: Path | None, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """The command ``sigbox`` with ``words``, to its end; without standard input, its output taken."""
    deadline = time.monotonic() + timeout_s
    ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
    try:
        try:
            process = start(words, environment, cwd, theirs)
        finally:
            for end in theirs:
                os.close(end)
        try:
            output, errors = _read(ours, deadline)
            code = process.wait(max(0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            process.kill()
            process.wait(END_S)
            raise subprocess.TimeoutExpired(process.args, timeout_s) from None
    finally:
        for end in ours:
            os.close(end)
    return subprocess.CompletedProcess(process.args, code, output, errors)


def _read(ends: tuple[int, ...], deadline: float) -> list[str]:
    """What comes out of each pipe until its last writer has ended."""
    parts: dict[int, list[bytes]] = {end: [] for end in ends}
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            if not (ready := selector.select(max(0, deadline - time.monotonic()))):
                raise TimeoutError
            for key, _ in ready:
                part = os.read(key.fd, 65536)
                parts[key.fd].append(part)
                if not part:
                    selector.unregister(key.fd)
    return [b"".join(found).decode().replace("\r\n", "\n").replace("\r", "\n") for found in parts.values()]


# --- the server --------------------------------------------------------------------------------------------
def _serve(listener: socket.socket) -> None:
    """Answer until the process of tests has closed our standard input."""
    ended, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # else nothing is written to woken
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    waiting: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, ended, 0], [], [])
        if 0 in ready:
            return
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(waiting)
        if listener in ready:
            connection, _ = listener.accept()
            _, files, _, _ = socket.recv_fds(connection, 1, 2)
            with connection.makefile("rb") as sent:
                line = sent.readline()
            if not line.endswith(b"\n"):  # who asked has died
                connection.close()
                continue
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for end in (listener, connection, *waiting.values()):
                    end.close()
                os.close(ended)
                os.close(woken)
                _become(request, files)
            for end in files:
                os.close(end)
            waiting[pid] = connection
            _tell(connection, pid)


def _tell_ends(waiting: dict[int, socket.socket]) -> None:
    """The exit codes of those that have ended, to those who wait for them."""
    for pid in [*waiting]:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            with waiting.pop(pid) as connection:
                _tell(connection, os.waitstatus_to_exitcode(status))


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(BrokenPipeError):  # who asked has given it up, and killed it
        connection.sendall(b"%d\n" % number)


def _become(request: dict[str, Any], pipes: list[int]) -> NoReturn:
    """The command itself."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, end in enumerate(pipes, 1):
        os.dup2(end, number)
        os.close(end)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(str(request["cwd"]))
    tempfile.tempdir = None
    time.tzset()
    random.seed()
    sys.argv = ["sigbox", *request["words"]]
    os._exit(_end(_run()))


def _run() -> int:
    from stack.cli import main  # noqa: PLC0415 - in the server alone; this file is imported by the tests too

    try:
        return main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    except BaseException:  # noqa: BLE001 - as an interpreter ends
        traceback.print_exc()
        return 1


def _end(code: int) -> int:
    """What an interpreter does at its end."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120
    return code


def _prepare() -> None:
    """Import what the commands import when they are called, and what a stack does until it is ready."""
    commands = importlib.import_module("stack.cli")
    for module in pkgutil.iter_modules(commands.__path__):
        if module.name != "__main__":
            importlib.import_module(f"stack.cli.{module.name}")
    importlib.import_module("stack.quick_import").import_server()
    for name in START_MODULES.read_text("ascii").splitlines()[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else the first collection in each fork copies all memory


if __name__ == "__main__":
    _prepare()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)
