# SPDX-License-Identifier: Apache-2.0
"""What Rekor v1 keeps beside a leaf: outside the tree, and lost with nothing but the log's own database.

uint64 integrated time (Unix seconds), then the digests of the keys that the entry is found by (16 bytes each, in a vector with
three bytes of length), then the attestation (a vector with three bytes of length, empty where there is none).

The digests are here and not computed from the leaf, because the leaf has no payload any more, and because they are known when
an entry is added and would have to be parsed out of a certificate later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from sigcore import tls
from sigcore.values import dataclass

KEY_BYTES: Final = 16
"""A collision takes 2**64 hashes, and its reward is one entry too many in a search."""
_VECTOR: Final = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """See the module."""

    integrated_time: int
    keys: tuple[bytes, ...]
    attestation: bytes = b""


def key_digest(text: str) -> bytes:
    """What a search key is known by; large and small letters are the same."""
    return hashlib.sha256(text.lower().encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]


def key_digests(texts: Iterable[str]) -> tuple[bytes, ...]:
    """The digests of search keys, each once."""
    return tuple(dict.fromkeys(map(key_digest, texts)))


def encode_kept(kept: Kept) -> bytes:
    """For :attr:`tlog.submission.Submission.extra`."""
    keys = tls.opaque(b"".join(kept.keys), _VECTOR)
    return tls.uint64(kept.integrated_time) + keys + tls.opaque(kept.attestation, _VECTOR)


def parse_kept(extra: bytes) -> Kept:
    """What :func:`encode_kept` wrote; Malformed otherwise."""
    reader = tls.Reader(extra, "what is kept beside the entry")
    seconds, keys, attestation = reader.uint(8), reader.opaque(_VECTOR), reader.opaque(_VECTOR)
    reader.finish()
    return Kept(seconds, tuple(keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)), attestation)
