# SPDX-License-Identifier: Apache-2.0
"""The auditor: it never trusts the log and shares no code with it.

A writer keeps what the log acknowledged in a journal that is synchronised before the acknowledgement counts. The audit
takes the journal and the log's entries as they are now, and checks:

1. The checkpoint of now carries a valid signature, and its root is the naive root of all entries.
2. No checkpoint that was ever acknowledged is larger; each one's root is the naive root of that many first entries, so all
   checkpoints are consistent with one another.
3. Every acknowledged entry is at its index, holds what was sent, and no index was given to two contents.
4. Every acknowledged proof leads from its entry to its checkpoint's root.
5. Nothing is in the log twice, whatever was retried.

Merkle trees are written as RFC 6962 section 2.1 defines them, recursively.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519


class AuditError(AssertionError):
    """The log broke a promise."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A size, the root at that size, and the signed note that says so."""

    size: int
    root: str
    """Base64, as the note spells it."""
    envelope: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a 201 said of one entry, and the digest and signature that were sent for it. All bytes in base64."""

    digest: str
    signature: str
    index: int
    body: str
    proof: tuple[str, ...]
    size: int
    root: str
    envelope: str

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that came with it."""
        return Checkpoint(self.size, self.root, self.envelope)


# --- the journal -----------------------------------------------------------------------------------------
class Journal:
    """Acknowledgements on the disk, one JSON line each; ``add`` returns when the line is durable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, acknowledged: Acknowledged) -> None:
        os.write(self._file, json.dumps(asdict(acknowledged)).encode() + b"\n")
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)

    def read(self) -> list[Acknowledged]:
        lines = map(json.loads, self.path.read_bytes().splitlines())
        return [Acknowledged(**{**line, "proof": tuple(line["proof"])}) for line in lines]


# --- RFC 6962 section 2.1, as it is written --------------------------------------------------------------
def hash_leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1


class NaiveTree:
    """MTH(D[start:end]) by recursion; subtrees are remembered because many prefixes share them."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.leaves = [hash_leaf(entry) for entry in entries]
        self._range = cache(self._compute)

    def root(self, size: int) -> bytes:
        return self._range(0, size) if size else hashlib.sha256(b"").digest()

    def _compute(self, start: int, end: int) -> bytes:
        if end - start == 1:
            return self.leaves[start]
        middle = start + split(end - start)
        return hash_node(self._range(start, middle), self._range(middle, end))


