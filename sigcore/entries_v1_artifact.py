# SPDX-License-Identifier: Apache-2.0
"""Entries of Rekor v1 about a file: hashedrekord 0.0.1 knows its digest, rekord 0.0.1 is given the file itself.

Source: rekor ``pkg/types/hashedrekord/v0.0.1`` and ``pkg/types/rekord/v0.0.1``, schema and ``entry.go``.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sigcore import dsse, keys, limits
from sigcore.algorithms import HashAlgorithm
from sigcore.entries_v1_verifier import LoggableEntry, PemVerifier, read_signature, read_verifier
from sigcore.errors import Malformed, Refused
from sigcore.strict import Fields, encode_base64, parse_hex, shown
from sigcore.values import dataclass

_ALGORITHMS: Final = {algorithm.hashlib_name: algorithm for algorithm in HashAlgorithm}
_HASH: Final = b'"data":{"hash":{"algorithm":"%b","value":"%b"}}'
_HASHEDREKORD: Final = (
    b'{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{%b,"signature":{"content":"%%b","publicKey":{"content":"%%b"}}}}'
    % _HASH
)
_REKORD: Final = (
    b'{"apiVersion":"0.0.1","kind":"rekord","spec":{%b,"signature":{"content":"%%b","format":"x509",'
    b'"publicKey":{"content":"%%b"}}}}' % _HASH
)
"""Member names are in the order of RFC 8785 and all values are ASCII without anything to escape."""


@dataclass(frozen=True, slots=True)
class HashedRekordV1:
    """``signature`` is over ``digest``, made with ``algorithm``."""

    algorithm: HashAlgorithm
    digest: bytes
    signature: bytes
    verifier: PemVerifier

    def encode_body(self) -> bytes:
        """The canonical body. Verifying clients rebuild it from their bundle and compare."""
        return _HASHEDREKORD % _values(self.algorithm, self.digest, self.signature, self.verifier)

    def verify(self) -> LoggableEntry:
        """Check that the algorithm is the one of the key's kind and that the signature holds over the digest.

        Raises:
            Refused: one of them does not hold.
        """
        expected = keys.digest_details(self.verifier.key).hash
        if self.algorithm is not expected:
            raise Refused(
                f"the digest is of {self.algorithm.hashlib_name}, a key of this kind signs {expected.hashlib_name}"
            )
        keys.verify_digest(self.verifier.key, self.signature, self.digest, what="the entry's signature")
        keys_ = _index_keys(self.verifier, self.algorithm, self.digest)
        return LoggableEntry(self.encode_body(), keys_, (self.verifier,))


@dataclass(frozen=True, slots=True)
class RekordV1:
    """``signature`` is over ``content``, which the log hashes and forgets."""

    content: bytes
    signature: bytes
    verifier: PemVerifier

    def verify(self) -> LoggableEntry:
        """Check the signature over the content: ECDSA and RSA with SHA-256, Ed25519 as it is. Refused otherwise."""
        dsse.verify_signature(self.content, self.signature, self.verifier.key, what="the entry's signature")
        algorithm, digest = HashAlgorithm.SHA2_256, hashlib.sha256(self.content).digest()
        body = _REKORD % _values(algorithm, digest, self.signature, self.verifier)
        return LoggableEntry(body, _index_keys(self.verifier, algorithm, digest), (self.verifier,))


def _values(
    algorithm: HashAlgorithm, digest: bytes, signature: bytes, verifier: PemVerifier
) -> tuple[bytes, bytes, bytes, bytes]:
    texts = algorithm.hashlib_name, digest.hex(), encode_base64(signature), encode_base64(verifier.pem)
    name, value, content, key = (text.encode("ascii") for text in texts)
    return name, value, content, key


def _index_keys(verifier: PemVerifier, algorithm: HashAlgorithm, digest: bytes) -> tuple[str, ...]:
    return (verifier.fingerprint, *verifier.subjects, f"{algorithm.hashlib_name}:{digest.hex()}")


# --- parse -----------------------------------------------------------------------------------------------
def parse_hashedrekord(spec: Fields) -> HashedRekordV1:
    """The ``spec`` of hashedrekord 0.0.1; proposed and canonical form are the same. Malformed when it is not that."""
    spec.only("data", "signature")
    data, signature = spec.object("data"), spec.object("signature")
    data.only("hash")
    signature.only("content", "publicKey")
    algorithm, digest = _read_hash(data.object("hash"))
    verifier = _read_key(signature.object("publicKey"))
    return HashedRekordV1(algorithm, digest, read_signature(signature, "content"), verifier)


def parse_rekord(spec: Fields) -> RekordV1:
    """The ``spec`` of rekord 0.0.1 with the file in it. Malformed when it is not that; Refused for other formats than x509."""
    spec.only("data", "signature")
    data, signature = spec.object("data"), spec.object("signature")
    data.only("hash", "content")
    signature.only("format", "content", "publicKey")
    if (form := signature.text("format")) != "x509":
        raise Refused(f"{signature.path}.format is {shown(form)}, this log takes x509", "sign with an x509 key")
    content = data.base64("content", limit=limits.LOG_REQUEST)
    if "hash" in data:
        named = _read_hash(data.object("hash"))
        if named != (HashAlgorithm.SHA2_256, hashlib.sha256(content).digest()):
            raise Malformed(f"{data.path}.hash is not the SHA-256 of the content", "leave it out: the log computes it")
    return RekordV1(content, read_signature(signature, "content"), _read_key(signature.object("publicKey")))


def _read_key(fields: Fields) -> PemVerifier:
    fields.only("content")
    return read_verifier(fields, "content")


def _read_hash(fields: Fields) -> tuple[HashAlgorithm, bytes]:
    fields.only("algorithm", "value")
    name = fields.text("algorithm")
    algorithm = _ALGORITHMS.get(name)
    if algorithm is None:
        raise Malformed(f"{fields.path}.algorithm is {shown(name)}, expected one of {', '.join(_ALGORITHMS)}")
    return algorithm, parse_hex(fields.text("value"), what=f"{fields.path}.value", size=algorithm.size)
