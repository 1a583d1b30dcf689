# SPDX-License-Identifier: Apache-2.0
"""Content digests: ``algorithm:hex``, read strictly and checked against the bytes they stand for.

Source: OCI image-spec 1.1, descriptor.md "Digests". Of the registered algorithms sha256 and sha512 are taken; blake3 is not
in Python's standard library.
"""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO, Final

from sigcore.errors import Malformed, Refused
from sigcore.strict import shown

_CHUNK: Final = 1024 * 1024
_DIGEST: Final = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z", re.ASCII)


def parse_digest(text: str, *, what: str = "the digest") -> str:
    """``text`` if it is a digest that can be checked here. Nothing else ever becomes part of a URL or a path.

    Raises:
        Malformed: another algorithm, another length, upper case, anything before or behind.
    """
    if not _DIGEST.match(text):
        raise Malformed(
            f"{what} is {shown(text, 90)}, expected sha256: and 64 lower-case hexadecimal digits",
            "sha512: and 128 digits are taken too; no other algorithm is",
        )
    return text


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """The digest of ``data``; ``algorithm`` is sha256 or sha512."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def digest_of_rest(file: BinaryIO, algorithm: str = "sha256") -> str:
    """The digest of what ``file`` holds from here on."""
    state = hashlib.new(algorithm)
    while chunk := file.read(_CHUNK):
        state.update(chunk)
    return f"{algorithm}:{state.hexdigest()}"


def algorithm_of(digest: str) -> str:
    """``sha256`` or ``sha512``, of a digest that :func:`parse_digest` took."""
    return digest.partition(":")[0]


def verify_digest(data: bytes, digest: str, *, what: str) -> bytes:
    """``data``, when ``digest`` is its digest.

    Raises:
        Refused: they are other bytes.
    """
    verify_found(digest_of(data, algorithm_of(digest)), digest, what=what)
    return data


def verify_found(found: str, digest: str, *, what: str) -> None:
    """As :func:`verify_digest`, for content whose digest has been computed."""
    if found != digest:
        raise Refused(
            f"{what} has the digest {found}, expected {digest}",
            "the registry, or something before it, gave other bytes than were asked for; do not use them",
        )
