# SPDX-License-Identifier: Apache-2.0
"""Signed certificate timestamps: a CT log's promise to include a certificate, and the precertificate it is made for.

Wire forms (TLS presentation language, numbers big-endian, <n> is a length field of n bytes):

    TimestampedEntry    u64 timestamp_ms, u16 type, entry, <2> extensions
        type 0          x509_entry: <3> certificate
        type 1          precert_entry: 32 bytes issuer key hash, <3> TBS
    MerkleTreeLeaf      u8 version 0, u8 timestamped_entry 0, TimestampedEntry
    signed by the SCT   u8 version 0, u8 certificate_timestamp 0, TimestampedEntry
    DigitallySigned     u8 hash 4 (SHA-256), u8 signature 3 (ECDSA) or 1 (RSA), <2> signature
    SCT                 u8 version 0, 32 bytes log id, u64 timestamp_ms, <2> extensions, DigitallySigned
    SCT list            <2> of (<2> SCT), at least one

Source: RFC 6962 sections 3.1 to 3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import der, keys, limits, tls
from sigcore.errors import Malformed, Refused
from sigcore.extensions import POISON, SCT_LIST
from sigcore.keys import PrivateKey, PublicKey
from sigcore.values import dataclass
from sigcore.x509 import Certificate

POISON_OID: Final = POISON
SCT_LIST_OID: Final = SCT_LIST
HASH_SIZE: Final = 32
_VERSION, _SHA256, _RSA, _ECDSA = 0, 4, 1, 3
_X509_ENTRY, _PRECERT_ENTRY = 0, 1
_CERTIFICATE_TIMESTAMP, _TREE_HASH = 0, 1
_TIMESTAMPED_ENTRY = 0
_EC_KEY: Final = (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey)
_X509_HEAD, _PRECERT_HEAD = tls.uint16(_X509_ENTRY), tls.uint16(_PRECERT_ENTRY)
_LEAF_HEAD: Final = bytes((_VERSION, _TIMESTAMPED_ENTRY))
_SIGNED_HEAD: Final = bytes((_VERSION, _CERTIFICATE_TIMESTAMP))


@dataclass(frozen=True, slots=True)
class SignedCertificateTimestamp:
    """``log_id`` is SHA-256 of the log's SPKI; ``timestamp_ms`` counts from the Unix epoch; the hash is SHA-256."""

    log_id: bytes
    timestamp_ms: int
    extensions: bytes
    signature: bytes
    signature_algorithm: int = _ECDSA
    """TLS SignatureAlgorithm: 3 is ECDSA, 1 is RSA PKCS#1 v1.5."""


@dataclass(frozen=True, slots=True)
class X509Entry:
    """A final certificate (DER): entry type 0."""

    certificate: bytes


@dataclass(frozen=True, slots=True)
class PrecertEntry:
    """A TBSCertificate without poison and SCT list, bound to SHA-256 of the issuer's SPKI: entry type 1."""

    issuer_key_hash: bytes
    tbs: bytes


Entry: TypeAlias = X509Entry | PrecertEntry


# --- leaves ------------------------------------------------------------------------------------------
def encode_leaf(entry: Entry, timestamp_ms: int, extensions: bytes = b"") -> bytes:
    """MerkleTreeLeaf (section 3.4)."""
    return b"".join((_LEAF_HEAD, *_timestamped(entry, timestamp_ms, extensions)))


def parse_leaf(data: bytes) -> tuple[Entry, int, bytes]:
    """(entry, timestamp in milliseconds, extensions) of a MerkleTreeLeaf.

    Raises:
        Malformed: truncated, bytes left over, another version, leaf type or entry type.
    """
    reader = tls.Reader(data, "the CT leaf")
    _expect(reader, 1, _VERSION, "version")
    _expect(reader, 1, _TIMESTAMPED_ENTRY, "leaf type")
    timestamp_ms = reader.uint(8)
    entry_type = reader.uint(2)
    entry: Entry
    if entry_type == _X509_ENTRY:
        entry = X509Entry(reader.opaque(3))
    elif entry_type == _PRECERT_ENTRY:
        entry = PrecertEntry(reader.fixed(HASH_SIZE), reader.opaque(3))
    else:
        raise Malformed(f"the CT leaf has entry type {entry_type}, expected {_X509_ENTRY} or {_PRECERT_ENTRY}")
    extensions = reader.opaque(2)
    reader.finish()
    return entry, timestamp_ms, extensions


