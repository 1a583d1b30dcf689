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
from client.oci.attached import SIGN, Attached, Defect, Layout
from client.oci.reading import Found
from client.oci.signing import Attachment
from client.oci.verification import Expected, sift
from client.verify import Verified
from sigcore import limits
from sigcore.bundle import Bundle
from sigcore.dsse import Envelope, encode_envelope, envelope_json
from sigcore.errors import Refused, SigError
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON, Fields, encode_base64
from sigcore.values import dataclass

Prove = Callable[[LogEntry], Awaitable[LogEntry]]
_OTHER: Final = {Layout.TAG: Layout.REFERRERS, Layout.REFERRERS: Layout.TAG}


@dataclass(frozen=True, slots=True)
class Plan:
    """What can be added, what must be signed again (the layout that lacks a signature, by its signer), what cannot be done.

    ``doubts`` are told with what is added.
    """

    added: tuple[Attachment, ...] = ()
    unsigned: tuple[Layout, ...] = ()
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
    holding, defects = [(one.attached, one.verified) for one in good], list(bad.defects)
    added: list[Attachment] = []
    doubts: list[str] = []
    for one, verified in _lacking(holding):
        try:
            attachment, doubt = await _carried(one, verified, prove)  # 2
            added.append(attachment)
            doubts += [f"{one.place}: {doubt}"] if doubt else []
        except Refused as error:
            defects.append(Defect(one.place, error))
    return Plan(tuple(added), _unsigned(holding), tuple(defects), tuple(doubts))


def _lacking(holding: Sequence[tuple[Attached, Verified]]) -> Iterator[tuple[Attached, Verified]]:
    """Attestations that stand in one layout only. Signature and payload tell which are the same."""
    there = {(one.layout, one.bundle.signature) for one, _ in holding}
    for one, verified in holding:
        statement = verified.statement
        missing = (_OTHER[one.layout], one.bundle.signature) not in there
        if statement is not None and statement.predicate_type != SIGN and missing:
            yield one, verified


def _unsigned(holding: Sequence[tuple[Attached, Verified]]) -> tuple[Layout, ...]:
    """Step 3: the layouts in which a signer of the other one has no signature."""
    signers: dict[Layout, set[tuple[str, str]]] = {layout: set() for layout in Layout}
    for one, verified in holding:
        if verified.statement is None or verified.statement.predicate_type == SIGN:
            signers[one.layout].add((verified.signer.issuer, verified.signer.identity))
    return tuple(layout for layout in Layout if signers[_OTHER[layout]] - signers[layout])


async def _carried(one: Attached, verified: Verified, prove: Prove) -> tuple[Attachment, str]:
    kind = verified.statement.predicate_type if verified.statement is not None else ""
    issuers = verified.chain[1:]
    if one.layout is Layout.TAG:
        bundle = await _with_proof(one, prove)
        return Attachment(Layout.REFERRERS, bundle, kind, issuers=issuers), ""
    text, doubt = _logged_text(one.bundle)
    return Attachment(Layout.TAG, one.bundle, kind, issuers=issuers, text=text), doubt


async def _with_proof(one: Attached, prove: Prove) -> Bundle:
    if one.stamped is not None:
        raise Refused(
            "its timestamp is over the envelope's text, as cosign 2 asked for it; that of a bundle is over the signature",
            "attest again: sigbox attest --format referrers",
        )
    entries = [
        entry if entry.proof is not None and entry.proof.checkpoint else await prove(entry)
        for entry in one.bundle.log_entries
    ]
    return replace(upgrade_bundle(one.bundle, entries), key_hint=_hint(one.bundle))


def _hint(bundle: Bundle) -> str | None:
    """A bundle without a certificate says that a key signed; which one, whoever verifies it names."""
    return None if bundle.certificate is not None else bundle.key_hint or ""


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


def signing_again(plan: Plan) -> str:
    """What to tell about signatures that cannot be carried over; empty where there are none."""
    if not plan.unsigned:
        return ""
    missing = " and ".join(layout.value for layout in plan.unsigned)
    return (
        f"a signature cannot be carried into the layout of {missing}: another text is signed there; "
        f"sign again: sigbox sign --format {plan.unsigned[0].value}, or give --key or --identity-token to this command"
    )
