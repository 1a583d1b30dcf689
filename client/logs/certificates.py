# SPDX-License-Identifier: Apache-2.0
"""What a Certificate Transparency log says: its signed head, and an entry of it. Pure.

Source: RFC 6962 sections 3.4, 3.5 and 4.3.
"""

from __future__ import annotations

import json
from typing import Final

from sigcore import limits, merkle, sct, tbs, x509
from sigcore.checkpoint import Checkpoint
from sigcore.errors import Malformed, SigError
from sigcore.strict import Fields, encode_base64
from sigcore.trustroot import LogInstance
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_MOST: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class LoggedCertificate:
    """One entry: ``leaf`` is the MerkleTreeLeaf, ``certificate`` what it says, None where that cannot be read.

    A log keeps of a precertificate what is signed, so ``certificate.der`` is empty there.
    """

    index: int
    log_id: bytes
    leaf: bytes
    time_ms: int
    kind: str
    certificate: Certificate | None


def read_logged(index: int, log_id: bytes, leaf: bytes) -> LoggedCertificate:
    """The entry in a MerkleTreeLeaf. Malformed: it is none; a broken certificate in it is no error, a log may have it."""
    entry, time_ms, _ = sct.parse_leaf(leaf)
    kind = "certificate" if isinstance(entry, sct.X509Entry) else "precertificate"
    try:
        if isinstance(entry, sct.X509Entry):
            found: Certificate | None = x509.parse_certificate(entry.certificate)
        else:
            found = tbs.unsigned(entry.tbs)
    except SigError:
        found = None
    return LoggedCertificate(index, log_id, leaf, time_ms, kind, found)


def read_tree_head(text: str, log: LogInstance) -> Checkpoint:
    """The head in the answer to get-sth, which the log has signed; its origin here is the log's id.

    Raises:
        Malformed: not such an answer. Refused: the signature does not hold.
    """
    fields = Fields.parse(text.encode("utf-8"), what="the tree head", limit=limits.NOTE)
    size, time_ms = fields.integer("tree_size"), fields.integer("timestamp")
    root = fields.base64("sha256_root_hash", limit=limits.TEXT)
    if not (0 <= size < _MOST and 0 <= time_ms < _MOST and len(root) == merkle.HASH_SIZE):
        raise Malformed(f"the tree head has size {size}, time {time_ms} and a root of {len(root)} bytes")
    signed = fields.base64("tree_head_signature", limit=limits.TEXT)
    sct.verify_tree_head(size=size, timestamp_ms=time_ms, root=root, signed=signed, key=log.public_key())
    return Checkpoint(log.log_id.hex(), size, root)


def usual_text(text: str) -> str:
    """The four members of a tree head, in one line: what is kept of the answer."""
    fields = Fields.parse(text.encode("utf-8"), what="the tree head", limit=limits.NOTE)
    members = {
        **{name: fields.integer(name) for name in ("tree_size", "timestamp")},
        **{
            name: encode_base64(fields.base64(name, limit=limits.TEXT))
            for name in ("sha256_root_hash", "tree_head_signature")
        },
    }
    return f"{json.dumps(members)}\n"
