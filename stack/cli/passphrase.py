# SPDX-License-Identifier: Apache-2.0
"""The passphrase of a private key: from COSIGN_PASSWORD, or from the terminal."""

from __future__ import annotations

import getpass
import os
import sys

from client.key_files import VARIABLE
from stack.cli.usage import Usage


def ask_passphrase() -> bytes:
    """The passphrase of a key that exists.

    Raises:
        Usage: no variable and no terminal.
    """
    return _given("Enter password for private key: ")


def ask_new_passphrase() -> bytes:
    """A passphrase for a new key; on a terminal it is asked for twice.

    Raises:
        Usage: no variable and no terminal, or two different answers.
    """
    first = _given("Enter password for private key: ")
    if VARIABLE not in os.environ and _given("Enter password for private key again: ") != first:
        raise Usage("the two passwords differ", "try again")
    return first


def _given(prompt: str) -> bytes:
    if VARIABLE in os.environ:
        return os.environb[VARIABLE.encode("ascii")]
    if not sys.stdin.isatty():
        raise Usage("the key has a password, and there is no terminal to ask for it", f"set {VARIABLE}")
    return getpass.getpass(prompt).encode("utf-8")
