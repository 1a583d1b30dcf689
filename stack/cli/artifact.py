# SPDX-License-Identifier: Apache-2.0
"""The FILE of a command line: a path, a directory of signed files, or the digest of a file that is elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from client.files import digest_file
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.strict import parse_hex, shown
from stack.cli.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX = ".sigstore.json"
"""Where a bundle lies beside its file."""
STDIN = "/dev/stdin"
"""What ``-`` stands for."""
_ALGORITHMS = {algorithm.hashlib_name: algorithm for algorithm in HashAlgorithm}


def given_path(text: str) -> Path:
    """The path of a file that is read, of an option or FILE; ``-`` is standard input."""
    # Deferred: as in client.files, verifying does without.
    from pathlib import Path  # noqa: PLC0415 - see the line above

    return Path(STDIN if text == "-" else text)


def digest_of(file: str, algorithm: HashAlgorithm) -> bytes:
    """The digest of FILE by ``algorithm``.

    Raises:
        NotFound: no readable file. Usage: not hexadecimal, or of another length.
        Refused: FILE is a digest by another algorithm.
    """
    given, text = _digest(file)
    if given is None:
        return digest_file(file, algorithm)
    if given is not algorithm:
        raise Refused(
            f"the digest is by {given.hashlib_name}, the bundle was made over {algorithm.hashlib_name}",
            f"give the file, or {algorithm.hashlib_name}:HEX",
        )
    try:
        return parse_hex(text, what="the artifact's digest", size=algorithm.size)
    except Malformed as error:
        raise Usage(
            error.message, f"give {algorithm.hashlib_name}: and {2 * algorithm.size} hexadecimal digits"
        ) from error


def is_digest(file: str) -> bool:
    """Whether FILE is a digest and not a path."""
    return _digest(file)[0] is not None


def _digest(file: str) -> tuple[HashAlgorithm | None, str]:
    name, colon, text = file.partition(":")
    return (_ALGORITHMS.get(name) if colon else None), text


def expand(files: Sequence[str], suffix: str = SUFFIX) -> tuple[str, ...]:
    """FILEs with each directory replaced by the files in it that have a bundle beside them, by name, and ``-`` by standard input.

    Raises:
        NotFound: a directory has none.
    """
    return tuple(one for file in files for one in _expanded(file, suffix))


def _expanded(file: str, suffix: str) -> Iterator[str]:
    if file == "-":
        yield STDIN
        return
    if is_digest(file) or not os.path.isdir(file):  # noqa: PTH112 - as in client.files, no pathlib to verify one file
        yield file
        return
    bundles = sorted(name for name in os.listdir(file) if name.endswith(suffix))  # noqa: PTH208 - the same
    if not bundles:
        raise NotFound(f"the directory {shown(file)} holds no file with a bundle, *{suffix}, beside it")
    for bundle in bundles:
        yield os.path.join(file, bundle.removesuffix(suffix))  # noqa: PTH118 - the same
