# SPDX-License-Identifier: Apache-2.0
"""The private key that ``--key`` names, in a file or in a KMS; and the passphrase of a file: COSIGN_PASSWORD, or from the terminal."""

from __future__ import annotations

import getpass
import os
import sys

from client.files import AnyPath
from client.key_files import VARIABLE, load_private_key
from sigcore.errors import Refused
from sigcore.keys import PrivateKey, check_strength
from stack.cli.public_keys import in_kms
from stack.cli.usage import Usage


def open_private_key(path: AnyPath) -> PrivateKey:
    """The key that ``--key`` names; nobody but its owner has a say in that, so a passphrase that does not fit is a usage error.

    Raises:
        NotFound: no such file, no such program. Malformed: no private key. Usage: another passphrase; no variable and no terminal; a
            key in a KMS that cannot be used. Unavailable: the program that holds it does not work.
    """
    try:
        if in_kms(path):
            # Deferred, like the next: keys are in files, nearly always.
            from stack.kms.key import load_kms_key  # noqa: PLC0415 - see the line above

            return load_kms_key(str(path))
        return load_private_key(path, lambda: _given("Enter password for private key: "))
    except Refused as error:
        raise Usage(error.message, error.hint) from error


def open_signing_key(path: AnyPath) -> PrivateKey:
    """The same, of a kind that signatures of ours may be made with: nobody would verify the others.

    Raises:
        Usage: as :func:`open_private_key`; and a curve outside the registry, RSA of another size.
    """
    key = open_private_key(path)
    try:
        check_strength(key.public_key(), what=f"the key {path}")
    except Refused as error:
        raise Usage(error.message, error.hint) from error
    return key


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
