# SPDX-License-Identifier: Apache-2.0
"""A bundle taken apart for people: every part decoded, nothing verified, nothing trusted.

A part that cannot be decoded says why in its place; the others are shown all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sigcore import der, extensions, fulcio, general_name, keys, limits, sct, timestamp, x509
from sigcore.bundle import Bundle, MessageSignature
from sigcore.checkpoint import parse_checkpoint
from sigcore.cms import IssuerAndSerial, SignerInfo
from sigcore.dsse import Envelope
from sigcore.errors import SigError
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.note import parse_note
from sigcore.strict import JSON, encode_base64, encode_time, parse_json
from sigcore.x509 import Certificate

Given = TypeVar("Given")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DIRECTORY_NAME: Final = der.context(4)
_NAMES: Final = {
    "2.5.29.14": "subjectKeyIdentifier",
    "2.5.29.15": "keyUsage",
    "2.5.29.17": "subjectAltName",
    "2.5.29.19": "basicConstraints",
    "2.5.29.31": "cRLDistributionPoints",
    "2.5.29.32": "certificatePolicies",
    "2.5.29.35": "authorityKeyIdentifier",
    "2.5.29.37": "extendedKeyUsage",
    "1.3.6.1.5.5.7.1.1": "authorityInfoAccess",
    "1.3.6.1.4.1.11129.2.4.2": "signedCertificateTimestampList",
    "1.3.6.1.4.1.11129.2.4.3": "precertificatePoison",
}


def inspect_bundle(bundle: Bundle) -> dict[str, JSON]:
    """Everything that is in ``bundle``."""
    parts: dict[str, JSON] = {"mediaType": bundle.media_type, "content": _content(bundle)}
    if bundle.certificate is not None:
        chain = (bundle.certificate, *bundle.intermediates)
        certificates: list[JSON] = [_tried(inspect_certificate, der) for der in chain]
        parts["certificate"] = certificates[0]
        if certificates[1:]:
            parts["intermediates"] = certificates[1:]
    else:
        parts["publicKeyHint"] = bundle.key_hint or ""
    parts["logEntries"] = [inspect_log_entry(entry) for entry in bundle.log_entries]
    parts["timestamps"] = [_tried(inspect_timestamp, data) for data in bundle.timestamps]
    return parts


def _tried(inspect: Callable[[Given], JSON], given: Given) -> JSON:
    try:
        return inspect(given)
    except SigError as error:
        return {"cannot be read": str(error)}


# --- content -----------------------------------------------------------------------------------------
def _content(bundle: Bundle) -> JSON:
    content = bundle.content
    if isinstance(content, MessageSignature):
        digest: JSON = {"algorithm": content.algorithm.name, "hex": content.digest.hex()}
        return {"kind": "messageSignature", "digest": digest, "signature": encode_base64(content.signature)}
    return {
        "kind": "dsseEnvelope",
        "payloadType": content.payload_type,
        "payload": _tried(_document, content),
        "keyid": content.signatures[0].key_id,
        "signature": encode_base64(content.signatures[0].signature),
    }


def _document(envelope: Envelope) -> JSON:
    return parse_json(envelope.payload, what="the payload", limit=limits.BUNDLE, floats=True)


# --- certificate ---------------------------------------------------------------------------------------
def inspect_certificate(der: bytes) -> JSON:
    """A certificate with the names that Fulcio gives its extensions.

    Raises:
        Malformed: it is none.
    """
    certificate = x509.parse_certificate(der)
    return {
        "serial": f"{certificate.serial:x}",
        "subject": x509.common_name(certificate.subject),
        "issuer": x509.common_name(certificate.issuer),
        "issuerOrganization": x509.organization(certificate.issuer),
        "notBefore": encode_time(certificate.not_before),
        "notAfter": encode_time(certificate.not_after),
        "publicKey": _tried(_key, certificate),
        "subjectAlternativeName": _tried(_san, certificate),
        "fulcio": _tried(_fulcio, certificate),
        "keyUsage": _tried(_usage, certificate),
        "extendedKeyUsage": _tried(_purposes, certificate),
        "scts": _tried(_scts, certificate),
        "extensions": [
            {"oid": one.oid, "name": _NAMES.get(one.oid, ""), "critical": one.critical, "bytes": len(one.value)}
            for one in certificate.extensions
        ],
    }


def _usage(certificate: Certificate) -> JSON:
    return [*sorted(extensions.parse_key_usage(certificate) or ())]


def _purposes(certificate: Certificate) -> JSON:
    return [*(extensions.parse_extended_key_usage(certificate) or ())]


def _scts(certificate: Certificate) -> JSON:
    if certificate.extension(sct.SCT_LIST_OID) is None:
        return []
    return [_sct(one) for one in sct.embedded_scts(certificate)]


def _key(certificate: Certificate) -> JSON:
    details = keys.default_details(certificate.public_key()).name
    return {"kind": details, "sha256": keys.key_id(certificate.spki).hex()}


def _san(certificate: Certificate) -> JSON:
    if certificate.extension("2.5.29.17") is None:
        return None
    san = general_name.parse_san(certificate)
    return {"kind": type(san).__name__, "value": san.value}


def _fulcio(certificate: Certificate) -> JSON:
    values = asdict(fulcio.parse_extensions(certificate))
    return {name: value for name, value in values.items() if value}


def _sct(one: sct.SignedCertificateTimestamp) -> JSON:
    return {
        "logId": one.log_id.hex(),
        "timestampMs": one.timestamp_ms,
        "time": _moment(one.timestamp_ms),
        "extensions": one.extensions.hex(),
        "signature": encode_base64(one.signature),
    }


def _moment(milliseconds: int) -> JSON:
    try:
        return encode_time(_EPOCH + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return "no moment of the calendar"


# --- log entries and timestamps --------------------------------------------------------------------------
def inspect_log_entry(entry: LogEntry) -> dict[str, JSON]:
    """An entry of a transparency log."""
    return {
        "index": entry.index,
        "logId": entry.log_id.hex(),
        "kind": f"{entry.kind} {entry.version}",
        "integratedTime": _moment(1000 * entry.integrated_time) if entry.integrated_time else None,
        "promise": encode_base64(entry.promise) if entry.promise is not None else None,
        "body": _tried(_body, entry.body),
        "proof": _proof(entry.proof) if entry.proof is not None else None,
    }


def _body(body: bytes) -> JSON:
    return parse_json(body, what="the body", limit=limits.ENTRY)


def _proof(proof: InclusionProof) -> JSON:
    return {
        "index": proof.index,
        "treeSize": proof.size,
        "root": proof.root.hex(),
        "hashes": [node.hex() for node in proof.hashes],
        "checkpoint": _tried(_checkpoint, proof.checkpoint) if proof.checkpoint else None,
    }


def _checkpoint(envelope: str) -> JSON:
    note = parse_note(envelope)
    head = parse_checkpoint(note.text)
    signatures: list[JSON] = [
        {"name": line.name, "keyHash": line.key_hash.hex(), "signature": encode_base64(line.signature)}
        for line in note.signatures
    ]
    return {"origin": head.origin, "size": head.size, "root": head.root.hex(), "signatures": signatures}


def inspect_timestamp(data: bytes) -> JSON:
    """A TimeStampResp (RFC 3161 section 2.4.2). Malformed or Refused when it is none, or grants nothing."""
    response = timestamp.parse_response(data)
    info = response.info
    embedded = [_tried(inspect_certificate, der) for der in response.token.certificates]
    return {
        "time": encode_time(info.time),
        "serial": f"{info.serial:x}",
        "policy": info.policy,
        "hash": info.hash.name,
        "digest": info.digest.hex(),
        "nonce": f"{info.nonce:x}" if info.nonce is not None else None,
        "accuracyMicroseconds": info.accuracy_us,
        "ordering": info.ordering,
        "tsa": _tried(_authority_name, info.tsa) if info.tsa is not None else None,
        "signer": _tried(_named_signer, response.token.signer),
        "certificates": embedded,
    }


def _authority_name(name: bytes) -> JSON:
    """A GeneralName; of those that are no directory name, the bytes."""
    fields = der.Reader(name, "the name of the timestamp authority")
    if fields.peek() != _DIRECTORY_NAME:
        return name.hex()
    return _names(fields.content(_DIRECTORY_NAME))


def _names(name: bytes) -> JSON:
    return {"commonName": x509.common_name(name), "organization": x509.organization(name), "der": name.hex()}


def _named_signer(signer: SignerInfo) -> JSON:
    """How the token names its signer, and how it is signed."""
    identifier = signer.identifier
    named: dict[str, JSON] = (
        {"issuer": _names(identifier.issuer), "serial": f"{identifier.serial:x}"}
        if isinstance(identifier, IssuerAndSerial)
        else {"subjectKeyIdentifier": identifier.value.hex()}
    )
    algorithm = der.Reader(signer.algorithm, "the signature algorithm").enter().oid()
    return named | {"hash": signer.hash.name, "algorithm": algorithm, "signature": encode_base64(signer.signature)}


# --- text ------------------------------------------------------------------------------------------------
def encode_outline(value: JSON, indent: str = "") -> str:
    """``value`` as an indented outline. Texts are escaped: whoever made the bundle chose them."""
    if isinstance(value, dict):
        return "".join(_row(indent, name, member) for name, member in value.items() if member not in (None, "", [], {}))
    if isinstance(value, list):
        return "".join(_row(indent, f"[{position}]", member) for position, member in enumerate(value))
    return f"{indent}{_scalar(value)}\n"


def _row(indent: str, name: str, member: JSON) -> str:
    label = _scalar(name)
    if isinstance(member, dict | list):
        return f"{indent}{label}:\n{encode_outline(member, f'{indent}  ')}"
    return f"{indent}{label}: {_scalar(member)}\n"


def _scalar(value: JSON) -> str:
    return ascii(value)[1:-1] if isinstance(value, str) else str(value)
