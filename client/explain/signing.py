# SPDX-License-Identifier: Apache-2.0
"""The steps of a signing, in the order in which they happened."""

from __future__ import annotations

from dataclasses import replace

from client.explain.flow import list_parts
from client.explain.issuing import possession_part, token_part
from client.explain.part import Part
from client.fulcio import Issued
from client.identity import IdentityToken
from client.verify import verify_own
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey
from sigcore.bundle import Bundle
from sigcore.errors import SigError
from sigcore.trustroot import TrustedRoot

_ORDER = (
    *("token", "key", "proof of possession", "precertificate", "SCT", "certificate", "identity"),
    *("digest", "signature", "timestamp", "promise", "entry", "leaf hash", "path", "checkpoint"),
)
_REFUSED = {
    "services": ("The signing config names every service that is needed.", "Whoever gave you the signing config."),
    "certificate": (
        "The certificate authority takes the token and the proof of possession, and answers with a certificate.",
        "The authority could say no to anybody. What it answers is verified.",
    ),
    "signature": ("The key signs the artifact's digest, or the envelope.", "Nobody: this happens here."),
    "timestamp": (
        "The timestamp authorities sign the time over the signature.",
        "An authority could say no to anybody. What it answers is verified.",
    ),
    "entry": (
        "The log takes the signature and answers with a proof.",
        "The log could say no to anybody. What it answers is verified.",
    ),
}
"""Step of a signing -> (what is done, who could lie) where it is the one that failed."""
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


def explain_failed_signing(signer: IdentityToken | None, issued: Issued | None, error: SigError) -> tuple[Part, ...]:
    """What was done until ``error``, and the step that it ended, with its reason.

    Args:
        signer: the token that was shown, None where a key of the user signs.
        issued: the certificate, where it was had.
        error: the failure; its ``step`` is one of the signing's, or of the verification of an answer.
    """
    parts = [token_part(signer)] if signer is not None else []
    if issued is not None:
        parts.append(possession_part(issued))
    name = error.step or "answer"
    what = _REFUSED.get(
        name, ("What was made and answered is verified before it is handed out.", "The service that answered.")
    )
    return (*parts, Part(name, *what, refusal=error.message, hint=error.hint))
