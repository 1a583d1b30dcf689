# SPDX-License-Identifier: Apache-2.0
"""The table of faults. docs/faults.md has the same rows; a test compares them.

The order counts where several are on: the first stands farthest out.
"""

from __future__ import annotations

from typing import Final

from stack.faults import fulcio, rekor, transport, tsa, tuf
from stack.faults.fault import Fault

_RETRIES: Final = "that it gives up or tries again, and says which service it was"
_INCLUSION: Final = "inclusion proof"
_ROWS: Final = (
    # --- transport: of one role, or of all
    Fault("slow", "answers begin after `seconds`", "its time limit", transport.slow, ("role", "seconds")),
    Fault(
        "error",
        "answers are `status` (429, 500 to 599), with Retry-After; the role is not asked",
        _RETRIES,
        transport.error,
        ("role", "status"),
    ),
    Fault(
        "cut",
        "the role has done what was asked, the connection ends in the middle of its answer",
        "that the answer is shorter than its Content-Length",
        transport.cut,
        ("role",),
    ),
    # --- Rekor, both APIs
    Fault("wrong-proof", "a hash of the inclusion proof is another one", _INCLUSION, rekor.proof),
    Fault(
        "wrong-root", "the root hash beside the proof is not the checkpoint's", "proof against checkpoint", rekor.root
    ),
    Fault("wrong-checkpoint", "the log's signature of the checkpoint does not verify", "checkpoint", rekor.checkpoint),
    Fault(
        "wrong-set", "the signed entry timestamp of a Rekor v1 entry does not verify", "entry timestamp", rekor.promise
    ),
    Fault(
        "other-entry",
        "the answer is the log's first entry, with everything that proves it",
        "that the entry is its own: digest, signature, certificate",
        rekor.other_entry,
    ),
    # --- timestamp authority
    Fault("wrong-timestamp", "the signature of the timestamp does not verify", "timestamp signature", tsa.signature),
    Fault("other-imprint", "the timestamp is of something else", "message imprint", tsa.imprint),
    Fault("other-nonce", "the timestamp answers another request", "nonce", tsa.nonce),
    Fault("no-grant", "a rejection, with HTTP's 200", "PKIStatus", tsa.rejection),
    Fault(
        "timestamp-time",
        "the authority's time is `hours` from ours",
        "that the certificate was valid at the time",
        tsa.time,
        ("hours",),
    ),
    # --- TUF
    Fault("expired-metadata", "timestamp.json expired `hours_ago`", "expiry", tuf.expiry, ("hours_ago",)),
    Fault("wrong-metadata-signature", "the signature of timestamp.json does not verify", "signatures", tuf.signature),
    Fault(
        "rolled-back",
        "timestamp.json has the version before the newest",
        "that a version seen once is not followed by an older one",
        tuf.rollback,
    ),
    Fault(
        "frozen",
        "timestamp.json stays as it was when the fault was switched on",
        "expiry, when it comes; what was published since must not be taken for known",
        tuf.freeze,
    ),
    Fault("wrong-target", "a bit of each target is another one", "length and hash of targets", tuf.target),
    Fault("missing-target", "no target is there", "that it fails, and does not go on with none", tuf.missing),
    # --- certificate authority
    Fault("wrong-sct", "the SCT in the certificate does not verify", "SCT", fulcio.stamp),
    Fault(
        "expired-certificate",
        "the certificate was valid `hours_ago`",
        "that the certificate was valid at the time",
        fulcio.validity,
        ("hours_ago",),
    ),
    Fault(
        "other-identity",
        "the certificate is for `identity`",
        "the expected identity: the signer's at the latest when somebody verifies",
        fulcio.identity,
        ("identity",),
    ),
    Fault(
        "wrong-chain",
        "the certificate is signed by an authority of the same names and other keys, and comes with its chain",
        "certificate chain against the trusted root",
        fulcio.chain,
    ),
)
FAULTS: Final = {row.name: row for row in _ROWS}
"""By name, in their order."""
