# SPDX-License-Identifier: Apache-2.0
"""Keys: SPKI and PKCS#8 forms, ids, strength rules, sign and verify by key type.

Sources: RFC 5280 section 4.1.2.7 (SubjectPublicKeyInfo), RFC 7468 (PEM), RFC 5958 (PKCS#8), FIPS 186-5.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NewType, TypeAlias, TypeGuard

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from sigcore import limits
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.ecdsa import Ecdsa
from sigcore.errors import Malformed, Refused
from sigcore.strict import encode_base64, parse_base64

if TYPE_CHECKING:  # Imported where an RSA key is met, which is seldom: a verifier of other keys starts a tenth faster.
    from cryptography.hazmat.primitives.asymmetric import rsa

PublicKey: TypeAlias = "ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey"
PrivateKey: TypeAlias = "ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey"
KeyId = NewType("KeyId", bytes)
"""SHA-256 of the SPKI DER: RFC 6962 log id, Rekor v1 log id, TUF-independent."""

_HASHES: dict[HashAlgorithm, hashes.HashAlgorithm] = {
    HashAlgorithm.SHA2_256: hashes.SHA256(),
    HashAlgorithm.SHA2_384: hashes.SHA384(),
    HashAlgorithm.SHA2_512: hashes.SHA512(),
}
_PREHASHED = {algorithm: utils.Prehashed(hash_) for algorithm, hash_ in _HASHES.items()}
_ECDSA = {algorithm: Ecdsa(hash_) for algorithm, hash_ in _HASHES.items()}
_ECDSA_PREHASHED = {algorithm: Ecdsa(hash_) for algorithm, hash_ in _PREHASHED.items()}
_P256_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""SubjectPublicKeyInfo of P-256 up to the coordinates (RFC 5480 section 2; 04: uncompressed)."""
_CURVES = {"secp256r1": 256, "secp384r1": 384, "secp521r1": 521}
_RSA_SIZES = (2048, 3072, 4096)
RSA_EXPONENT = 65537


_DEFAULTS = {
    (family, size): next(d for d in KeyDetails if d.value.family == family and d.value.size == size)
    for family, sizes in (("ecdsa", _CURVES.values()), ("rsa-pkcs1v15", _RSA_SIZES))
    for size in sizes
}
"""Family and size -> the first row of the registry that fits."""
_BY_CURVE = {name: _DEFAULTS["ecdsa", size] for name, size in _CURVES.items()}
_USUAL: Final = {name: (details, details.hash, _ECDSA_PREHASHED[details.hash]) for name, details in _BY_CURVE.items()}
"""The same with its hash, and what verifies a digest by it: calls to look up."""
_NO_CURVE: Final[tuple[None, None, None]] = (None, None, None)


# --- bytes <-> keys --------------------------------------------------------------------------------
_SPKI: Final[dict[str, tuple[bytes, ec.EllipticCurve, int]]] = {
    "secp256r1": (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), ec.SECP256R1(), 32),
    "secp384r1": (bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), ec.SECP384R1(), 48),
    "secp521r1": (bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"), ec.SECP521R1(), 66),
}
"""Curve -> what stands before the two coordinates of a point in its SPKI, and the size of each (RFC 5480 section 2)."""
_ED25519_SPKI: Final = bytes.fromhex("302a300506032b6570032100")
"""What stands before the key (RFC 8410 section 4)."""
_PSS_ALGORITHM: Final = bytes.fromhex("06092a864886f70d01010a")
_PSS_WITHIN: Final = 24
"""The object identifier of RSASSA-PSS (RFC 4055 section 1.2), and where in an SPKI or PKCS#8 it stands."""
_PEM_HEAD: Final = 4 * _PSS_WITHIN // 3
"""Characters of base64 for as many bytes."""


def parse_public_key(der: bytes, *, what: str = "the public key") -> PublicKey:
    """An SPKI in DER; decode, re-encode, compare.

    The four forms that nearly all keys have are compared with their fixed beginnings, which leave no second spelling. For
    the others the library's loader is imported: it costs 7 ms, half a start of Python.

    Raises:
        Malformed: not one DER SubjectPublicKeyInfo, or of a kind outside the registry.
    """
    if len(der) > limits.PUBLIC_KEY:
        raise Malformed(f"{what} is {len(der)} bytes long, the limit is {limits.PUBLIC_KEY}")
    try:
        fixed = _parse_fixed(der)
    except ValueError as error:
        raise Malformed(f"{what} is not a DER SubjectPublicKeyInfo: its point is not on the curve") from error
    if fixed is not None:
        return fixed
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - see the docstring

    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed(f"{what} is not a DER SubjectPublicKeyInfo") from error
    if not is_public_key(key):
        raise Malformed(f"{what} is of a kind that is not supported", "use ECDSA P-256/384/521, Ed25519 or RSA")
    refuse_pss_alone(der, what)
    # An uncompressed point behind the one head of its curve has no other spelling: most keys need no second look.
    if not (len(der) == len(_P256_HEAD) + 64 and der.startswith(_P256_HEAD)) and encode_public_key(key) != der:
        raise Malformed(f"{what} is not in canonical DER")
    return key