def fold_proof(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that PATH(index, D[size]) leads to from ``leaf``."""
    if size == 1:
        if proof:
            raise AuditError("an inclusion proof is too long")
        return leaf
    if not proof:
        raise AuditError("an inclusion proof is too short")
    *inner, sibling = proof
    middle = split(size)
    if index < middle:
        return hash_node(fold_proof(leaf, index, middle, inner), sibling)
    return hash_node(sibling, fold_proof(leaf, index - middle, size - middle, inner))


# --- the audit -------------------------------------------------------------------------------------------
def audit(
    entries: Sequence[bytes],
    now: Checkpoint,
    acknowledged: Sequence[Acknowledged],
    earlier: Sequence[Checkpoint],
    key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey,
) -> None:
    """Hold the log to its word; the numbers are those of the module's text.

    Raises:
        AuditError: names the promise and the entry.
    """
    tree = NaiveTree(entries)
    # 1
    _verify_note(now, key)
    _expect(now.size == len(entries), f"the checkpoint says {now.size} entries, there are {len(entries)}")
    _check_root(tree, now)
    # 2
    seen = {one.checkpoint for one in acknowledged} | set(earlier)
    for checkpoint in sorted(seen, key=lambda checkpoint: (-checkpoint.size, checkpoint.envelope)):
        _expect(checkpoint.size <= now.size, f"the log went back from size {checkpoint.size} to {now.size}")
        _verify_note(checkpoint, key)
        _check_root(tree, checkpoint)
    # 3, 4
    given: dict[int, str] = {}
    for one in acknowledged:
        _expect(given.setdefault(one.index, one.body) == one.body, f"index {one.index} was given to two contents")
        _check_entry(entries, one)
        proof = [base64.b64decode(node) for node in one.proof]
        root = fold_proof(tree.leaves[one.index], one.index, one.size, proof)
        _expect(root == base64.b64decode(one.root), f"the proof of entry {one.index} does not lead to its root")
    # 5
    _expect(len(set(entries)) == len(entries), "an entry is in the log twice")


def _expect(held: bool, broken: str) -> None:  # noqa: FBT001 - reads as the sentence it is
    if not held:
        raise AuditError(broken)


def _check_root(tree: NaiveTree, checkpoint: Checkpoint) -> None:
    root = base64.b64encode(tree.root(checkpoint.size)).decode()
    _expect(root == checkpoint.root, f"the root at size {checkpoint.size} is {root}, the log said {checkpoint.root}")


def _check_entry(entries: Sequence[bytes], one: Acknowledged) -> None:
    # 2 holds already: the checkpoint of this size is one of the log's, so the index is within the entries.
    _expect(one.index < one.size, f"entry {one.index} was acknowledged with a checkpoint of size {one.size}")
    body = entries[one.index]
    _expect(body == base64.b64decode(one.body), f"acknowledged entry {one.index} has another content now")
    _expect(find_sent(body) == (one.digest, one.signature), f"entry {one.index} does not hold what was sent")


def find_sent(body: bytes) -> tuple[str, str]:
    """Digest and signature of a hashedrekord 0.0.2, in base64."""
    spec = json.loads(body)["spec"]["hashedRekordV002"]
    return spec["data"]["digest"], spec["signature"]["content"]


def _verify_note(checkpoint: Checkpoint, key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey) -> None:
    """The note says this size and root, and its first signature is the log's (C2SP signed-note, tlog-checkpoint)."""
    text, _, signatures = checkpoint.envelope.partition("\n\n")
    body = f"{text}\n"
    origin, size, root = text.splitlines()[:3]
    _expect(
        (size, root) == (str(checkpoint.size), checkpoint.root), f"a note of size {size} came for {checkpoint.size}"
    )
    dash, name, encoded = signatures.splitlines()[0].split(" ")
    _expect((dash, name) == ("\u2014", origin), f"the checkpoint of {origin} is signed by {name}")
    signature = base64.b64decode(encoded)[4:]
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, body.encode())
        else:
            key.verify(signature, body.encode(), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise AuditError(f"the signature of the checkpoint of size {size} does not verify") from error


# --- reading the log ---------------------------------------------------------------------------------------
def parse_note(envelope: str) -> Checkpoint:
    _, size, root = envelope.splitlines()[:3]
    return Checkpoint(int(size), root, envelope)


def read_log(url: str) -> tuple[Checkpoint, list[bytes]]:
    """The checkpoint and every entry under it, by the tile API (C2SP tlog-tiles)."""
    checkpoint = parse_note(_get(f"{url}/api/v2/checkpoint").decode())
    entries: list[bytes] = []
    while len(entries) < checkpoint.size:
        width = min(256, checkpoint.size - len(entries))
        number = f"{len(entries) // 256:03}"
        _expect(len(number) == 3, "this auditor reads up to 256,000 entries")
        data = _get(f"{url}/api/v2/tile/entries/{number}" + (f".p/{width}" if width < 256 else ""))
        entries += split_bundle(data)
    return checkpoint, entries


def split_bundle(data: bytes) -> list[bytes]:
    entries, position = [], 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 2], "big")
        entries.append(data[position + 2 : position + 2 + size])
        position += 2 + size
    return entries


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        data: bytes = response.read()
    return data


def read_key(trusted_root: Path, details: str = "PKIX_ED25519") -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    """The key of a log, from the trust root that clients are given: the v2 log's is the Ed25519 key, the v1 log's is ECDSA."""
    (log,) = [
        log for log in json.loads(trusted_root.read_bytes())["tlogs"] if log["publicKey"]["keyDetails"] == details
    ]
    key = serialization.load_der_public_key(base64.b64decode(log["publicKey"]["rawBytes"]))
    assert isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey)
    return key
