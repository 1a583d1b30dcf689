# SPDX-License-Identifier: Apache-2.0
"""What a canonical body of Rekor v1 or v2 says: the digests of what was signed, and who signed it. Nothing here is verified.

A body that a log took was verified then. Certificates are read leniently all the same: a log vouches for no identity, so it
holds certificates of every kind, and one that cannot be read is a signer less.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from sigcore import keys, limits, x509
from sigcore.errors import Malformed
from sigcore.strict import Fields, parse_base64, shown
from sigcore.values import dataclass

_DIGEST: Final = 64
"""Bytes of SHA-512."""
Signers: TypeAlias = "Iterator[bytes | x509.Certificate]"
"""Keys (DER SubjectPublicKeyInfo) and certificates."""


@dataclass(frozen=True, slots=True)
class EntryContent:
    """``kind`` as ``hashedrekord 0.0.2``; ``digests`` in lower-case hexadecimal; ``signers`` are keys (DER) and certificates."""

    kind: str
    digests: tuple[str, ...]
    signers: tuple[bytes | x509.Certificate, ...]


def read_content(body: bytes) -> EntryContent:
    """The content of a canonical body.

    Raises:
        Malformed: the body is of no kind that these logs take.
    """
    fields = Fields.parse(body, what="the log entry", limit=limits.ENTRY)
    kind, version = fields.text("kind"), fields.text("apiVersion")
    row = _ROWS.get((kind, version))
    if row is None:
        known = ", ".join(map(" ".join, _ROWS))
        raise Malformed(f"the log entry is of kind {shown(kind)} {shown(version)}", f"known: {known}")
    digests, signers = row(fields.object("spec"))
    return EntryContent(f"{kind} {version}", tuple(digests), tuple(signers))


def _hashedrekord_v2(spec: Fields) -> tuple[list[str], Signers]:
    record = spec.object("hashedRekordV002")
    digest = record.object("data").base64("digest", limit=_DIGEST)
    return [digest.hex()], _signers_v2([record.object("signature")])


def _dsse_v2(spec: Fields) -> tuple[list[str], Signers]:
    record = spec.object("dsseV002")
    digest = record.object("payloadHash").base64("digest", limit=_DIGEST)
    return [digest.hex()], _signers_v2(record.objects("signatures", limit=limits.ENVELOPE_SIGNATURES))


def _signers_v2(signatures: list[Fields] | tuple[Fields, ...]) -> Signers:
    for signature in signatures:
        verifier = signature.object("verifier")
        if "publicKey" in verifier:
            yield verifier.object("publicKey").base64("rawBytes", limit=limits.PUBLIC_KEY)
        else:
            yield from _certificate(verifier.object("x509Certificate").base64("rawBytes", limit=limits.CERTIFICATE))


def _certificate(data: bytes) -> Iterator[x509.Certificate]:
    with contextlib.suppress(Malformed):  # it was logged for its key alone: see the module
        yield x509.parse_certificate(data)


def _file_v1(spec: Fields) -> tuple[list[str], Signers]:
    digest = spec.object("data").object("hash").text("value")
    return [digest], _signers_v1([spec.object("signature").object("publicKey").text("content", limit=limits.ENTRY)])


def _dsse_v1(spec: Fields) -> tuple[list[str], Signers]:
    digests = [spec.object(name).text("value") for name in ("payloadHash", "envelopeHash")]
    signatures = spec.objects("signatures", limit=limits.ENVELOPE_SIGNATURES)
    return digests, _signers_v1([one.text("verifier", limit=limits.ENTRY) for one in signatures])


def _intoto_v1(spec: Fields) -> tuple[list[str], Signers]:
    content = spec.object("content")
    signatures = content.object("envelope").objects("signatures", limit=limits.ENVELOPE_SIGNATURES)
    digest = content.object("payloadHash").text("value")
    return [digest], _signers_v1([one.text("publicKey", limit=limits.ENTRY) for one in signatures])


def _signers_v1(pems: list[str]) -> Signers:
    for text in pems:
        pem = parse_base64(text, what="the verifier")
        with contextlib.suppress(Malformed):  # other logs take keys of more kinds
            if pem.startswith(b"-----BEGIN PUBLIC KEY-----"):
                yield keys.encode_public_key(keys.parse_public_key_pem(pem))
            else:
                yield x509.parse_certificates_pem(pem)[0]


_ROWS: Final[Mapping[tuple[str, str], Callable[[Fields], tuple[list[str], Signers]]]] = {
    ("hashedrekord", "0.0.2"): _hashedrekord_v2,
    ("dsse", "0.0.2"): _dsse_v2,
    ("hashedrekord", "0.0.1"): _file_v1,
    ("rekord", "0.0.1"): _file_v1,
    ("dsse", "0.0.1"): _dsse_v1,
    ("intoto", "0.0.2"): _intoto_v1,
}