@lru_cache(maxsize=512)
def _parse_fixed(der: bytes) -> PublicKey | None:
    """The key of one of the fixed forms, or None. Kept: one verification asks for the same few keys ten times."""
    for head, curve, size in _SPKI.values():
        if der.startswith(head) and len(der) == len(head) + 2 * size:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + der[len(head) :])
    if der.startswith(_ED25519_SPKI) and len(der) == len(_ED25519_SPKI) + 32:
        return ed25519.Ed25519PublicKey.from_public_bytes(der[len(_ED25519_SPKI) :])
    return None


def parse_public_key_pem(pem: str | bytes, *, what: str = "the public key") -> PublicKey:
    """A ``PUBLIC KEY`` PEM block (RFC 7468 section 13)."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as in parse_public_key

    data = pem.encode("utf-8", "surrogateescape") if isinstance(pem, str) else pem
    if len(data) > limits.PUBLIC_KEY:
        raise Malformed(f"{what} is {len(data)} bytes long, the limit is {limits.PUBLIC_KEY}")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed(f"{what} is not a PEM public key", "expected BEGIN PUBLIC KEY") from error
    if not is_public_key(key):
        raise Malformed(f"{what} is of a kind that is not supported", "use ECDSA P-256/384/521, Ed25519 or RSA")
    refuse_pss_alone(_pem_begins(data), what)
    return key


def refuse_pss_alone(der: bytes, what: str) -> None:
    """An SPKI or PKCS#8 may say that its RSA key is for PSS alone (RFC 4055 section 3.1). The library reads it and drops that.

    Raises:
        Malformed: it says so.
    """
    if _PSS_ALGORITHM in der[:_PSS_WITHIN]:
        raise Malformed(
            f"{what} is for RSASSA-PSS alone, which is not supported", "use ECDSA P-256/384/521, Ed25519 or RSA"
        )


def _pem_begins(pem: bytes) -> bytes:
    """The first bytes in a PEM block; none where it is encrypted, or written in another way than usual."""
    body = b"".join(pem.partition(b" KEY-----")[2].partition(b"-----END")[0].split())
    try:
        return parse_base64(body[:_PEM_HEAD].decode("latin-1"), what="the block")
    except Malformed:
        return b""


def encode_public_key(key: PublicKey) -> bytes:
    """SPKI in DER."""
    if is_ecdsa(key) and key.curve.name in _SPKI:
        head, _, size = _SPKI[key.curve.name]
        point = key.public_numbers()
        return head + point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _ED25519_SPKI + key.public_bytes_raw()
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as in parse_public_key

    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def encode_public_key_pem(key: PublicKey) -> str:
    """SPKI in PEM, 64-character lines, final newline."""
    text = encode_base64(encode_public_key(key))
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))


def parse_private_key(
    pem: bytes, passphrase: bytes | None = None, *, what: str = "the private key", ours: bool = False
) -> PrivateKey:
    """PKCS#8 in PEM, decrypted when a passphrase is given.

    ``ours`` says that the file is one that we wrote where only we can write: an RSA key is then taken without testing its
    primes again, which costs 50 ms and holds up everything else in the process.

    Raises:
        Malformed: not such a PEM. Refused: the passphrase is wrong, missing or superfluous.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as in parse_public_key

    try:
        key = serialization.load_pem_private_key(pem, passphrase, unsafe_skip_rsa_key_validation=ours)
    except TypeError as error:
        needed = "is not encrypted" if passphrase else "is encrypted"
        raise Refused(f"{what} {needed}", "give the passphrase that it was written with, or none") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if passphrase:
            raise Refused(f"{what} cannot be decrypted", "check the passphrase") from error
        raise Malformed(f"{what} is not a PKCS#8 PEM", "expected BEGIN PRIVATE KEY, or cosign's own format") from error
    if not is_private_key(key):
        raise Malformed(f"{what} is of a kind that is not supported", "use ECDSA P-256/384/521, Ed25519 or RSA")
    refuse_pss_alone(_pem_begins(pem), what)
    return key


