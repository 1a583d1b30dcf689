# SPDX-License-Identifier: Apache-2.0
"""Asking the program that holds a key: :mod:`sigcore.kms` over a process.

1. The program is ``sigstore-kms-NAME``, in the first absolute folder of PATH that has it. It is started without a shell.
2. It gets the environment and standard error of the caller: it may need credentials, and what it says is for people.
3. Its standard output is read to the end, within :data:`sigcore.limits.KMS_ANSWER` bytes and ``patience_s``; whoever writes more or
   takes longer is killed. So is everything that it has started, where no terminal is there: with one, it must stay in the
   terminal's process group, or it could not ask for a PIN.
4. What it wrote is parsed. Its exit status says nothing (the protocol), but a signal that ended it does.

What the answer says is not believed here: see :mod:`stack.kms.key`.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Final

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from sigcore.kms import VERSION, Answer, Reference, Request, encode_request, parse_answer
from sigcore.strict import shown
from sigcore.values import dataclass
from stack.kms.password import has_terminal

PATIENCE_S: Final = 180.0
"""As cosign waits by default: somebody may have to type a PIN, or touch a key."""
OURS: Final = "sigbox"
"""The name whose program comes with us: it is looked for beside our Python, too."""
_CHUNK: Final = 16 * 1024
_SAID: Final = 2000
"""Characters of a program's own error that are shown."""


@dataclass(frozen=True, slots=True)
class Program:
    """The executable at ``path``, which holds the key ``reference``; ``alone``: in a session of its own, even where a terminal is."""

    reference: Reference
    path: Path
    patience_s: float = PATIENCE_S
    alone: bool = False

    @property
    def name(self) -> str:
        """As people are told of it."""
        return self.reference.program

    def ask(self, request: Request, message: IO[bytes] | None = None) -> Answer:
        """The answer to ``request``; ``message`` is an open file, or nothing.

        Raises:
            Refused: the program answered that it does not. Malformed: it answered something else.
            Unavailable: it does not start, does not end, was killed, or wrote more than it may.
        """
        due = datetime.now(UTC) + timedelta(seconds=self.patience_s)
        arguments = [str(self.path), VERSION, encode_request(replace(request, deadline=due))]
        data, status = self._run(arguments, message)
        if status < 0:
            raise Unavailable(f"{self.name} was ended by {_signal(-status)}", self._hint())
        try:
            answer = parse_answer(data, request.method)
        except Malformed as error:
            found = f"{self.name} was asked for {request.method.value} and ended with status {status}"
            raise Malformed(f"{found}: {error.message if data else 'it answered nothing'}", self._hint()) from error
        if answer.error:
            said = answer.error if len(answer.error) <= _SAID else f"{answer.error[:_SAID]}..."
            raise Refused(f"{self.name} said: {' '.join(said.split())}", f"asked for {self.reference}")
        return answer

    def _hint(self) -> str:
        return f"it is {self.path}; what it says itself stands above"

    def _run(self, arguments: Sequence[str], message: IO[bytes] | None) -> tuple[bytes, int]:
        alone = self.alone or not has_terminal()
        until = time.monotonic() + self.patience_s
        try:
            child = subprocess.Popen(  # noqa: S603 - the program that the user's key reference names, no shell
                arguments,
                stdin=subprocess.DEVNULL if message is None else message,
                stdout=subprocess.PIPE,
                start_new_session=alone,
            )
        except OSError as error:
            raise Unavailable(f"{self.path} does not start: {error.strerror}", "is it a program?") from error
        with child:
            try:
                data = self._read(child.stdout, until)  # type: ignore[arg-type]  # a pipe, as was asked for
                return data, child.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise self._slow() from None
            finally:
                if child.poll() is None:
                    _kill(child, group=alone)

    def _read(self, output: IO[bytes], until: float) -> bytes:
        """Everything up to its end."""
        ready = select.poll()
        ready.register(output, select.POLLIN | select.POLLHUP)
        data = b""
        while (left_s := until - time.monotonic()) > 0:
            if not ready.poll(left_s * 1000):
                continue
            piece = os.read(output.fileno(), _CHUNK)
            if not piece:
                return data
            data += piece
            if len(data) > limits.KMS_ANSWER:
                raise Unavailable(f"{self.name} answers more than {limits.KMS_ANSWER} bytes", self._hint())
        raise self._slow()

    def _slow(self) -> Unavailable:
        return Unavailable(f"{self.name} has not answered within {self.patience_s:g} s and was ended", self._hint())


def find_program(reference: Reference, environment: Mapping[str, str]) -> Program:
    """1.

    Raises:
        NotFound: no folder of PATH has it.
    """
    folders = [folder for folder in environment.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]  # noqa: PTH117 - of a text
    if reference.name == OURS:
        folders.append(str(Path(sys.executable).parent))
    found = shutil.which(reference.program, path=os.pathsep.join(folders)) if folders else None
    if found is None:
        raise NotFound(
            f"the key {shown(str(reference))} is held by the program {reference.program}, which is not there",
            f"install it into a folder of PATH; looked in {', '.join(folders) or 'none, for PATH has no absolute one'}",
        )
    return Program(reference, Path(found))


def _kill(child: subprocess.Popen[bytes], *, group: bool) -> None:
    if group:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