def _timestamped(entry: Entry, timestamp_ms: int, extensions: bytes) -> tuple[bytes, ...]:
    head, tail = tls.uint64(timestamp_ms), tls.opaque(extensions, 2)
    if isinstance(entry, X509Entry):
        return head, _X509_HEAD, tls.opaque(entry.certificate, 3), tail
    _check_hash(entry.issuer_key_hash, "issuer key hash")
    return head, _PRECERT_HEAD, entry.issuer_key_hash, tls.opaque(entry.tbs, 3), tail


# --- sign and verify -----------------------------------------------------------------------------------
def signed_data(entry: Entry, timestamp_ms: int, extensions: bytes = b"") -> bytes:
    """What an SCT signs (section 3.2)."""
    return b"".join((_SIGNED_HEAD, *_timestamped(entry, timestamp_ms, extensions)))


def sth_signed_data(size: int, timestamp_ms: int, root: bytes) -> bytes:
    """What a signed tree head signs (section 3.5): version 0, tree_hash 1, timestamp, size, root."""
    _check_hash(root, "tree head root")
    return tls.uint8(_VERSION) + tls.uint8(_TREE_HASH) + tls.uint64(timestamp_ms) + tls.uint64(size) + root


def sign_sct(entry: Entry, timestamp_ms: int, key: PrivateKey, log_id: bytes = b"") -> SignedCertificateTimestamp:
    """The SCT for ``entry``, without extensions.

    ``log_id`` is that of ``key``; who knows it may give it.

    Raises:
        Refused: the key is neither ECDSA P-256 nor RSA (section 2.1.4).
    """
    algorithm = _signature_algorithm(key)
    signature = keys.sign(key, signed_data(entry, timestamp_ms))
    return SignedCertificateTimestamp(log_id or _log_id(key.public_key()), timestamp_ms, b"", signature, algorithm)


def verify_sct(sct: SignedCertificateTimestamp, entry: Entry, key: PublicKey, log_id: bytes = b"") -> None:
    """Check the log's signature. The caller checks that the log is trusted at the SCT's time.

    ``log_id`` is that of ``key``; who knows it may give it.

    Raises:
        Refused: of another log, signed in another way than the key signs, or the signature does not verify.
    """
    log_id = log_id or _log_id(key)
    if sct.log_id != log_id:
        raise Refused(f"the SCT is of the log {sct.log_id.hex()}, the key is of {log_id.hex()}")
    algorithm = _signature_algorithm(key)
    if sct.signature_algorithm != algorithm:
        raise Refused(f"the SCT has signature algorithm {sct.signature_algorithm}, the log's key needs {algorithm}")
    message = signed_data(entry, sct.timestamp_ms, sct.extensions)
    keys.verify(key, sct.signature, message, what="the SCT's signature")


def verify_tree_head(*, size: int, timestamp_ms: int, root: bytes, signed: bytes, key: PublicKey) -> None:
    """That the log with ``key`` has signed the tree head; ``signed`` is a DigitallySigned (section 3.5).

    Raises:
        Malformed: ``signed`` is none. Refused: another algorithm than the key's, or the signature does not hold.
    """
    algorithm, signature = parse_digitally_signed(signed)
    if algorithm != _signature_algorithm(key):
        raise Refused(f"the tree head has signature algorithm {algorithm}, which is not the log's key's")
    keys.verify(key, signature, sth_signed_data(size, timestamp_ms, root), what="the signature of the tree head")


def _log_id(key: PublicKey) -> bytes:
    return keys.key_id(keys.encode_public_key(key))


@lru_cache(maxsize=16)
def _is_a(found: type, *expected: type) -> bool:
    """Kept: a question about an abstract class takes as long as ten calls."""
    return issubclass(found, expected)


def _signature_algorithm(key: PublicKey | PrivateKey) -> int:
    if _is_a(type(key), *_EC_KEY) and isinstance(key.curve, ec.SECP256R1):  # type: ignore[union-attr]  # as it says
        return _ECDSA
    if keys.is_rsa(key) or keys.is_private_rsa(key):
        return _RSA
    raise Refused("the CT log's key is neither ECDSA P-256 nor RSA", "RFC 6962 section 2.1.4 knows no other")


# --- bytes <-> SCTs ------------------------------------------------------------------------------------
def encode_digitally_signed(sct: SignedCertificateTimestamp) -> bytes:
    """DigitallySigned: the ``signature`` of the answer to add-chain (section 4.1), in binary."""
    return bytes((_SHA256, sct.signature_algorithm)) + tls.opaque(sct.signature, 2)


def parse_digitally_signed(data: bytes) -> tuple[int, bytes]:
    """(signature algorithm, signature) of a DigitallySigned.

    Raises:
        Malformed: truncated, bytes left over, another hash than SHA-256, neither ECDSA nor RSA.
    """
    reader = tls.Reader(data, "the DigitallySigned")
    signed = _read_digitally_signed(reader)
    reader.finish()
    return signed


