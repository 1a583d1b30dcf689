# SPDX-License-Identifier: Apache-2.0
"""What was checked, with the evidence: for ``--explain`` and ``--json``.

A report is made from a :class:`~client.verify.Verified` value alone, so it can list no check that did not run.
"""

from __future__ import annotations

from collections.abc import Iterator

from client.verify import Verified
from sigcore.strict import encode_time, shown
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """``name`` of the check, ``what`` it established, and the ``value`` that it found."""

    name: str
    what: str
    value: str


def list_checks(verified: Verified) -> tuple[Check, ...]:
    """The checks in the order in which they ran."""
    return tuple(_checks(verified))


def _checks(verified: Verified) -> Iterator[Check]:
    about = "a subject of the statement" if verified.statement is not None else "the bundle's digest"
    yield Check("artifact", f"{about} is the artifact's", verified.digest.hex())
    for time in verified.times:
        yield Check("time", f"{shown(time.authority)} saw the signature", encode_time(time.time))
    yield from _signer_checks(verified)
    for entry in verified.entries:
        place = (
            f"entry {entry.index} of {entry.size}, root {entry.root.hex()}" if entry.size else f"index {entry.index}"
        )
        how = "holds" if entry.size else "has promised to hold"
        yield Check("transparency", f"the log {shown(entry.log)} {how} this very signature ({entry.kind})", place)
    for head in verified.witnessed:
        what = f"the witnesses that the policy demands ({head.rule}) have cosigned the tree of {head.size} leaves"
        names = (f"{shown(one.name, 200)} at {one.time}" for one in head.cosignatures)
        yield Check("witnesses", f"{what} of {shown(head.log)}", ", ".join(names) or "none")
    by = "the certificate's" if verified.chain else "the named"
    over = "the attestation" if verified.statement is not None else "the artifact's digest"
    yield Check("signature", f"by {by} key over {over}", verified.signature.hex())
    if verified.statement is not None:
        yield Check("predicate", "what kind of statement it is", shown(verified.statement.predicate_type, 300))


def _signer_checks(verified: Verified) -> Iterator[Check]:
    if not verified.chain:
        yield Check("key", "signed with a bare key, which the verifier named", verified.signer.identity)
        return
    leaf, *issuers = verified.chain
    window = f"{encode_time(leaf.not_before)} to {encode_time(leaf.not_after)}"
    yield Check("certificate", f"valid at every time above, {len(issuers)} issuers up to a trusted root", window)
    for sct in verified.scts:
        yield Check("publication", f"the certificate log {shown(sct.log)} promised to hold it", encode_time(sct.time))
    yield Check("identity", "the certificate's one name", shown(verified.signer.identity, 300))
    yield Check("issuer", "who identified the signer", shown(verified.signer.issuer, 300))
