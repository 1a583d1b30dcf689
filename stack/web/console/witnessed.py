# SPDX-License-Identifier: Apache-2.0
"""What an entry of a signature log proves by itself, when nobody shows its bundle. Pure: the client's verifier, step by step.

1. Signature, digest and certificate or key stand in the body; the bundle around them is made anew.
2. No timestamp is in a log. The certificate is judged at the moment of its promise (SCT), when its log saw it: later than its
   beginning, and long before its end.
3. The steps are the client's; what only the signer's bundle holds is left out and said.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from client.explain.flow import explain_verification
from client.explain.part import Part
from client.verify.certificate import verify_certificate
from client.verify.entry import verify_log_entry
from client.verify.identity import read_signer
from client.verify.recorder import Recorder
from client.verify.scts import verify_scts
from client.verify.signed import ManagedKey, read_signed, verify_signature
from client.verify.steps import Step
from sigcore import keys, limits, sct, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import Malformed, NotFound, SigError
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.strict import Fields, parse_base64, parse_hex
from sigcore.trustroot import TrustedRoot, parse_trusted_root
from sigcore.values import dataclass
from tlog.log import Receipt

_KINDS: Final = {("hashedrekord", "0.0.2"): 2, ("hashedrekord", "0.0.1"): 1}
"""What holds a signature and all that it is over. An envelope is in no entry, only its hash."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The steps that an entry's own bytes let anybody take; ``error`` is why the last does not hold."""

    parts: tuple[Part, ...]
    error: SigError | None


def explain_entry(receipt: Receipt, spki: bytes, root_data: bytes) -> Witnessed:
    """See the module.

    Args:
        receipt: the entry, with its proof and checkpoint.
        spki: the log's key, DER.
        root_data: ``trusted_root.json``.

    Raises:
        NotFound: the entry is of a kind that does not hold what was signed, or the log is not in the trusted root.
        Malformed: the body is no entry.
    """
    root = parse_trusted_root(root_data)
    bundle, key = _bundle_of(receipt, spki, root)
    digest = bundle.content.digest if isinstance(bundle.content, MessageSignature) else b""
    found, refusal = Recorder(), None
    try:
        _take_steps(bundle, digest, key, root, found)
    except SigError as error:
        refusal = error
    return Witnessed(explain_verification(bundle, found, digest, "", refusal), refusal)


def _take_steps(bundle: Bundle, digest: bytes, key: ManagedKey | None, root: TrustedRoot, found: Recorder) -> None:
    with Step("digest"):
        signed = found.signed = read_signed(bundle, digest, key)
    moments: list[datetime] = []
    if signed.leaf is not None:
        with Step("certificate"):
            moments = [_promised(signed.leaf)]
            found.chain = verify_certificate(signed.leaf, moments, root.certificate_authorities)
        with Step("SCT"):
            found.scts = verify_scts(signed.leaf, found.chain[1], root.ct_logs)
        with Step("identity"):
            found.signer = read_signer(signed.leaf)
    with Step("entry"):
        found.entries = tuple(verify_log_entry(entry, signed, root.logs, moments) for entry in bundle.log_entries)
    with Step("signature"):
        verify_signature(signed)


def _promised(leaf: x509.Certificate) -> datetime:
    first = min(one.timestamp_ms for one in sct.embedded_scts(leaf))
    return datetime.fromtimestamp(first / 1000, UTC)


def _bundle_of(receipt: Receipt, spki: bytes, root: TrustedRoot) -> tuple[Bundle, ManagedKey | None]:
    fields = Fields.parse(receipt.leaf, what="the log entry", limit=limits.ENTRY)
    kind, version = fields.text("kind"), fields.text("apiVersion")
    generation = _KINDS.get((kind, version))
    if generation is None:
        raise NotFound(
            f"an entry of the kind {kind} {version} holds only the hash of what was signed",
            "put the signer's bundle into the inspector",
        )
    log = next((one for one in root.logs if one.key == spki), None)
    if log is None:
        raise NotFound("this log is not in the trusted root of the stack")
    proof = InclusionProof(receipt.index, receipt.size, receipt.root, receipt.proof, receipt.checkpoint)
    entry = LogEntry(receipt.index, log.log_id, kind, version, 0, receipt.leaf, proof)
    content, certificate, key = (_read_v2 if generation == 2 else _read_v1)(fields.object("spec"))
    return Bundle(certificate, (entry,), (), content), key


def _read_v2(spec: Fields) -> tuple[MessageSignature, bytes | None, ManagedKey | None]:
    record = spec.object("hashedRekordV002")
    data, signature = record.object("data"), record.object("signature")
    algorithm = HashAlgorithm.parse(data.text("algorithm"), what="the algorithm of the entry")
    content = MessageSignature(
        algorithm,
        data.base64("digest", limit=limits.SIGNATURE),
        signature.base64("content", limit=limits.SIGNATURE),
    )
    verifier = signature.object("verifier")
    if "publicKey" in verifier:
        spki = verifier.object("publicKey").base64("rawBytes", limit=limits.PUBLIC_KEY)
        return content, None, ManagedKey(keys.parse_public_key(spki, what="the key of the entry"))
    return content, verifier.object("x509Certificate").base64("rawBytes", limit=limits.CERTIFICATE), None


def _read_v1(spec: Fields) -> tuple[MessageSignature, bytes | None, ManagedKey | None]:
    hashed, signature = spec.object("data").object("hash"), spec.object("signature")
    algorithm = next((one for one in HashAlgorithm if one.hashlib_name == hashed.text("algorithm")), None)
    if algorithm is None:
        raise Malformed("the entry names a hash that is not known here")
    content = MessageSignature(
        algorithm,
        parse_hex(hashed.text("value"), what="the digest of the entry"),
        signature.base64("content", limit=limits.SIGNATURE),
    )
    pem = parse_base64(
        signature.object("publicKey").text("content", limit=limits.ENTRY), what="the verifier of the entry"
    )
    if b"CERTIFICATE" in pem:
        return content, x509.parse_certificates_pem(pem)[0].der, None
    return content, None, ManagedKey(keys.parse_public_key_pem(pem, what="the key of the entry"))
