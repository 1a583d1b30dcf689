# SPDX-License-Identifier: Apache-2.0
"""Runs a command on a pseudo-terminal of a given width, as somebody at a keyboard."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

from tests.stack_process import SIGBOX, environment


def in_terminal(
    arguments: Sequence[str], folder: Path, *, columns: int = 100, typed: bytes = b"", **extra: str
) -> tuple[int, str]:
    """The exit code of ``sigbox ARGUMENTS``, and what stood on the screen; ``typed`` waits in the keyboard's buffer."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = {name: value for name, value in environment(**extra).items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*SIGBOX, *arguments], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=variables
    )
    os.close(theirs)
    os.write(ours, typed)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:
        pass  # Linux says EIO when the other side has closed
    finally:
        os.close(ours)
    return process.wait(60), text.decode().replace("\r\n", "\n")
