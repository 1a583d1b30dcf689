# SPDX-License-Identifier: Apache-2.0
"""The options that say which stack is meant and what opens its keys, the same for every command that needs them."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from stack.config import Home, check_quota, check_workers, home_at
from stack.passphrase import find_passphrase


def add_data_option(parser: argparse._ActionsContainer) -> None:
    """``--data``."""
    text = "data directory of the stack (default: $SIGBOX_DATA, ./sigbox-data)"
    parser.add_argument("--data", metavar="DIR", type=_directory, help=text)


def _directory(text: str) -> Path:
    """Nobody means the current directory by no text at all: a variable of a script was empty."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty, expected a directory")
    return Path(text)


def add_passphrase_option(parser: argparse.ArgumentParser) -> None:
    """``--passphrase-file``."""
    text = "what the keys are encrypted with (default: $SIGBOX_PASSPHRASE_FILE, a systemd credential, or none)"
    parser.add_argument("--passphrase-file", metavar="FILE", type=Path, help=text)


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """What every process that serves can be told, a whole stack or one role: ``--database``, ``--accept-clock``, ``--quota``."""
    add = parser.add_argument
    text = (
        "postgresql://USER@HOST/NAME without the password, for logs that several hosts serve (default: files in --data)"
    )
    add("--database", metavar="URL", help=text)
    text = "the clock is right now: go on although something was signed with a time that is still to come"
    add("--accept-clock", action="store_const", const=True, help=text)
    text = (
        "requests that one network may have signed in a minute: certificates, timestamps, entries (default: any number)"
    )
    add("--quota", metavar="N", type=int, help=text)


def check_counts(options: argparse.Namespace) -> None:
    """Raises Malformed for ``--workers`` and ``--quota`` that nobody can mean."""
    check_workers(options.workers)
    check_quota(options.quota)


def unlocked(options: argparse.Namespace) -> Home:
    """The data directory together with the passphrase of its keys.

    Raises:
        NotFound, Malformed, Refused: see :func:`~stack.passphrase.find_passphrase`.
    """
    return replace(home_at(options.data), passphrase=find_passphrase(options.passphrase_file, os.environ))
