# SPDX-License-Identifier: Apache-2.0
"""Entry ids of Rekor v1: 16 hexadecimal digits for the tree, 64 for the leaf hash.

Source: rekor ``pkg/sharding/sharding.go``, ``openapi.yaml`` (entryUUID).
"""

from __future__ import annotations

import hashlib
from typing import Final

from sigcore.errors import Malformed
from sigcore.strict import parse_hex, shown

_TREE_DIGITS: Final = 16
_LEAF_DIGITS: Final = 64


def tree_id_of(spki: bytes) -> int:
    """The id of the tree of a log with this key: 63 bits of the key's hash, never 0, so nothing has to be remembered."""
    digest = hashlib.sha256(b"sigbox tree id" + spki).digest()
    return int.from_bytes(digest[:8], "big") >> 1 | 1


def encode_entry_id(tree_id: int, leaf_hash: bytes) -> str:
    """The id of an entry."""
    return f"{tree_id:016x}{leaf_hash.hex()}"


def parse_entry_id(text: str) -> tuple[int | None, bytes]:
    """(tree id, leaf hash) of an id of 80 digits; of 64, the tree is not named. Capital letters are read too.

    Raises:
        Malformed: another length, or not hexadecimal.
    """
    if len(text) not in (_LEAF_DIGITS, _TREE_DIGITS + _LEAF_DIGITS):
        raise Malformed(f"the entry id {shown(text)} has {len(text)} characters, expected 64 or 80 hexadecimal digits")
    data = parse_hex(text.lower(), what="the entry id")
    tree = int.from_bytes(data[:-32], "big") if len(data) > 32 else None
    return tree, data[-32:]
