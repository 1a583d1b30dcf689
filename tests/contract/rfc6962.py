# SPDX-License-Identifier: Apache-2.0
"""A reader of a certificate log that shares no code with it: the structures of RFC 6962 by ``struct``, proofs by its text."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRECERT = 1


@dataclass(frozen=True)
class Leaf:
    """A MerkleTreeLeaf (section 3.4) with its extra_data (sections 4.6 and 3.1)."""

    timestamp: int
    entry_type: int
    issuer_key_hash: bytes
    """Of a precertificate; empty otherwise."""
    certificate: bytes
    """The TBSCertificate of a precertificate; otherwise the certificate."""
    raw: bytes
    chain: tuple[bytes, ...]
    """From extra_data: the precertificate first where it is one, then who issued it, up to the root."""


class Bytes:
    """What is left of a structure."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        assert len(self.data) >= size, "the structure ends early"
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def vector(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width), "big"))

    def end(self) -> None:
        assert not self.data, "bytes are left over"


def read_leaf(entry: dict[str, str]) -> Leaf:
    raw = base64.b64decode(entry["leaf_input"], validate=True)
    reader = Bytes(raw)
    version, leaf_type, timestamp, entry_type = struct.unpack(">BBQH", reader.take(12))
    assert (version, leaf_type) == (0, 0)
    assert entry_type in (0, PRECERT)
    issuer_key_hash = reader.take(32) if entry_type == PRECERT else b""
    certificate = reader.vector(3)
    assert reader.vector(2) == b""
    reader.end()
    extra = Bytes(base64.b64decode(entry["extra_data"], validate=True))
    chain = [extra.vector(3)] if entry_type == PRECERT else []
    issuers = Bytes(extra.vector(3))
    extra.end()
    while issuers.data:
        chain.append(issuers.vector(3))
    return Leaf(timestamp, entry_type, issuer_key_hash, certificate, raw, tuple(chain))


def signed_data_of_sct(timestamp: int, issuer_key_hash: bytes, tbs: bytes) -> bytes:
    """digitally-signed of section 3.2 for a precertificate, without extensions."""
    return (
        struct.pack(">BBQH", 0, 0, timestamp, PRECERT) + issuer_key_hash + len(tbs).to_bytes(3, "big") + tbs + b"\0\0"
    )


def verify_digitally_signed(key: ec.EllipticCurvePublicKey, encoded: str, data: bytes) -> None:
    """``encoded``: the struct of RFC 5246 section 4.7 in base64, SHA-256 with ECDSA."""
    reader = Bytes(base64.b64decode(encoded, validate=True))
    assert reader.take(2) == bytes((4, 3))
    signature = reader.vector(2)
    reader.end()
    key.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def verify_tree_head(key: ec.EllipticCurvePublicKey, head: dict[str, Any]) -> bytes:
    """The root hash (section 3.5)."""
    assert set(head) == {"tree_size", "timestamp", "sha256_root_hash", "tree_head_signature"}
    root = base64.b64decode(head["sha256_root_hash"], validate=True)
    data = struct.pack(">BBQQ", 0, 1, head["timestamp"], head["tree_size"]) + root
    verify_digitally_signed(key, head["tree_head_signature"], data)
    return root


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2, step by step, for 0 < first < second."""
    path = list(proof)
    if not path:
        return False
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for one in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(one, fr), node(one, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, one)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr, sn) == (first_root, second_root, 0)


class LogClient:
    """The messages of section 4 over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, name: str, body: object = None, **query: object) -> tuple[int, Any, dict[str, str]]:
        """(status, document, headers); ``body`` makes it a POST."""
        url = f"{self._url}/ct/v1/{name}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as answer:
                return answer.status, json.load(answer), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), dict(error.headers)

    def get(self, name: str, **query: object) -> Any:
        status, document, headers = self.call(name, **query)
        assert status == 200, document
        assert headers["Cache-Control"] == "no-store"
        return document

    def add(self, name: str, chain: Sequence[bytes]) -> tuple[int, Any]:
        status, document, _ = self.call(name, {"chain": [base64.b64encode(one).decode() for one in chain]})
        return status, document