def encode_private_key(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 in PEM, encrypted (PBES2, the library's best) when a passphrase is given."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as in parse_public_key

    cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        cipher = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


def generate_p256() -> ec.EllipticCurvePrivateKey:
    """A fresh ECDSA P-256 key: signing 23 us, verifying 64 us, accepted by every client."""
    return ec.generate_private_key(ec.SECP256R1())


def key_id(spki: bytes) -> KeyId:
    """SHA-256 of the SPKI DER (RFC 6962 section 3.2)."""
    return KeyId(hashlib.sha256(spki).digest())


@lru_cache(maxsize=16)
def _is_ecdsa_type(kind: type) -> bool:
    return issubclass(kind, ec.EllipticCurvePublicKey)


def is_ecdsa(key: PublicKey) -> TypeGuard[ec.EllipticCurvePublicKey]:
    """``isinstance`` of a class that the library registers, for what is asked a hundred times in one verification."""
    return _is_ecdsa_type(type(key))


@lru_cache(maxsize=16)
def _is_rsa_type(kind: type, *, private: bool) -> bool:
    from sigcore import rsa_keys  # noqa: PLC0415 - see there

    return rsa_keys.is_private(kind) if private else rsa_keys.is_public(kind)


def is_rsa(key: Any) -> TypeGuard[rsa.RSAPublicKey]:
    """``isinstance`` that imports the library's part for RSA. Ask about the other kinds before."""
    return _is_rsa_type(key.__class__, private=False)


def is_private_rsa(key: Any) -> TypeGuard[rsa.RSAPrivateKey]:
    """As :func:`is_rsa`, of private keys."""
    return _is_rsa_type(key.__class__, private=True)


def is_private_key(key: Any) -> TypeGuard[PrivateKey]:
    """Whether it is a private key of a kind that is supported."""
    return isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) or is_private_rsa(key)


def is_public_key(key: Any) -> TypeGuard[PublicKey]:
    """Whether it is a public key of a kind that is supported."""
    return isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) or is_rsa(key)


# --- registry ----------------------------------------------------------------------------------------
def check_strength(key: PublicKey, *, what: str = "the public key") -> None:
    """Refuse keys that no service of ours should certify: other curves, RSA below 2048 bits, odd exponents."""
    if is_ecdsa(key):
        if key.curve.name not in _CURVES:
            raise Refused(f"{what} is on curve {key.curve.name}", "use P-256, P-384 or P-521")
    elif not isinstance(key, ed25519.Ed25519PublicKey) and is_rsa(key):
        if key.key_size not in _RSA_SIZES:
            raise Refused(f"{what} is RSA with {key.key_size} bits", "use 2048, 3072 or 4096 bits")
        if key.public_numbers().e != RSA_EXPONENT:
            raise Refused(f"{what} is RSA with an unusual exponent", f"use {RSA_EXPONENT}")


