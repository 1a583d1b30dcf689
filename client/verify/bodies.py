# SPDX-License-Identifier: Apache-2.0
"""The body that a log entry must have to be about the signature at hand, one row for each kind and version.

The body is not read for what it says: it is built anew from the bundle and compared byte for byte. Two members of Rekor v1
cannot be built anew, because they depend on how the signer's client spelled things: the hash of the envelope's text, and the
PEM around a certificate or key. The first is taken from the body when it is a hash at all: what it stands for, payload and
signature, is compared by itself. The second must hold the very certificate or key.

Sources: rekor ``pkg/types`` (hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.2); rekor-tiles ``pkg/types`` (hashedrekord 0.0.2,
dsse 0.0.2).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Final

from client.verify.signed import Signed
from sigcore import keys, limits, x509
from sigcore.dsse import Envelope, encode_envelope
from sigcore.errors import Refused, SigError
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON, encode_base64, parse_base64, parse_hex, parse_json, shown
from sigcore.values import dataclass

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """How entries of one kind and version are compared. ``generation`` is that of the log, 1 or 2."""

    generation: int
    envelopes: bool
    """Whether such an entry may be about an envelope; ``files``: about a file."""
    files: bool
    body: Callable[[Signed, JSON], JSON]
    """The document that the body must be, given the signature and the body as it is."""
    text: Callable[[Signed], str] | None = None
    """Its canonical form, where all of it follows from the signature in the spelling of every log: nothing else need be read."""


def kind_of(entry: LogEntry) -> Kind:
    """The row for ``entry``.

    Raises:
        Refused: another kind or version, or members that only Rekor v1 signs in an entry of v2.
    """
    row = KINDS.get((entry.kind, entry.version))
    if row is None:
        raise Refused(
            f"the log entry is of kind {shown(entry.kind)} version {shown(entry.version)}, which is not supported",
            f"supported: {', '.join(' '.join(known) for known in KINDS)}",
        )
    if row.generation == 2 and (entry.promise is not None or entry.integrated_time):
        raise Refused(
            "the log entry carries a promise or an integrated time, which Rekor v2 never signs",
            "someone has added it; get the bundle again from where it was made",
        )
    return row


def check_body(entry: LogEntry, signed: Signed) -> None:
    """That the entry's body is the one for ``signed``.

    Raises:
        Refused: it is not; the message names the members that differ.
    """
    row = kind_of(entry)
    if not (row.files if signed.envelope is None else row.envelopes):
        found = "a file" if signed.envelope is None else "an attestation"
        raise Refused(f"the log entry is of kind {entry.kind} {entry.version}, which is never about {found}")
    if row.text is not None and entry.body == row.text(signed).encode("ascii"):
        return
    what = "the body of the log entry"
    try:
        found_body = parse_json(entry.body, what=what, limit=limits.ENTRY)
    except SigError as error:
        raise Refused("the log entry is not about this signature: its body is no entry", str(error)) from error
    expected = row.body(signed, found_body)
    if entry.body != _canonical(expected):
        differing = ", ".join(_differences(expected, found_body)) or "its canonical form"
        raise Refused(
            f"the log entry is not about this signature: {differing[:300]} differs",
            "the entry may be genuine, and belong to another bundle",
        )


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _canonical(document: JSON) -> bytes:
    """RFC 8785 for documents of text alone, whose names are ASCII: what every body is."""
    return _ENCODER.encode(document).encode("utf-8")


def _differences(expected: JSON, found: JSON, path: str = "") -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in {**expected, **found}:
            yield from _differences(expected.get(name), found.get(name), f"{path}.{name}" if path else name)
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for position, (ours, theirs) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(ours, theirs, f"{path}[{position}]")
    elif expected != found:
        yield path


# --- Rekor v2 --------------------------------------------------------------------------------------------
def _hashedrekord_002(signed: Signed, _found: JSON) -> JSON:
    hashing = signed.verifier.details.hash.name
    return _shape_002(hashing, encode_base64(signed.digest), *_signature_parts(signed), _member(signed))


def _text_002(signed: Signed) -> str:
    parts = (signed.verifier.details.hash.name, encode_base64(signed.digest), *_signature_parts(signed))
    return _TEXTS_002[_member(signed)] % parts


def _shape_002(hashing: str, digest: str, content: str, details: str, raw: str, member: str) -> JSON:
    data: JSON = {"algorithm": hashing, "digest": digest}
    signature = _signature_v2(content, details, raw, member)
    return _document("hashedrekord", "0.0.2", {"hashedRekordV002": {"data": data, "signature": signature}})


def _signature_v2(content: str, details: str, raw: str, member: str) -> JSON:
    return {"content": content, "verifier": {"keyDetails": details, member: {"rawBytes": raw}}}


def _member(signed: Signed) -> str:
    return "publicKey" if signed.verifier.certificate is None else "x509Certificate"


def _signature_parts(signed: Signed) -> tuple[str, str, str]:
    """The signature, the details of its key, and the certificate or key."""
    verifier = signed.verifier
    raw = verifier.public_key or b"" if verifier.certificate is None else verifier.certificate
    return encode_base64(signed.signature), verifier.details.name, encode_base64(raw)


def _dsse_002(signed: Signed, _found: JSON) -> JSON:
    payload_hash: JSON = {"algorithm": "SHA2_256", "digest": encode_base64(_sha256(signed))}
    signatures: JSON = [_signature_v2(*_signature_parts(signed), _member(signed))]
    return _document("dsse", "0.0.2", {"dsseV002": {"payloadHash": payload_hash, "signatures": signatures}})


def _text_dsse_002(signed: Signed) -> str:
    return _canonical(_dsse_002(signed, None)).decode("ascii")


# --- Rekor v1 --------------------------------------------------------------------------------------------
def _hashedrekord_001(signed: Signed, found: JSON) -> JSON:
    return _shape_001(*_parts_001(signed, found))


def _text_001(signed: Signed) -> str:
    return _TEXT_001 % _parts_001(signed, None)


def _parts_001(signed: Signed, found: JSON) -> tuple[str, str, str, str]:
    pem = _pem(signed, found, ("spec", "signature", "publicKey", "content"))
    return signed.algorithm.hashlib_name, signed.digest.hex(), encode_base64(signed.signature), pem


def _shape_001(hashing: str, digest: str, content: str, pem: str) -> JSON:
    hashed: JSON = {"algorithm": hashing, "value": digest}
    signature: JSON = {"content": content, "publicKey": {"content": pem}}
    return _document("hashedrekord", "0.0.1", {"data": {"hash": hashed}, "signature": signature})


def _dsse_001(signed: Signed, found: JSON) -> JSON:
    verifier = _pem(signed, found, ("spec", "signatures", 0, "verifier"))
    spec: dict[str, JSON] = {
        "envelopeHash": _envelope_hash(found, ("spec", "envelopeHash", "value")),
        "payloadHash": _hash(_sha256(signed).hex()),
        "signatures": [{"signature": encode_base64(signed.signature), "verifier": verifier}],
    }
    return _document("dsse", "0.0.1", spec)


def _intoto_002(signed: Signed, found: JSON) -> JSON:
    """Payload and signature lie in base64 twice; a log may or may not have dropped the payload."""
    content: Path = ("spec", "content")
    signature: dict[str, JSON] = {
        "publicKey": _pem(signed, found, (*content, "envelope", "signatures", 0, "publicKey")),
        "sig": _twice(signed.signature),
    }
    if key_id := _envelope(signed).signatures[0].key_id:
        signature["keyid"] = key_id
    envelope: dict[str, JSON] = {"payloadType": _envelope(signed).payload_type, "signatures": [signature]}
    if _at(found, (*content, "envelope", "payload")) is not None:
        envelope["payload"] = _twice(_envelope(signed).payload)
    parts: dict[str, JSON] = {
        "envelope": envelope,
        "hash": _envelope_hash(found, (*content, "hash", "value")),
        "payloadHash": _hash(_sha256(signed).hex()),
    }
    return _document("intoto", "0.0.2", {"content": parts})


def _document(kind: str, version: str, spec: dict[str, JSON]) -> JSON:
    return {"apiVersion": version, "kind": kind, "spec": spec}


def _hash(value: str) -> JSON:
    return {"algorithm": "sha256", "value": value}


def _envelope(signed: Signed) -> Envelope:
    if signed.envelope is None:
        raise Refused("there is no envelope")
    return signed.envelope


def _sha256(signed: Signed) -> bytes:
    return hashlib.sha256(_envelope(signed).payload).digest()


def _twice(data: bytes) -> str:
    return encode_base64(encode_base64(data).encode("ascii"))


def proposal_v1(signed: Signed) -> JSON:
    """What a signer sends to Rekor v1 so that the log makes the entry for ``signed``: hashedrekord 0.0.1, dsse 0.0.1."""
    if signed.envelope is None:
        return _hashedrekord_001(signed, None)
    proposed: JSON = {
        "envelope": encode_envelope(signed.envelope),
        "verifiers": [_pem(signed, None, ())],
    }
    return _document("dsse", "0.0.1", {"proposedContent": proposed})


# --- what is taken from the body as it is ------------------------------------------------------------------
def _at(document: JSON, path: Path) -> JSON:
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and len(document) > step:
            document = document[step]
        else:
            return None
    return document


def _envelope_hash(found: JSON, path: Path) -> JSON:
    value = _at(found, path)
    try:
        parse_hex(value if isinstance(value, str) else "", what=".".join(map(str, path)), size=32)
    except SigError as error:
        raise Refused("the log entry is not about this signature: it has no hash of an envelope", str(error)) from error
    return _hash(str(value))


def _pem(signed: Signed, found: JSON, path: Path) -> str:
    """The certificate or key in PEM and base64, spelled as in the body when that is the very same one."""
    verifier = signed.verifier
    if verifier.certificate is not None:
        ours = x509.encode_certificate_pem(verifier.certificate)
    else:
        ours = keys.encode_public_key_pem(signed.key)
    text = encode_base64(ours.encode("ascii"))
    given = _at(found, path)
    if given == text or not isinstance(given, str):
        return text
    try:
        pem = parse_base64(given, what="the verifier of the log entry")
        if verifier.certificate is not None:
            same = x509.parse_certificate_pem(pem).der == verifier.certificate
        else:
            same = keys.encode_public_key(keys.parse_public_key_pem(pem)) == verifier.public_key
    except SigError:
        return text
    return given if same else text


# --- canonical forms with gaps: the parts stand in the order of their sorted names, and none needs an escape --------------
_TEXT_001: Final = _canonical(_shape_001("%s", "%s", "%s", "%s")).decode("ascii")
_TEXTS_002: Final = {
    member: _canonical(_shape_002("%s", "%s", "%s", "%s", "%s", member)).decode("ascii")
    for member in ("publicKey", "x509Certificate")
}
KINDS: Final = {
    ("hashedrekord", "0.0.1"): Kind(1, envelopes=False, files=True, body=_hashedrekord_001, text=_text_001),
    ("dsse", "0.0.1"): Kind(1, envelopes=True, files=False, body=_dsse_001),
    ("intoto", "0.0.2"): Kind(1, envelopes=True, files=False, body=_intoto_002),
    ("hashedrekord", "0.0.2"): Kind(2, envelopes=True, files=True, body=_hashedrekord_002, text=_text_002),
    ("dsse", "0.0.2"): Kind(2, envelopes=True, files=False, body=_dsse_002, text=_text_dsse_002),
}
"""(kind, version) -> how it is compared."""
