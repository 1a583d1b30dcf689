# SPDX-License-Identifier: Apache-2.0
"""What every command says to people: errors with an exit code of their own, also where a refusal is 1; and lines that stay lines."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager

from sigcore.errors import Malformed, Refused, SigError


def not_empty(text: str) -> str:
    """The value of an option that says whom to trust. An empty one is that of a variable that is not set: taken for an option that was
    left out, it would let the next in line decide.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not text:
        raise ArgumentTypeError("it is empty: set what it is to hold, or leave the option out")
    return text


class Usage(Malformed):
    """Options contradict each other, or one is missing; the message names them. Exit code 2."""


class NoPolicy(SigError):
    """The policy that should decide is absent or has expired. Exit code 5."""


class NotServed(SigError):
    """A service answered and said no, in a command where a refusal is a verdict of our own. Exit code 3."""


class NotVerified(SigError):
    """What was fetched or given does not verify, in a command that else asks services. Exit code 1."""


@contextmanager
def verifying() -> Iterator[None]:
    """A refusal inside is a verdict of our own, and not a service's: :class:`NotVerified`."""
    try:
        yield
    except Refused as error:
        raise NotVerified(error.message, error.hint) from error


@contextmanager
def adding() -> Iterator[None]:
    """A refusal inside is of what the command line names, in files of our own, and no service's: :class:`Usage`."""
    try:
        yield
    except Refused as error:
        raise Usage(error.message, error.hint) from error


def tell(line: str) -> None:
    """What goes on, on standard error, in one line."""
    sys.stderr.write(f"{one_line(line)}\n")


def one_line(text: str) -> str:
    """``text`` as it may stand in a line on a terminal: what cannot be printed is escaped, line ends too."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
