# SPDX-License-Identifier: Apache-2.0
"""What was checked, with the evidence: for ``--explain`` and ``--json``.

A report is made from a :class:`~client.verify.Verified` value alone, so it can list no check that did not run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from client.verify import Verified
from sigcore.strict import encode_time, shown


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
    yield Check("artifact", "the bundle's digest is the artifact's", verified.digest.hex())
    for time in verified.times:
        yield Check("time", f"{shown(time.authority)} saw the signature", encode_time(time.time))
    leaf, *issuers = verified.chain
    window = f"{encode_time(leaf.not_before)} to {encode_time(leaf.not_after)}"
    yield Check("certificate", f"valid at every time above, {len(issuers)} issuers up to a trusted root", window)
    for sct in verified.scts:
        yield Check("publication", f"the certificate log {shown(sct.log)} promised to hold it", encode_time(sct.time))
    yield Check("identity", "the certificate's one name", shown(verified.signer.identity, 300))
    yield Check("issuer", "who identified the signer", shown(verified.signer.issuer, 300))
    for entry in verified.entries:
        place = f"entry {entry.index} of {entry.size}, root {entry.root.hex()}"
        yield Check("transparency", f"the log {shown(entry.log)} holds this very signature", place)
    yield Check("signature", "by the certificate's key over the artifact's digest", verified.signature.hex())
