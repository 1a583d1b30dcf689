# SPDX-License-Identifier: Apache-2.0
"""A whole stack as a process of its own, as a user starts it: the command line in, the ready file out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import fork_server

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("SIGBOX_TEST_PROGRAM") or None
SIGBOX = (str(Path(PROGRAM).absolute()),) if PROGRAM else (sys.executable, "-m", "stack.cli")
"""The console script, but surely that of this checkout; or the executable that the variable names."""
READY_S = 60
STOP_S = 60
COMMAND_S = 120
"""Bounds for failure on a busy machine, not expectations."""


def environment(**extra: str) -> dict[str, str]:
    """What a child process of the stack gets: ours, with this checkout first and no proxy between us and loopback."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "localhost,127.0.0.1", **extra}


Process = subprocess.Popen[bytes] | fork_server.Forked
"""A command that runs; both are used in the same way."""


def spawn(
    *words: str | Path, folder: Path, log: Path, env: Mapping[str, str] | None = None, forked: bool = True
) -> Process:
    """Start a ``sigbox`` command in ``folder`` that stays; what it prints is put to ``log``. ``forked=False``: as a user does."""
    wanted, told = dict(env or environment()), [*map(str, words)]
    with log.open("ab") as output:
        if forked and PROGRAM is None and fork_server.may_run(wanted):
            return fork_server.start(told, wanted, folder, [output.fileno()] * 2)
        return subprocess.Popen(
            [*SIGBOX, *told],
            cwd=folder,
            env=wanted,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack whose every role answers."""

    process: Process
    url: str
    data: Path
    trusted_root: Path
    signing_config: Path
    trust_config: Path
    tuf_root: Path
    tuf_mirror: str
    oidc_issuer: str
    log: Path

    def token(self, email: str) -> str:
        """A fresh identity token for ``email``."""
        done = sigbox("token", "--data", self.data, "--email", email)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def kill(self) -> None:
        """As a power cut for the process: SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM; the stack must end with 0."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_S)
        assert code == 0, f"the stack ended with {code}:\n{self.output()}"

    def output(self) -> str:
        """What it printed, the last of it."""
        return self.log.read_text("utf-8", "replace")[-8000:]


def sigbox(*arguments: str | Path, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run one ``sigbox`` command to its end, with ``extra`` in its environment.

    In tests it is forked from a process that has imported it already, where it can be.
    """
    wanted = environment(**extra)
    if PROGRAM is None and fork_server.may_run(wanted):
        return fork_server.run(list(map(str, arguments)), wanted, cwd, COMMAND_S)
    return sigbox_process(*arguments, cwd=cwd, **extra)


def sigbox_process(*arguments: str | Path, cwd: Path | None = None, **extra: str) -> subprocess.CompletedProcess[str]:
    """The same as a user does it: a process with everything that its start costs."""
    return subprocess.run(
        [*SIGBOX, *map(str, arguments)],
        cwd=cwd,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def start_stack(folder: Path, *options: str | Path, forked: bool = True) -> RunningStack:
    """Start ``sigbox up`` on a free loopback port and wait until it is ready.

    Ready file and log lie in ``folder``. Whoever starts a stack ends it: by ``stop`` or ``kill``. In tests it is forked from a
    process that has imported it already, which spares half of a start; ``forked=False`` starts it as a user does.
    """
    ready_file, log = folder / "ready.json", folder / "stack.log"
    ready_file.unlink(missing_ok=True)
    words = ("up", "--listen", "127.0.0.1:0", "--ready-file", ready_file, *options)
    process = spawn(*words, folder=folder, log=log, forked=forked)
    try:
        ready = _wait_ready(process, ready_file, log)
    except BaseException:
        process.kill()
        process.wait(STOP_S)
        raise
    return RunningStack(
        process=process,
        url=ready["url"],
        data=Path(ready["data"]),
        trusted_root=Path(ready["trusted_root"]),
        signing_config=Path(ready["signing_config"]),
        trust_config=Path(ready["trust_config"]),
        tuf_root=Path(ready["tuf_root"]),
        tuf_mirror=ready["tuf_mirror"],
        oidc_issuer=ready["oidc_issuer"],
        log=log,
    )


def _wait_ready(process: Process, ready_file: Path, log: Path) -> dict[str, str]:
    deadline = time.monotonic() + READY_S
    while not ready_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            how = "is not ready" if process.returncode is None else f"ended with {process.returncode}"
            raise AssertionError(f"the stack {how}:\n{log.read_text('utf-8', 'replace')[-8000:]}")
        time.sleep(0.005)
    ready: dict[str, str] = json.loads(ready_file.read_bytes())
    return ready


@contextmanager
def running_stack(folder: Path, *options: str | Path, forked: bool = True) -> Iterator[RunningStack]:
    """A stack for the length of a block; it must end in order. When the block fails, what it printed is shown."""
    stack = start_stack(folder, *options, forked=forked)
    try:
        yield stack
    except BaseException as error:
        stack.kill()
        error.add_note(f"the stack printed:\n{stack.output()}")
        raise
    stack.stop()
