# SPDX-License-Identifier: Apache-2.0
"""Entries of the transparency log: what clients send, what is verified, and the canonical body that is hashed.

hashedrekord 0.0.2: a signature over a digest, with the certificate or key that verifies it. Verifying clients rebuild the
body from their bundle and hash it, so the bytes that were sent (certificate, key, signature, digest) go into it unaltered.

Sources: rekor-tiles ``api/proto/rekor/v2`` (HashedRekordRequestV002, Verifier, Entry), ``pkg/types/hashedrekord``,
``pkg/verifier``; RFC 8785 for the form of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sigcore import keys, limits, x509
from sigcore.algorithms import KeyDetails
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from sigcore.patterns import pattern
from sigcore.strict import JSON, Fields, base64_characters, encode_base64, parse_base64, parse_plain_json, shown
from sigcore.values import dataclass

HASHEDREKORD: Final = "hashedrekord"
VERSION_002: Final = "0.0.2"

REKOR_V2_DETAILS: Final = frozenset(
    {
        KeyDetails.PKIX_RSA_PKCS1V15_2048_SHA256,
        KeyDetails.PKIX_RSA_PKCS1V15_3072_SHA256,
        KeyDetails.PKIX_RSA_PKCS1V15_4096_SHA256,
        KeyDetails.PKIX_ECDSA_P256_SHA_256,
        KeyDetails.PKIX_ECDSA_P384_SHA_384,
        KeyDetails.PKIX_ECDSA_P521_SHA_512,
        KeyDetails.PKIX_ED25519_PH,
    }
)
"""Schemes that sign a digest, as rekor-tiles registers them. Pure Ed25519 needs the message, which the log never sees."""

_DETAILS: Final = dict(KeyDetails.__members__)
_DIGEST: Final = 64
"""Bytes of SHA-512."""
_STRINGS: Final = 12
"""Of a request: eight names and four values."""
_KIND: Final = pattern(rb'\{"apiVersion":"0\.0\.2","kind":"([a-z]+)",')
_SIGNATURE = b'"signature":{"content":"%b","verifier":{"keyDetails":"%b","%b":{"rawBytes":"%b"}}}'
_REQUEST: Final = b'{"hashedRekordRequestV002":{"digest":"%b",' + _SIGNATURE + b"}}"
_BODY: Final = (
    b'{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"%b","digest":"%b"},'
    + _SIGNATURE
    + b"}}}"
)
"""Member names are in the order of RFC 8785 and all values are ASCII without anything to escape."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """What verifies a signature: a certificate (DER) or a public key (SPKI DER), one of them, and how it signs."""

    details: KeyDetails
    certificate: bytes | None = None
    public_key: bytes | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) == (self.public_key is None):
            raise Malformed("a verifier is either a certificate or a public key")


@dataclass(frozen=True, slots=True)
class HashedRekord:
    """``signature`` is over ``digest``, whose hash algorithm the verifier's key details name."""

    digest: bytes
    signature: bytes
    verifier: Verifier


# --- verifiers ---------------------------------------------------------------------------------------
def certificate_verifier(der: bytes) -> Verifier:
    """The verifier that a client names for a certificate: its bytes, and the default details of its key."""
    return Verifier(keys.digest_details(x509.parse_certificate(der).public_key()), certificate=der)


def key_verifier(spki: bytes) -> Verifier:
    """The verifier that a client names for a bare public key."""
    return Verifier(keys.digest_details(keys.parse_public_key(spki)), public_key=spki)


def verification_key(verifier: Verifier) -> PublicKey:
    """The public key of a verifier. Nothing else of a certificate is looked at: the log vouches for no identity.

    Raises:
        Malformed: not a certificate, or not a public key.
    """
    if verifier.public_key is not None:
        return keys.parse_public_key(verifier.public_key, what="the verifier's public key")
    return x509.parse_certified_key(verifier.certificate or b"", what="the verifier's certificate")


