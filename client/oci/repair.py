# SPDX-License-Identifier: Apache-2.0
"""Adds the layout that is missing from the one that is there, without anybody's key; and says what cannot be done so.

1. Everything attached is read, and verified against the trusted root: what does not hold is not carried on. Who signed is not
   asked: repairing moves statements, it makes none.
2. An attestation is one and the same in both layouts. What only one of them needs is found or asked for:
   a bundle of version 0.3 needs the log's proof, which a tag of cosign's does not hold: the log gives it (Rekor v1);
   a tag needs the log's promise, which Rekor v2 never makes: then sigbox reads it there, and cosign does not;
   and the envelope in the very spelling that was logged, which is tried for.
3. A signature cannot be carried over: at a tag it is over the payload of simple signing, as a referrer over a statement. Whoever
   signed must sign again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from client.assembly import upgrade_bundle
from client.oci.attached import Attached, Defect, Layout
from client.oci.reading import Found, is_signature
from client.oci.signing import Attachment
from client.oci.verification import Expected, ImageVerified, sift
from client.verify import Verified
from client.verify.identity import Signer
from sigcore import limits
from sigcore.bundle import Bundle
from sigcore.dsse import Envelope, encode_envelope, envelope_json
from sigcore.errors import Refused, SigError
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON, Fields, encode_base64, parse_hex
from sigcore.values import dataclass

Prove = Callable[[LogEntry], Awaitable[LogEntry]]
_OTHER: Final = {Layout.TAG: Layout.REFERRERS, Layout.REFERRERS: Layout.TAG}


@dataclass(frozen=True, slots=True)
class Unsigned:
    """``signer`` has signed in the other layout, with ``annotations``, and not in this one."""

    layout: Layout
    signer: Signer
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be added, what must be signed again by its signer, what cannot be done. ``doubts`` are told with the first."""

    added: tuple[Attachment, ...] = ()
    unsigned: tuple[Unsigned, ...] = ()
    defects: tuple[Defect, ...] = ()
    doubts: tuple[str, ...] = ()


async def plan_repair(found: Found, digest: str, expected: Expected, prove: Prove) -> Plan:
    """Steps 1 to 3.

    Args:
        found: all that is attached.
        digest: of the image.
        expected: the trusted root, and who may have signed (None: anybody).
        prove: gives an entry of Rekor v1 its proof, by asking the log.

    Raises:
        Unavailable: the log does not answer.
    """
    good, bad = sift(found, digest, expected)  # 1
    defects = list(bad.defects)
    added: list[Attachment] = []
    doubts: list[str] = []
    for one in _lacking(good):
        try:
            attachment, doubt = await _carried(one.attached, one.verified, prove)  # 2
            added.append(attachment)
            doubts += [f"{one.attached.place}: {doubt}"] if doubt else []
        except Refused as error:
            defects.append(Defect(one.attached.place, error))
    return Plan(tuple(added), tuple(_unsigned(good)), tuple(defects), tuple(doubts))


def _lacking(good: Sequence[ImageVerified]) -> Iterator[ImageVerified]:
    """Attestations that stand in one layout only. The signature tells which are the same."""
    there = {(one.attached.layout, one.verified.signature) for one in good}
    for one in good:
        missing = (_OTHER[one.attached.layout], one.verified.signature) not in there
        if missing and not is_signature(one.attached):
            yield one


def _unsigned(good: Sequence[ImageVerified]) -> Iterator[Unsigned]:
    """Step 3."""
    signatures = [one for one in good if is_signature(one.attached)]
    there = {(one.attached.layout, one.verified.signer) for one in signatures}
    for one in signatures:
        missing = (_OTHER[one.attached.layout], one.verified.signer)
        if missing not in there:
            there.add(missing)
            annotations = tuple((name, str(value)) for name, value in one.annotations.items())
            yield Unsigned(*missing, annotations)


async def _carried(one: Attached, verified: Verified, prove: Prove) -> tuple[Attachment, str]:
    kind = verified.statement.predicate_type if verified.statement is not None else ""
    issuers = verified.chain[1:]
    if one.layout is Layout.TAG:
        bundle, doubt = await _with_proof(one, verified, prove)
        return Attachment(Layout.REFERRERS, bundle, kind, issuers=issuers), doubt
    text, doubt = _logged_text(one.bundle)
    return Attachment(Layout.TAG, one.bundle, kind, issuers=issuers, text=text), doubt


async def _with_proof(one: Attached, verified: Verified, prove: Prove) -> tuple[Bundle, str]:
    """The bundle of version 0.3. A timestamp over the envelope's text stays behind: the log's promise tells the time too."""
    bundle, doubt = one.bundle, ""
    if one.stamped is not None:
        if not any(entry.promise is not None for entry in bundle.log_entries):
            raise Refused("its only time is over the envelope's text, which a bundle cannot hold", "attest again")
        bundle, doubt = replace(bundle, timestamps=()), "its timestamp is over the envelope's text and stays behind"
    entries = [
        entry if entry.proof is not None and entry.proof.checkpoint else await prove(entry)
        for entry in bundle.log_entries
    ]
    return replace(upgrade_bundle(bundle, entries), key_hint=_hint(verified)), doubt


def _hint(verified: Verified) -> str | None:
    """The hint of the key that signed, where no certificate did; as every signer writes it."""
    if verified.chain:
        return None
    return encode_base64(parse_hex(verified.signer.identity.partition(":")[2], what="the hash of the key", size=32))


def _logged_text(bundle: Bundle) -> tuple[bytes, str]:
    """The envelope in the spelling whose hash the log holds, and what speaks against cosign's reading it."""
    if not isinstance(bundle.content, Envelope):
        raise Refused("it is no attestation")
    texts = list(_spellings(bundle.content))
    promised = [entry for entry in bundle.log_entries if entry.promise is not None]
    if not promised:
        return texts[0], "its log has promised nothing (Rekor v2), so cosign cannot verify it at the tag; sigbox can"
    logged = _envelope_hash(promised[0])
    for text in texts:
        if hashlib.sha256(text).hexdigest() == logged:
            return text, ""
    return texts[0], "its envelope was logged in a spelling that is not known, so cosign will not take it at the tag"


def _envelope_hash(entry: LogEntry) -> str:
    spec = Fields.parse(entry.body, what="the entry's body", limit=limits.ENTRY).object("spec")
    try:
        holder = spec.object("envelopeHash") if entry.kind == "dsse" else spec.object("content").object("hash")
        return holder.text("value")
    except SigError:
        return ""


def _spellings(envelope: Envelope) -> Iterator[bytes]:
    """How the clients write an envelope: ours, Go's (no empty key id), its order of members, JavaScript's."""
    yield encode_envelope(envelope).encode("utf-8")
    (signature,) = envelope.signatures
    bare: JSON = [{"sig": signature.text}]
    keyed: JSON = [{"keyid": signature.key_id, "sig": signature.text}]
    members = envelope_json(envelope)
    for signatures in (bare, keyed, members["signatures"]):
        payload, kind = encode_base64(envelope.payload), envelope.payload_type
        for document in (
            {"payload": payload, "payloadType": kind, "signatures": signatures},
            {"payloadType": kind, "payload": payload, "signatures": signatures},
        ):
            yield json.dumps(document, separators=(",", ":")).encode("utf-8")


def signing_again(unsigned: Unsigned) -> str:
    """What to tell about a signature that cannot be carried over."""
    return (
        f"the signature by {ascii(unsigned.signer.identity)[1:-1]} cannot be carried into the layout "
        f"{unsigned.layout.value}: another text is signed there"
    )
