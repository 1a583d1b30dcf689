# SPDX-License-Identifier: Apache-2.0
"""The steps of a signing, in the order in which they happened."""

from __future__ import annotations

from dataclasses import replace

from client.explain.flow import list_parts
from client.explain.issuing import possession_part, token_part
from client.explain.part import Part
from client.fulcio import Issued
from client.verify import verify_own
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey
from sigcore.bundle import Bundle
from sigcore.trustroot import TrustedRoot

_ORDER = (
    *("token", "key", "proof of possession", "precertificate", "SCT", "certificate", "identity"),
    *("digest", "signature", "timestamp", "promise", "entry", "leaf hash", "path", "checkpoint"),
)
_CARRIED = "The certificate carries the name and the issuer that the token states."


def explain_signing(
    bundle: Bundle, digest: bytes, artifact: str, *, root: TrustedRoot, made_by: Issued | ManagedKey
) -> tuple[Part, ...]:
    """What the signer's own verification of ``bundle`` finds, behind what was shown for the certificate.

    Args:
        bundle: what was made.
        digest: of the artifact.
        artifact: its absolute path, or empty.
        root: what was trusted.
        made_by: the certificate with what was shown for it, or the key of the user.

    Raises:
        Refused, Malformed: the bundle does not verify.
    """
    found = Recorder()
    verify_own(bundle, digest, root=root, key=made_by if isinstance(made_by, ManagedKey) else None, recorder=found)
    parts = [
        replace(part, checks=_CARRIED) if part.name == "identity" else part
        for part in list_parts(bundle, found, digest, artifact)
    ]
    if isinstance(made_by, Issued):
        parts += [token_part(made_by.token), possession_part(made_by)]
    return tuple(sorted(parts, key=lambda part: _ORDER.index(part.name)))
