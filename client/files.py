# SPDX-License-Identifier: Apache-2.0
"""Bundles and artifacts on disk. Everything is bounded when it is read and appears whole when it is written.

Reading takes any spelling of a path and does without ``pathlib``, whose import is a third of Python's own start.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, encode_bundle, parse_bundle
from sigcore.errors import Malformed, NotFound, Refused

AnyPath: TypeAlias = str | os.PathLike[str]


def read_file(path: AnyPath, *, what: str, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes.

    Raises:
        NotFound: no readable file. Malformed: it is longer.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see above
            data = file.read(limit + 1)
    except OSError as error:
        raise NotFound(f"{what} {path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise Malformed(f"{what} {path} is longer than {limit} bytes")
    return data


def load_bundle(path: AnyPath) -> Bundle:
    """The bundle in a file; cosign's own bundle is read as one of version 0.1.

    Raises:
        NotFound: no readable file. Malformed, Refused: as :func:`sigcore.bundle.parse_bundle`.
    """
    data = read_file(path, what="the bundle", limit=limits.BUNDLE)
    if b'"base64Signature"' in data:
        # Deferred: cosign stopped writing these.
        from sigcore.legacy_bundle import parse_legacy_bundle  # noqa: PLC0415 - see the line above

        return parse_legacy_bundle(data)
    return parse_bundle(data)


def save_bundle(bundle: Bundle, path: AnyPath) -> None:
    """Write the bundle as :func:`save_whole` does."""
    save_whole(encode_bundle(bundle), path, what="the bundle")


def save_whole(data: bytes, path: AnyPath, *, what: str, mode: int = 0o644) -> None:
    """Write ``data`` so that ``path`` holds all of it or what it held before.

    Raises:
        Refused: the file system does not let us; ``what`` names the file in the message.
    """
    with writing_whole(path, what=what, mode=mode) as file:
        file.write(data)


@contextmanager
def writing_whole(path: AnyPath, *, what: str, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write to (and read from) that becomes ``path`` at the end: temporary file, fsync, rename. Where the block fails
    nothing is left.

    Raises:
        Refused: the file system does not let us; ``what`` names the file in the message.
    """
    # Deferred: verifying writes nothing, and these imports are a tenth of its start.
    import tempfile  # noqa: PLC0415 - see the line above
    from pathlib import Path  # noqa: PLC0415 - the same

    target = Path(path).absolute()
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Refused(f"{what} {path} cannot be written: {error.strerror}") from error


def digest_file(path: AnyPath, algorithm: HashAlgorithm = HashAlgorithm.SHA2_256) -> bytes:
    """The digest of an artifact of any size.

    Raises:
        NotFound: no readable file.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see above
            return hashlib.file_digest(file, algorithm.hashlib_name).digest()
    except OSError as error:
        raise NotFound(f"the artifact {path} cannot be read: {error.strerror}") from error
