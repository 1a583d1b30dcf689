# SPDX-License-Identifier: Apache-2.0
"""The TUF publisher as a child process: it alone reads the TUF keys and pays for importing python-tuf."""

from __future__ import annotations

import subprocess
import sys

from sigcore.errors import Refused
from stack.config import Home


def start_publisher(home: Home, *, force: bool = False, rotate: bool = False) -> subprocess.Popen[str]:
    """Sign the TUF repository in a process of its own (:mod:`stack.trust.publish`).

    The passphrase goes through a pipe: neither arguments nor environment, which others on the machine may see.
    """
    command = [sys.executable, "-P", "-m", "stack.trust.publish", str(home.path)]
    command += ["--force"] if force else []
    command += ["--rotate"] if rotate else []
    command += ["--passphrase"] if home.passphrase else []
    child = subprocess.Popen(  # noqa: S603 - our own module, a path as argument, no shell
        command,
        stdin=subprocess.PIPE if home.passphrase else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if child.stdin is not None and home.passphrase:
        child.stdin.write(f"{home.passphrase.hex()}\n")
        child.stdin.flush()
    return child


def finish_publisher(publisher: subprocess.Popen[str], timeout_s: float = 60) -> str:
    """Wait for the child; the answer names the roles that it signed.

    Raises:
        Refused: it could not publish; the message is the child's.
    """
    try:
        output, errors = publisher.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        publisher.kill()
        publisher.communicate()
        raise Refused(f"the TUF repository was not signed within {timeout_s:.0f} s") from error
    if publisher.returncode != 0:
        raise Refused(f"the TUF repository cannot be published: {errors.strip()}")
    return output.strip()