def verifier_value(verifier: Verifier) -> dict[str, JSON]:
    """What :func:`parse_verifier` reads back."""
    member, raw = _member(verifier)
    return {"keyDetails": verifier.details.name, member: {"rawBytes": encode_base64(raw)}}


def _member(verifier: Verifier) -> tuple[str, bytes]:
    if verifier.certificate is not None:
        return "x509Certificate", verifier.certificate
    return "publicKey", verifier.public_key or b""


def verify_entry(entry: HashedRekord) -> None:
    """Check that the log may take ``entry``.

    1. The key details are among those that Rekor v2 allows.
    2. The key is of a kind and strength that we take.
    3. The details fit the key, the digest has the length of their hash, the signature verifies over the digest.

    Raises:
        Malformed: the certificate or key cannot be read. Refused: one of the checks fails.
    """
    details = entry.verifier.details
    if details not in REKOR_V2_DETAILS:
        raise Refused(
            f"the key details {details.name} are not allowed in this log",
            f"allowed: {', '.join(sorted(allowed.name for allowed in REKOR_V2_DETAILS))}",
        )
    key = verification_key(entry.verifier)
    keys.check_strength(key, what="the verifier's key")
    keys.verify_digest(key, entry.signature, entry.digest, what="the entry's signature", details=details)


# --- requests ----------------------------------------------------------------------------------------
def parse_request_v2(data: bytes) -> HashedRekord:
    """The body of ``POST /api/v2/log/entries`` about a hashedrekord; camelCase and snake_case names.

    Raises:
        Malformed: not strict JSON, an unknown or missing member, a value out of bounds.
    """
    return parse_plain_request(data) or parse_hashedrekord_request(parse_request_object(data))


def parse_request_object(data: bytes) -> Fields:
    """The body as one JSON object. Malformed when it is none."""
    return Fields.parse(data, what="the log request", limit=limits.LOG_REQUEST, proto=True)


def parse_hashedrekord_request(fields: Fields) -> HashedRekord:
    """The request object with its one member ``hashedRekordRequestV002``. Malformed when it is not that."""
    fields.only("hashedRekordRequestV002")
    request = fields.object("hashedRekordRequestV002")
    request.only("digest", "signature")
    return _parse_signature(request.object("signature"), _digest(request))


def parse_plain_request(data: bytes) -> HashedRekord | None:
    """What :func:`parse_hashedrekord_request` reads out of the form that clients send; None for any other form, and for errors.

    1. Count the strings. With as many as the shape has, and each of them found in its place, there is nothing else.
    2. Take the values in their bounds.
    3. Decode, re-encode, compare.
    """
    if len(data) > limits.LOG_REQUEST:
        return None
    value: Any = parse_plain_json(data, strings=_STRINGS)
    try:  # names in place; a pattern of mappings takes three times as long
        request = value["hashedRekordRequestV002"]
        digest, signed = request["digest"], request["signature"]
        content, holder = signed["content"], signed["verifier"]
        details = _DETAILS.get(holder["keyDetails"])
        certified = "x509Certificate" in holder
        raw = holder["x509Certificate" if certified else "publicKey"]["rawBytes"]
    except (KeyError, TypeError):
        return None
    if details is None or not type(digest) is type(content) is type(raw) is str:
        return None
    limit = limits.CERTIFICATE if certified else limits.PUBLIC_KEY
    bounded = ((digest, _DIGEST), (content, limits.SIGNATURE), (raw, limit))
    if any(len(text) > base64_characters(size) for text, size in bounded):
        return None
    try:
        hashed, signature, key = (parse_base64(text, what="") for text, _ in bounded)
    except Malformed:
        return None
    verifier = Verifier(details, certificate=key) if certified else Verifier(details, public_key=key)
    return HashedRekord(hashed, signature, verifier)


