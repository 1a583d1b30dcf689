# SPDX-License-Identifier: Apache-2.0
"""Rekor from the signer's side, both generations of its API: put an entry in the log, believe nothing of the answer.

Sources: rekor ``openapi.yaml`` (v1); rekor-tiles ``rekor_service.proto``, ``CLIENTS.md`` (v2).
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

from client.answers import answering
from client.transport import ServiceRefused, Transport, call
from client.verify.bodies import proposal_v1
from client.verify.entry import verify_log_entry
from client.verify.promise import verify_promise
from client.verify.signed import Signed
from sigcore import entries, limits, merkle
from sigcore.entries import HashedRekord
from sigcore.errors import Malformed, Refused
from sigcore.log_entry import InclusionProof, LogEntry, parse_log_entry
from sigcore.signing_config import Service
from sigcore.strict import JSON, Fields, parse_hex, parse_json
from sigcore.trustroot import TrustedRoot
from sigcore.values import dataclass

_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
_SERVICE = "the transparency log"
_ANSWER = "the log's answer"


@dataclass(frozen=True, slots=True)
class Logged:
    """A verified entry; ``uuid`` is its id in Rekor v1, which v2 has none of, ``existed`` that it was there before."""

    entry: LogEntry
    uuid: str = ""
    existed: bool = False


_REPEATED = (
    "the log already holds this entry: the same key has signed the same content before, and its signatures repeat, as RSA's do: keep the bundle of that time, "
    "or log in Rekor v1, which hands out an entry again (--rekor-version 1)"
)


async def add_entry(
    transport: Transport, log: Service, signed: Signed, *, root: TrustedRoot, now: datetime
) -> LogEntry:
    """The entry alone: see :func:`submit_entry`."""
    return (await submit_entry(transport, log, signed, root=root, now=now)).entry


async def submit_entry(
    transport: Transport, log: Service, signed: Signed, *, root: TrustedRoot, now: datetime
) -> Logged:
    """Put the entry for ``signed`` in the log; the answer's proof, checkpoint, promise and body are verified.

    Rekor v1 is asked for an entry that is there already; v2 answers 409, which is raised.

    Args:
        transport: how to get there.
        log: the service; its API version decides how it is spoken to.
        signed: what is logged.
        root: whom to believe.
        now: the log must be trusted at this time.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: the answer is no log entry.
        Refused: its proof does not hold, or it is the proof of something else.
    """
    url = log.url.rstrip("/")
    logged = await (_add_v1 if log.api_version == 1 else _add_v2)(transport, url, signed)
    times = [now]
    if log.api_version == 1:
        promised = verify_promise(logged.entry, root.logs)
        if promised is None:
            raise Refused("the log's answer holds no promise (SET)", "this is no complete Rekor v1")
        times.append(promised.time)
    verify_log_entry(logged.entry, signed, root.logs, times)
    return logged


# --- v2 --------------------------------------------------------------------------------------------------
async def _add_v2(transport: Transport, url: str, signed: Signed) -> Logged:
    """A hashedrekord, over the PAE where an envelope was signed: what servers take since rekor-tiles 2.3."""
    try:
        answer = await call(
            transport,
            "POST",
            f"{url}/api/v2/log/entries",
            service=_SERVICE,
            headers=_HEADERS,
            body=entries.encode_request_v2(HashedRekord(signed.digest, signed.signature, signed.verifier)),
            expected=(200, 201),
        )
    except ServiceRefused as error:
        if error.status == 409:
            error.hint = _REPEATED
        raise
    with answering(_SERVICE, url):
        return Logged(parse_log_entry(Fields.parse(answer, what=_ANSWER, limit=limits.SERVICE_RESPONSE, proto=True)))


# --- v1 --------------------------------------------------------------------------------------------------
async def _add_v1(transport: Transport, url: str, signed: Signed) -> Logged:
    proposal = proposal_v1(signed)

    async def post(path: str, document: JSON) -> JSON:
        answer = await call(
            transport,
            "POST",
            f"{url}/api/v1/log/entries{path}",
            service=_SERVICE,
            headers=_HEADERS,
            body=json.dumps(document).encode("utf-8"),
            expected=(200, 201),
        )
        with answering(_SERVICE, url):
            return parse_json(answer, what=_ANSWER, limit=limits.SERVICE_RESPONSE)

    existed = False
    try:
        found = await post("", proposal)
    except ServiceRefused as error:
        if error.status != 409:
            raise
        # A deterministic signature over the same file: the entry is there already, and just as good.
        answers = await post("/retrieve", {"entries": [proposal]})
        found, existed = answers[0] if isinstance(answers, list) and answers else None, True
    with answering(_SERVICE, url):
        return replace(_parse_v1(found, proposal), existed=existed)


async def find_entry(transport: Transport, url: str, signed: Signed) -> LogEntry | None:
    """The entry of ``signed`` in the log of Rekor v1 at ``url``; None where it has none. What it says is not verified.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: the answer is no log entry.
    """
    proposal = proposal_v1(signed)
    answer = await call(
        transport,
        "POST",
        f"{url.rstrip('/')}/api/v1/log/entries/retrieve",
        service=_SERVICE,
        headers=_HEADERS,
        body=json.dumps({"entries": [proposal]}).encode("utf-8"),
    )
    answers = parse_json(answer, what=_ANSWER, limit=limits.SERVICE_RESPONSE)
    return _parse_v1(answers[0], proposal).entry if isinstance(answers, list) and answers else None


async def prove_entry(transport: Transport, url: str, entry: LogEntry) -> LogEntry:
    """``entry`` of Rekor v1 with a proof and checkpoint of today, which the log at ``url`` is asked for.

    What the caller must still do: verify the checkpoint with a trusted root.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: the answer is no log entry.
        Refused: the log has another entry there, or its proof does not hold.
    """
    path = f"{url.rstrip('/')}/api/v1/log/entries?logIndex={entry.index}"
    answer = await call(transport, "GET", path, service=_SERVICE, headers={"Accept": "application/json"})
    found = _parse_v1(
        parse_json(answer, what=_ANSWER, limit=limits.SERVICE_RESPONSE),
        {"kind": entry.kind, "apiVersion": entry.version},
    ).entry
    if (found.body, found.log_id, found.index) != (entry.body, entry.log_id, entry.index) or found.proof is None:
        raise Refused(f"the log at {url} has another entry at index {entry.index}", "is it the log of this bundle?")
    proof = found.proof
    merkle.verify_inclusion(
        leaf_hash=merkle.hash_leaf(entry.body), index=proof.index, size=proof.size, proof=proof.hashes, root=proof.root
    )
    return replace(entry, proof=proof)


def _parse_v1(answer: JSON, proposal: JSON) -> Logged:
    """``{"<uuid>": {body, integratedTime, logID, logIndex, verification}}``."""
    members = Fields.of(answer, _ANSWER)
    if len(members.names()) != 1:
        raise Malformed(f"{_ANSWER} holds {len(members.names())} entries, expected one")
    what = Fields.of(proposal, "the proposed entry")
    (uuid,) = members.names()
    return Logged(read_entry_v1(members.object(uuid), what.text("kind"), what.text("apiVersion")), uuid)


def read_entry_v1(fields: Fields, kind: str, version: str) -> LogEntry:
    """An entry as Rekor v1 answers it, of a ``kind`` and ``version`` that its body will be held against.

    Raises:
        Malformed: a member is missing or wrong.
    """
    verification = fields.object("verification")
    proof = verification.object("inclusionProof")
    return LogEntry(
        index=fields.int64("logIndex"),
        log_id=parse_hex(fields.text("logID"), what="logID", size=32),
        kind=kind,
        version=version,
        integrated_time=fields.int64("integratedTime"),
        body=fields.base64("body", limit=limits.ENTRY),
        proof=InclusionProof(
            index=proof.int64("logIndex"),
            size=proof.int64("treeSize"),
            root=parse_hex(proof.text("rootHash"), what="rootHash", size=32),
            hashes=tuple(
                parse_hex(node, what="hashes", size=32) for node in proof.texts("hashes", limit=limits.PROOF_HASHES)
            ),
            checkpoint=proof.text("checkpoint", limit=limits.NOTE),
        ),
        promise=verification.base64("signedEntryTimestamp", limit=limits.SIGNATURE),
    )