def default_details(key: PublicKey) -> KeyDetails:
    """The PublicKeyDetails that goes with a key when nothing else is said: what sigstore-go rebuilds entries with."""
    if is_ecdsa(key) and (own := _BY_CURVE.get(key.curve.name)) is not None:
        return own
    check_strength(key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyDetails.PKIX_ED25519
    return _DEFAULTS["rsa-pkcs1v15", key.key_size]


def digest_details(key: PublicKey) -> KeyDetails:
    """:func:`default_details` of a signer who hashes first: Ed25519 is Ed25519ph then."""
    if not is_ecdsa(key) and isinstance(key, ed25519.Ed25519PublicKey):
        return KeyDetails.PKIX_ED25519_PH
    return default_details(key)


def _matches(key: PublicKey, details: KeyDetails) -> bool:
    scheme = details.value
    if is_ecdsa(key):
        return scheme.family == "ecdsa" and _CURVES.get(key.curve.name) == scheme.size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return scheme.family.startswith("ed25519")
    return scheme.family.startswith("rsa") and is_rsa(key) and key.key_size == scheme.size


# --- sign and verify -----------------------------------------------------------------------------------
def sign(key: PrivateKey, message: bytes) -> bytes:
    """Sign ``message`` with the key's default scheme: ECDSA (DER) with the curve's hash, Ed25519, RSA PKCS#1 v1.5."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        details = _BY_CURVE.get(key.curve.name) or default_details(key.public_key())  # the latter refuses
        return key.sign(message, _ECDSA[details.hash])
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    from sigcore import rsa_keys  # noqa: PLC0415 - see there

    return rsa_keys.sign(key, message, _HASHES[default_details(key.public_key()).hash])


def sign_digest(key: PrivateKey, digest: bytes) -> bytes:
    """As :func:`sign`, over a message of which only the digest (by the key's default hash) is known.

    Raises:
        Refused: an Ed25519 key, which signs messages; a digest of another length.
    """
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raise Refused(
            "an Ed25519 key cannot sign a digest, which is all that a log is given of a file",
            "use an ECDSA or RSA key; Ed25519 signs whole messages",
        )
    hashing = default_details(key.public_key()).hash
    if len(digest) != hashing.size:
        raise Refused(
            f"the digest has {len(digest)} bytes, a key of this kind signs the {hashing.size} of {hashing.name}"
        )
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(digest, _ECDSA_PREHASHED[hashing])
    from sigcore import rsa_keys  # noqa: PLC0415 - see there

    return rsa_keys.sign(key, digest, _PREHASHED[hashing])


def verify(key: PublicKey, signature: bytes, message: bytes, *, what: str, details: KeyDetails | None = None) -> None:
    """Check ``signature`` over ``message``; ``details`` defaults to :func:`default_details`.

    Raises:
        Refused: the signature does not verify, or ``details`` do not fit the key. ``what`` names it.
    """
    try:
        if is_ecdsa(key):
            usual, hashing, prehashed = _USUAL.get(key.curve.name, _NO_CURVE)
            if hashing is not None and prehashed is not None and (details is None or details is usual):
                # The library looks at a hash that it is to make in four calls of Python, at one that is made in none.
                key.verify(signature, hashing.digest(message), prehashed)
                return
        details = details or default_details(key)
        if details.value.family == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
            return
    except InvalidSignature as error:
        raise Refused(f"{what} does not verify") from error
    verify_digest(key, signature, details.hash.digest(message), what=what, details=details)


def verify_digest(
    key: PublicKey,
    signature: bytes,
    digest: bytes,
    *,
    what: str,
    details: KeyDetails | None = None,
    hashing: HashAlgorithm | None = None,
) -> None:
    """Check ``signature`` over a message of which only the digest is known; ``details`` defaults to :func:`digest_details`.

    Pure Ed25519 cannot do that.

    ``hashing`` names another hash than that of the details. Only ECDSA may have one: clients used to sign with P-384 keys
    over SHA-256, and the logs of that time took it.

    Raises:
        Refused: the signature does not verify, the digest has the wrong length, or ``details`` do not fit the key.
    """
    if is_ecdsa(key):
        usual, own, _ = _USUAL.get(key.curve.name, _NO_CURVE)
        if (
            own is not None
            and (details is None or details is usual)
            and (hashing is None or hashing is own)
            and len(digest) == own.size
        ):
            _verify_ecdsa_digest(key, signature, digest, own, what)
            return
    details = details or digest_details(key)
    scheme = details.value
    hashing = hashing or scheme.hash
    if hashing is not scheme.hash and scheme.family != "ecdsa":
        raise Refused(f"{what} is over a {hashing.name} digest, a key of this kind signs {scheme.hash.name}")
    if not _matches(key, details):
        raise Refused(
            f"{what}: key details {details.name} do not fit the key", "name the details of the key's own type"
        )
    if len(digest) != hashing.size:
        raise Refused(f"{what}: the digest has {len(digest)} bytes, {hashing.name} has {hashing.size}")
    if is_ecdsa(key):
        _verify_ecdsa_digest(key, signature, digest, hashing, what)
    elif scheme.family.startswith("rsa") and is_rsa(key):
        _verify_rsa_digest(key, signature, digest, details, what)
    elif scheme.family == "ed25519ph" and isinstance(key, ed25519.Ed25519PublicKey):
        from sigcore import ed25519ph  # noqa: PLC0415 - few signatures are of this kind, and its constants take time to make

        ed25519ph.verify(key.public_bytes_raw(), signature, digest, what=what)
    else:
        raise Refused(f"{what}: Ed25519 signs whole messages and not digests", "sign with Ed25519ph, ECDSA or RSA")


def _verify_ecdsa_digest(
    key: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes, hashing: HashAlgorithm, what: str
) -> None:
    try:
        key.verify(signature, digest, _ECDSA_PREHASHED[hashing])
    except InvalidSignature as error:
        raise Refused(f"{what} does not verify") from error


def _verify_rsa_digest(key: rsa.RSAPublicKey, signature: bytes, digest: bytes, details: KeyDetails, what: str) -> None:
    from sigcore import rsa_keys  # noqa: PLC0415 - see there

    is_pss = details.value.family == "rsa-pss"
    try:
        if is_pss:
            rsa_keys.verify_pss(key, signature, digest, _HASHES[details.hash])
        else:
            rsa_keys.verify(key, signature, digest, _PREHASHED[details.hash])
    except InvalidSignature as error:
        if not is_pss:
            rsa_keys.refuse_pss(key, signature, digest, _HASHES[details.hash], what)
        raise Refused(f"{what} does not verify") from error