def encode_request_v2(entry: HashedRekord) -> bytes:
    """The request that :func:`parse_request_v2` reads back."""
    return _REQUEST % (encode_base64(entry.digest).encode(), *_signature_values(entry))


# --- bodies ------------------------------------------------------------------------------------------
def encode_body(entry: HashedRekord) -> bytes:
    """The canonical body (RFC 8785): what is hashed into the tree and stored in entry bundles.

    It is written straight from its fixed shape, ten times faster than by the general encoder; the tests compare the two.
    """
    algorithm = entry.verifier.details.hash.name.encode()
    return _BODY % (algorithm, encode_base64(entry.digest).encode(), *_signature_values(entry))


def kind_of(body: bytes) -> str:
    """The kind that a canonical body of version 0.0.2 names: its first members have fixed places. Malformed otherwise."""
    match = _KIND.match(body)
    if match is None:
        raise Malformed("the log entry is not a canonical body of version 0.0.2")
    return match[1].decode("ascii")


def parse_body(data: bytes) -> HashedRekord:
    """A body of a kind and version in the table below, in canonical form.

    Raises:
        Malformed: another kind or version, or any other bytes than :func:`encode_body` writes for the same entry.
    """
    fields = Fields.parse(data, what="the log entry", limit=limits.ENTRY)
    fields.only("apiVersion", "kind", "spec")
    kind, version = fields.text("kind"), fields.text("apiVersion")
    row = _BODIES.get((kind, version))
    if row is None:
        known = ", ".join(" ".join(pair) for pair in _BODIES)
        raise Malformed(f"the log entry is of kind {shown(kind)} {shown(version)}", f"known: {known}")
    entry = row(fields.object("spec"))
    if encode_body(entry) != data:
        raise Malformed("the log entry is not in canonical form (RFC 8785)")
    return entry


def _parse_hashedrekord_002(spec: Fields) -> HashedRekord:
    spec.only("hashedRekordV002")
    record = spec.object("hashedRekordV002")
    record.only("data", "signature")
    hashed = record.object("data")
    hashed.only("algorithm", "digest")
    entry = _parse_signature(record.object("signature"), _digest(hashed))
    algorithm, expected = hashed.text("algorithm"), entry.verifier.details.hash.name
    if algorithm != expected:
        raise Malformed(f"{hashed.path}.algorithm is {shown(algorithm)}, the key details go with {expected}")
    return entry


_BODIES: Final[Mapping[tuple[str, str], Callable[[Fields], HashedRekord]]] = {
    (HASHEDREKORD, VERSION_002): _parse_hashedrekord_002,
}
"""(kind, version) -> parser of ``spec``."""


def _digest(fields: Fields) -> bytes:
    return fields.base64("digest", limit=_DIGEST)


def _parse_signature(signature: Fields, digest: bytes) -> HashedRekord:
    signature.only("content", "verifier")
    content = signature.base64("content", limit=limits.SIGNATURE)
    return HashedRekord(digest, content, parse_verifier(signature.object("verifier")))


def parse_verifier(fields: Fields) -> Verifier:
    """A Verifier in JSON. Malformed when it is none."""
    fields.only("publicKey", "x509Certificate", "keyDetails")
    details = KeyDetails.parse(fields.text("keyDetails"), what=f"{fields.path}.keyDetails")
    member = fields.one_of("publicKey", "x509Certificate")
    holder = fields.object(member)
    holder.only("rawBytes")
    if member == "publicKey":
        return Verifier(details, public_key=holder.base64("rawBytes", limit=limits.PUBLIC_KEY))
    return Verifier(details, certificate=holder.base64("rawBytes", limit=limits.CERTIFICATE))


def _signature_values(entry: HashedRekord) -> tuple[bytes, bytes, bytes, bytes]:
    """What fills ``_SIGNATURE``."""
    member, raw = _member(entry.verifier)
    content = encode_base64(entry.signature).encode()
    return content, entry.verifier.details.name.encode(), member.encode(), encode_base64(raw).encode()
