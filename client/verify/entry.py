# SPDX-License-Identifier: Apache-2.0
"""That *this* signature is in the transparency log.

The bug that keeps coming back in every client is a genuine entry of something else: :mod:`client.verify.bodies`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from client.verify.bodies import check_body, kind_of
from client.verify.log import find_log, verify_head
from client.verify.signed import Signed
from client.verify.steps import Step, Steps, at_once
from sigcore import merkle
from sigcore.errors import Refused
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.trustroot import LogInstance
from sigcore.values import dataclass

_CHECKPOINT, _PATH = Step("checkpoint"), Step("path")


@dataclass(frozen=True, slots=True)
class VerifiedEntry:
    """The log at ``log`` holds the signature as leaf ``index`` of a tree of ``size`` leaves with ``root``.

    ``size`` is 0 where there is no proof, and the log's promise stands for it (bundles of version 0.1); ``index`` is then
    the one that the promise names. ``source`` is the log of the trusted root.
    """

    log: str
    kind: str
    index: int
    size: int
    root: bytes
    source: LogInstance


def verify_log_entry(
    entry: LogEntry, signed: Signed, logs: Sequence[LogInstance], times: Sequence[datetime]
) -> VerifiedEntry:
    """That ``entry`` is the entry for ``signed`` in a trusted log.

    1. The kind is one that we know; a Rekor v2 entry carries nothing that only a signature of v1 would cover.
    2. Find the log by its full id; its window must cover every verified time.
    3. The body is, byte for byte, the one for ``signed``.
    4. There is a proof under a checkpoint; or, in Rekor v1, no proof and a promise, which the caller has verified. A proof
       without a checkpoint leads to a root that nobody has signed.
    5. The checkpoint is signed by the log and is of that log; the proof is for its size and root.
    6. In Rekor v2 the proof is for the index that the entry names. (In v1 the entry counts over all trees of the log.)
    7. The body's leaf hash is in that tree.

    Raises:
        Refused: one of these does not hold. Malformed: the checkpoint or the proof is not well-formed.
    """
    return at_once(entry_steps(entry, signed, logs, times))


def entry_steps(
    entry: LogEntry, signed: Signed, logs: Sequence[LogInstance], times: Sequence[datetime]
) -> Steps[VerifiedEntry]:
    """:func:`verify_log_entry`, with its pauses."""
    generation = kind_of(entry).generation  # 1
    log = find_log(entry.log_id, logs, times)  # 2
    check_body(entry, signed)  # 3
    kind = f"{entry.kind} {entry.version}"
    proof = entry.proof
    if proof is None and generation == 1 and entry.promise is not None:  # 4
        return VerifiedEntry(log.base_url, kind, entry.index, 0, b"", log)
    if proof is None or not proof.checkpoint:
        raise Refused("the log entry has no proof with a checkpoint" + ("" if proof else ", and no promise of the log"))
    yield
    with _CHECKPOINT:
        verify_head(proof, log, generation=generation)  # 5
    yield
    if generation == 2 and entry.index != proof.index:  # 6
        raise Refused(f"the log entry says index {entry.index}, its proof is for index {proof.index}")
    with _PATH:
        _verify_inclusion(entry.body, proof)  # 7
    return VerifiedEntry(log.base_url, kind, proof.index, proof.size, proof.root, log)


def _verify_inclusion(body: bytes, proof: InclusionProof) -> None:
    merkle.verify_inclusion(
        leaf_hash=merkle.hash_leaf(body), index=proof.index, size=proof.size, proof=proof.hashes, root=proof.root
    )