def encode_sct(sct: SignedCertificateTimestamp) -> bytes:
    """SignedCertificateTimestamp (section 3.2)."""
    _check_hash(sct.log_id, "log id")
    head = bytes((_VERSION,)) + sct.log_id + tls.uint64(sct.timestamp_ms)
    return head + tls.opaque(sct.extensions, 2) + encode_digitally_signed(sct)


def parse_sct(data: bytes) -> SignedCertificateTimestamp:
    """The inverse of :func:`encode_sct`.

    Raises:
        Malformed: truncated, bytes left over, another version, hash or signature algorithm.
    """
    reader = tls.Reader(data, "the SCT")
    _expect(reader, 1, _VERSION, "version")
    log_id, timestamp_ms, extensions = reader.fixed(HASH_SIZE), reader.uint(8), reader.opaque(2)
    algorithm, signature = _read_digitally_signed(reader)
    reader.finish()
    return SignedCertificateTimestamp(log_id, timestamp_ms, extensions, signature, algorithm)


def encode_sct_list(scts: Sequence[SignedCertificateTimestamp]) -> bytes:
    """SignedCertificateTimestampList (section 3.3): the content of the OCTET STRING inside the extension's value."""
    if not scts:
        raise Malformed("an SCT list has at least one SCT")
    return tls.opaque(b"".join(tls.opaque(encode_sct(sct), 2) for sct in scts), 2)


def parse_sct_list(data: bytes) -> tuple[SignedCertificateTimestamp, ...]:
    """The inverse of :func:`encode_sct_list`.

    Raises:
        Malformed: truncated, bytes left over, empty, or an SCT that :func:`parse_sct` refuses.
    """
    usual = _usual_list(data)
    if usual is not None:
        return usual
    outer = tls.Reader(data, "the SCT list")
    reader = tls.Reader(outer.opaque(2), "the SCT list")
    outer.finish()
    scts = []
    while not reader.at_end:
        scts.append(parse_sct(reader.opaque(2)))
    if not scts:
        raise Malformed("the SCT list is empty, expected at least one SCT")
    return tuple(scts)


_ONE_SCT: Final = Struct(">HHB32sQHBBH")
"""What stands before the signature in a list of one SCT without extensions."""


def _usual_list(data: bytes) -> tuple[SignedCertificateTimestamp] | None:
    """:func:`parse_sct_list` of a list of one SCT without extensions, as nearly all are; None for others, good or bad."""
    if len(data) < _ONE_SCT.size:
        return None
    whole, one, version, log_id, timestamp_ms, extensions, hashing, algorithm, size = _ONE_SCT.unpack_from(data)
    if (whole, one, size) != (len(data) - 2, len(data) - 4, len(data) - _ONE_SCT.size) or size > limits.SIGNATURE:
        return None
    if (version, extensions, hashing) != (_VERSION, 0, _SHA256) or algorithm not in (_ECDSA, _RSA):
        return None
    return (SignedCertificateTimestamp(log_id, timestamp_ms, b"", data[_ONE_SCT.size :], algorithm),)


def _read_digitally_signed(reader: tls.Reader) -> tuple[int, bytes]:
    _expect(reader, 1, _SHA256, "hash algorithm")
    algorithm = reader.uint(1)
    if algorithm not in (_ECDSA, _RSA):
        raise Malformed(f"{reader.what} has signature algorithm {algorithm}, expected {_ECDSA} or {_RSA}")
    return algorithm, reader.opaque(2, limits.SIGNATURE)


def _expect(reader: tls.Reader, size: int, expected: int, name: str) -> None:
    found = reader.uint(size)
    if found != expected:
        raise Malformed(f"{reader.what} has {name} {found}, expected {expected}")


def _check_hash(data: bytes, what: str) -> None:
    if len(data) != HASH_SIZE:
        raise Malformed(f"the {what} has {len(data)} bytes, expected {HASH_SIZE}")


# --- certificates ----------------------------------------------------------------------------------------
def embedded_scts(certificate: Certificate) -> tuple[SignedCertificateTimestamp, ...]:
    """The SCTs in a final certificate (section 3.3): the list is in an OCTET STRING of its own within the extension.

    Raises:
        Malformed: the list cannot be read. Refused: the certificate has none.
    """
    extension = certificate.extension(SCT_LIST_OID)
    if extension is None:
        raise Refused("the certificate has no SCT list", "it was not submitted to a CT log, or is a precertificate")
    reader = der.Reader(extension.value, "the SCT list extension")
    scts = parse_sct_list(reader.octet_string())
    reader.finish()
    return scts
