# SPDX-License-Identifier: Apache-2.0
"""Bundles and artifacts on disk. Everything is bounded when it is read and appears whole when it is written.

Reading takes any spelling of a path and does without ``pathlib``, whose import is a third of Python's own start.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, TypeAlias

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, encode_bundle, parse_bundle
from sigcore.errors import Malformed, NotFound, Refused

AnyPath: TypeAlias = str | os.PathLike[str]
READABLE: Final = "give the path of a file that is there and that you may read"
VARIABLE: Final = "env://"
"""What stands before the name of a variable that holds a key."""
_BLOCK: Final = 1 << 20
"""Bytes; with smaller ones reading slows the hash more."""


def read_file(path: AnyPath, *, what: str, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes.

    Raises:
        NotFound: no readable file. Malformed: it is longer.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - see above
            data = file.read(limit + 1)
    except OSError as error:
        raise NotFound(f"{_named(what, path)} cannot be read: {error.strerror}", READABLE) from error
    if len(data) > limit:
        raise Malformed(f"{_named(what, path)} is longer than {limit} bytes")
    return data


def read_key(path: AnyPath, *, what: str, limit: int) -> bytes:
    """A key: the content of a file, or with ``env://NAME``, as cosign takes it, of that variable.

    Raises:
        NotFound: no readable file, no such variable. Malformed: it is longer than ``limit`` bytes.
    """
    text = str(path)
    if not text.startswith(VARIABLE):
        return read_file(path, what=what, limit=limit)
    name = text.removeprefix(VARIABLE)
    data = os.environb.get(os.fsencode(name))
    if not data:
        raise NotFound(
            f"the key {text} cannot be read: no such variable is set", f"set {name} to the PEM itself, or give a file"
        )
    if len(data) > limit:
        raise Malformed(f"the key {text} is longer than {limit} bytes")
    return data


def _named(what: str, path: AnyPath) -> str:
    """The file as a message calls it; ``what`` may name its path already."""
    return what if what.endswith(f" {path}") else f"{what} {path}"


def load_bundle(path: AnyPath) -> Bundle:
    """The bundle in a file; cosign's own bundle is read as one of version 0.1, an attestation of PEP 740 as one of 0.3.

    Raises:
        NotFound: no readable file. Malformed, Refused: as :func:`sigcore.bundle.parse_bundle`.
    """
    try:
        data = read_file(path, what="the bundle", limit=limits.BUNDLE)
    except NotFound as error:
        error.hint = "give the bundle that signing wrote; what has none is signed first: sigbox sign-blob"
        raise
    if b'"base64Signature"' in data:
        # Deferred: cosign stopped writing these.
        from sigcore.legacy_bundle import parse_legacy_bundle  # noqa: PLC0415 - see the line above

        return parse_legacy_bundle(data)
    if b'"transparency_entries"' in data:
        # Deferred: they lie beside Python packages only.
        from sigcore.pep740 import parse_attestation  # noqa: PLC0415 - see the line above

        return parse_attestation(data)
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
    """A file to write to (and read from) that becomes ``path`` at the end: temporary file, fsync, rename, fsync of the folder. Where
    the block fails nothing is left. A link stays, and what it leads to is written.

    Raises:
        Refused: the file system does not let us; ``what`` names the file in the message.
    """
    # Deferred: verifying writes nothing, and these imports are a tenth of its start.
    import tempfile  # noqa: PLC0415 - see the line above
    from pathlib import Path  # noqa: PLC0415 - the same

    target = Path(os.path.realpath(path))
    try:
        if not _is_free(path):
            raise Refused(f"{what} {path} cannot be written: it is there, and is no regular file", "give another place")
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
        _sync_folder(target.parent)
    except OSError as error:
        raise Refused(f"{what} {path} cannot be written: {error.strerror}") from error


def _is_free(path: AnyPath) -> bool:
    """Whether there is a file, or nothing. A rename would put a file in the place of a pipe, even of ``/dev/null``."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - see above
    except FileNotFoundError:
        return True


def _sync_folder(path: AnyPath) -> None:
    """Bring the new name to the disk, where the system lets us: some folders may be written to and not be opened, some file systems
    have no such call.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def digest_file(path: AnyPath, algorithm: HashAlgorithm = HashAlgorithm.SHA2_256) -> bytes:
    """The digest of an artifact of any size, in a fixed amount of memory.

    Raises:
        NotFound: no readable file.
    """
    hashing = hashlib.new(algorithm.hashlib_name)
    for block in _blocks(path):
        hashing.update(block)
    return hashing.digest()


def digest_files(paths: Sequence[AnyPath], algorithm: HashAlgorithm) -> Generator[bytes, None, None]:
    """:func:`digest_file` of each, in their order; as many at once as there are cores, in threads.

    The interpreter is free while a block is read and hashed. A file is hashed up to one turn for each core before its own, and
    that it cannot be read is raised when it is its turn. Who does not ask for all of them closes the generator.

    Raises:
        NotFound: as :func:`digest_file`.
    """
    # Deferred: verifying one file has no use for it, and it is more than a start of Python.
    from concurrent.futures import Future, ThreadPoolExecutor  # noqa: PLC0415 - see the line above

    stopped = False

    def digest(path: AnyPath) -> bytes:
        hashing = hashlib.new(algorithm.hashlib_name)
        for block in _blocks(path):
            hashing.update(block)
            if stopped:
                break  # nobody will ask for it
        return hashing.digest()

    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores, "digest") as pool:
        ahead: deque[Future[bytes]] = deque()
        try:
            for path in paths:
                ahead.append(pool.submit(digest, path))
                if len(ahead) > cores:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            stopped = True


def _blocks(path: AnyPath) -> Iterator[memoryview]:
    """The content of a file, block by block, each good until the next is asked for.

    Mapping the file into memory would be a little faster, and kill the process when somebody cuts the file meanwhile.
    """
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see above
            size = os.fstat(file.fileno()).st_size or _BLOCK  # a device or a pipe says 0
            buffer = memoryview(bytearray(min(_BLOCK, size)))
            while count := file.readinto(buffer):
                yield buffer[:count]
    except OSError as error:
        raise NotFound(f"the artifact {path} cannot be read: {error.strerror}", READABLE) from error
