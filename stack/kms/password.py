# SPDX-License-Identifier: Apache-2.0
"""The password of a key file, in a program whose standard input is the message: COSIGN_PASSWORD, or the terminal itself."""

from __future__ import annotations

import os
from contextlib import suppress

from client.key_files import VARIABLE
from sigcore.errors import Refused


def ask_password(*, new: bool = False) -> bytes:
    """The password; one for a ``new`` key is asked for twice.

    Raises:
        Refused: no variable and no terminal, or two different answers.
    """
    if VARIABLE in os.environ:
        return os.environb[VARIABLE.encode("ascii")]
    if not has_terminal():
        raise Refused("the key has a password, and there is no terminal to ask for it", f"set {VARIABLE}")
    # Deferred: it brings much along, and in most runs nobody is asked.
    from getpass import getpass  # noqa: PLC0415 - see the line above

    given = getpass("Enter password for private key: ")
    if new and getpass("Enter password for private key again: ") != given:
        raise Refused("the two passwords differ", "try again")
    return given.encode("utf-8")


def has_terminal() -> bool:
    """Whether a program that we start could ask somebody."""
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return True
    return False
