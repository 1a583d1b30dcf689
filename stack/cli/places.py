# SPDX-License-Identifier: Apache-2.0
"""Where a command that signs writes, looked at before anything is signed: a log keeps the entry also of a bundle that was not saved."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from client.files import AnyPath
from sigcore.errors import NotFound
from stack.cli.usage import Usage

_READ = ("key", "predicate", "statement", "trust_config", "trusted_root", "signing_config", "ca_file")
"""Options that may name a file."""
_OF_DEVICES = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))
"""Folders in which nothing is kept; /dev/shm is none of them."""


def check_places(places: Sequence[Path]) -> None:
    """That each can be written.

    Raises:
        NotFound: one cannot.
    """
    for place in places:
        folder = place.absolute().parent
        if place.exists() and not place.is_dir() and not place.is_file():
            raise NotFound(
                f"{place} cannot be written: it is there, and is no regular file",
                "give another place; nothing was signed",
            )
        if place.is_dir() or not folder.is_dir():
            why = "it is a directory" if place.is_dir() else f"there is no directory {folder}"
            raise NotFound(f"{place} cannot be written: {why}", "give another place; nothing was signed")
        if not os.access(folder, os.W_OK):
            raise NotFound(
                f"{place} cannot be written: {folder} is not yours to write to",
                "give another place; nothing was signed",
            )


def check_apart(options: argparse.Namespace, files: Iterable[Path], places: Iterable[tuple[str, Path]]) -> None:
    """That what is written takes the place of nothing that is read, and of nothing else that is written.

    ``places`` are what each is called, and where it goes; the same pair may come again.

    Raises:
        Usage: it would; the message names both.
    """
    taken = {os.path.realpath(file): f"a file to sign, {file}" for file in files} | files_read(options, _READ)
    if (token := getattr(options, "identity_token", None)) and token.startswith("@"):
        taken[os.path.realpath(token[1:])] = "what --identity-token names"
    for what, place in dict.fromkeys(places):
        check_free(taken, what, place, "give another place; nothing was signed")
        taken[os.path.realpath(place)] = f"where {what} goes"


def files_read(options: argparse.Namespace, names: Iterable[str]) -> dict[str, str]:
    """The files that the options of these ``names`` name: where each is -> what it is called. ``file`` is FILE itself."""
    taken = {}
    for name in names:
        given = getattr(options, name, None) or ()
        for path in given if isinstance(given, list) else [given] if given else ():
            called = "FILE itself" if name == "file" else f"what --{name.replace('_', '-')} names"
            taken[os.path.realpath(path)] = called
    return taken


def check_free(taken: Mapping[str, str], what: str, place: AnyPath, hint: str = "give another place") -> None:
    """That ``what`` is not written over one of the files that are ``taken``.

    Raises:
        Usage: it would be; the message names both.
    """
    found = taken.get(os.path.realpath(place))
    if found is not None:
        raise Usage(f"{what} would be written to {place}, which is {found}", hint)


def check_beside(file: Path, suffix: str) -> None:
    """That something may lie beside ``file``: a device, or standard input, has no such place.

    Raises:
        Usage: it is one.
    """
    if file.parent in _OF_DEVICES:
        raise Usage(f"{file} is signed, and nothing says where {file.name}{suffix} shall be", "give --bundle OUT")
