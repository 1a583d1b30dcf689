# SPDX-License-Identifier: Apache-2.0
"""The password of a key file, in a program whose standard input is the message: COSIGN_PASSWORD, or the terminal itself."""

from __future__ import annotations

import getpass
import os

from client.key_files import VARIABLE
from sigcore.errors import Refused
from stack.kms.program import has_terminal


def ask_password(*, new: bool = False) -> bytes:
    """The password; one for a ``new`` key is asked for twice.

    Raises:
        Refused: no variable and no terminal, or two different answers.
    """
    if VARIABLE in os.environ:
        return os.environb[VARIABLE.encode("ascii")]
    if not has_terminal():
        raise Refused("the key has a password, and there is no terminal to ask for it", f"set {VARIABLE}")
    given = getpass.getpass("Enter password for private key: ")
    if new and getpass.getpass("Enter password for private key again: ") != given:
        raise Refused("the two passwords differ", "try again")
    return given.encode("utf-8")
