# SPDX-License-Identifier: Apache-2.0
"""Explains what is made for an image, and what is verified of it: step by step, on standard error beside cosign's JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from client.explain.claims import claims_part
from client.explain.flow import explain_verification
from client.explain.signing import explain_signing
from client.fulcio import Issued
from client.oci.attached import Attached
from client.oci.signing import Attachment
from client.oci.verification import artifact_digest
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import MessageSignature
from sigcore.errors import SigError
from sigcore.strict import JSON, parse_hex
from sigcore.trustroot import TrustedRoot
from stack.cli.explaining import Explainer


class ImageExplainer:
    """A :class:`client.oci.verification.Watcher` that keeps what it sees until it is asked to show it.

    Raises:
        Usage: see :class:`stack.cli.explaining.Explainer`.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._explainer = Explainer(options, sys.stderr)
        self._recorder = Recorder()
        self._seen: list[tuple[Attached, Recorder, SigError | None]] = []

    def recorder(self, one: Attached) -> Recorder:
        """As the Protocol says."""
        del one
        self._recorder = Recorder()
        return self._recorder

    def ended(self, one: Attached, error: SigError | None) -> None:
        """As the Protocol says."""
        self._seen.append((one, self._recorder, error))

    def show(self, digest: str) -> list[dict[str, JSON]]:
        """Explain what was seen since the last time, about the image with this digest."""
        seen, self._seen = self._seen, []
        rows = []
        for one, recorder, error in seen:
            artifact = artifact_digest(one, digest)
            parts = explain_verification(one.bundle, recorder, artifact, "", error, one.stamped)
            if one.payload is not None and (error is None or error.step == "claims"):
                claims = claims_part(one.text, one.payload.reference, digest, error)
                parts = (*(part for part in parts if part.name != "claims"), claims)
            rows.append({"place": one.place, **self._explainer.show(one.place, parts)})
        return rows

    def show_made(
        self,
        made: Sequence[Attachment],
        places: Sequence[str],
        digest: str,
        root: TrustedRoot,
        made_by: Issued | ManagedKey,
    ) -> list[dict[str, JSON]]:
        """Explain what was made for the image with this digest."""
        raw = parse_hex(digest.partition(":")[2], what="the image's digest", size=HashAlgorithm.SHA2_256.size)
        rows = []
        for one, place in zip(made, places, strict=True):
            content = one.bundle.content
            artifact = content.digest if isinstance(content, MessageSignature) else raw
            parts = explain_signing(one.bundle, artifact, "", root=root, made_by=made_by)
            rows.append(self._explainer.show(place or "not pushed", parts))
        return rows
