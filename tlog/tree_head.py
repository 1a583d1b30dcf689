# SPDX-License-Identifier: Apache-2.0
"""The head of a Certificate Transparency log, as RFC 6962 signs it and as a checkpoint carries it.

Sources: RFC 6962 section 3.5 (Signed Tree Head), C2SP static-ct-api, "Checkpoints".
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

from sigcore import keys
from sigcore.checkpoint import Checkpoint, encode_checkpoint, parse_checkpoint
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey, PublicKey
from sigcore.note import KEY_HASH_SIZE, Note, NoteSignature, encode_note, parse_note
from sigcore.sct import sth_signed_data
from sigcore.tls import Reader, opaque, uint64
from sigcore.values import dataclass
from tlog.publish import Signed

_SHA256: Final = 4
_SIGNATURE_ALGORITHMS: Final = {"rsa-pkcs1v15": 1, "ecdsa": 3}
"""RFC 5246 section 7.4.1.4.1."""
_TREE_HEAD: Final = b"\n\x05"


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A signed tree head (RFC 6962 section 3.5); ``signature`` is the digitally-signed struct."""

    size: int
    root: bytes
    timestamp_ms: int
    signature: bytes


class TreeHeadReader:
    """Reads RFC 6962 tree heads inside checkpoint notes, as C2SP static-ct-api defines them.

    The note signature holds ``uint64 timestamp`` and the digitally-signed struct; its key id is the first four bytes of
    SHA-256(origin || 0x0A || 0x05 || log id).
    """

    def __init__(self, origin: str, key: PublicKey) -> None:
        self.origin = origin
        self.log_id = keys.key_id(keys.encode_public_key(key))
        self._public_key = key
        self._algorithm = _SIGNATURE_ALGORITHMS.get(keys.default_details(key).value.family)
        if self._algorithm is None:
            raise Refused("the key of a certificate log is ECDSA or RSA", "RFC 6962 section 2.1.4")
        self._line_id = hashlib.sha256(origin.encode() + _TREE_HEAD + self.log_id).digest()[:KEY_HASH_SIZE]

    def encode(self, head: TreeHead) -> str:
        """The checkpoint that carries ``head``, whose signature is taken as it is."""
        blob = uint64(head.timestamp_ms) + head.signature
        text = encode_checkpoint(Checkpoint(self.origin, head.size, head.root))
        return encode_note(Note(text, (NoteSignature(self.origin, self._line_id, blob),)))

    def verify(self, envelope: str) -> Checkpoint:
        """See :class:`tlog.publish.HeadReader`."""
        head = self.tree_head(envelope)
        return Checkpoint(self.origin, head.size, head.root)

    def tree_head(self, envelope: str) -> TreeHead:
        """The signed tree head in a checkpoint of this log.

        Raises:
            Malformed: not such a note. Refused: of another log, or the signature does not verify.
        """
        note = parse_note(envelope)
        checkpoint = parse_checkpoint(note.text)
        lines = [line for line in note.signatures if (line.name, line.key_hash) == (self.origin, self._line_id)]
        if checkpoint.origin != self.origin or len(lines) != 1:
            raise Refused(f"the tree head is not signed by {self.origin} once, but {len(lines)} times")
        reader = Reader(lines[0].signature, "the tree head signature")
        timestamp_ms = reader.uint(8)
        algorithms, signature = (reader.uint(1), reader.uint(1)), reader.opaque(2)
        reader.finish()
        if algorithms != (_SHA256, self._algorithm):
            raise Malformed(f"the tree head names the algorithms {algorithms}, expected SHA-256 and the key's own")
        data = sth_signed_data(checkpoint.size, timestamp_ms, checkpoint.root)
        keys.verify(self._public_key, signature, data, what="the tree head signature")
        return TreeHead(checkpoint.size, checkpoint.root, timestamp_ms, lines[0].signature[8:])


class TreeHeadPublisher(TreeHeadReader):
    """And signs them, with the ``key`` of this log only."""

    def __init__(self, origin: str, key: PrivateKey) -> None:
        super().__init__(origin, key.public_key())
        self.key = key

    def sign(self, size: int, root: bytes, timestamp_ms: int) -> Signed:
        """See :class:`tlog.publish.Publisher`."""
        data = sth_signed_data(size, timestamp_ms, root)
        signature = keys.sign(self.key, data)
        struct = bytes((_SHA256, self._algorithm or 0)) + opaque(signature, 2)
        envelope = self.encode(TreeHead(size, root, timestamp_ms, struct))
        return Signed(
            envelope, partial(keys.verify, self._public_key, signature, data, what="the tree head's own signature")
        )
