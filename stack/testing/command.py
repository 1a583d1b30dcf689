# SPDX-License-Identifier: Apache-2.0
"""The command line of this installation as a child process: not of the directory, nor of the settings, that the tests run in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable

PROGRAM: Final = (sys.executable, "-P", "-m", "stack.cli")
"""``-P``: a folder ``client`` or ``stack`` beside the tests is not meant."""
COMMAND_S: Final = 120
"""A bound for what hangs, not an expectation."""
_KINDS: Final[dict[int, type[SigError]]] = {1: Refused, 3: Refused, 4: Unavailable, 5: NotFound}
"""Exit code (stack.cli.table.ExitCode) -> what it is for a caller; all others say that the command line was wrong."""


def environment(tls_ca: Path | None = None) -> dict[str, str]:
    """What a child gets: ours, without the options of another stack in it, and with no proxy before loopback."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SIGBOX_")}
    named = inherited.get("no_proxy") or inherited.get("NO_PROXY") or ""
    direct = ",".join(filter(None, (named, "localhost", "127.0.0.1")))
    trusted = {"SSL_CERT_FILE": str(tls_ca)} if tls_ca else {}
    return {**inherited, "NO_PROXY": direct, "no_proxy": direct, **trusted}


def run(*arguments: str | Path, tls_ca: Path | None = None) -> str:
    """Run ``sigbox ARGUMENTS`` to its end; the answer is what it printed for programs.

    Raises:
        Refused: a verifier or a service refused. Unavailable: a service did not answer, or the command did not end.
        NotFound: no policy. Malformed: the command line, or a file that it names. The message is what was printed for people.
    """
    line = (*PROGRAM, *map(str, arguments))
    try:
        done = subprocess.run(  # noqa: S603 - our own command line, no shell
            line,
            env=environment(tls_ca),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"sigbox {arguments[0]} did not end within {COMMAND_S} s") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "it said nothing"
        raise _KINDS.get(done.returncode, Malformed)(f"sigbox {arguments[0]} ended with {done.returncode}: {said}")
    return done.stdout
