# SPDX-License-Identifier: Apache-2.0
"""A bundle judged by the client's one verifier, with the steps that it took."""

from __future__ import annotations

from client.explain.flow import explain_verification
from client.explain.part import Part
from client.verify import verify_attestation, verify_blob, verify_own
from client.verify.identity import IdentityPolicy
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import SigError
from sigcore.trustroot import TrustedRoot
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Judged:
    """The steps, the last of which is the one that does not hold where ``error`` says why."""

    parts: tuple[Part, ...]
    error: SigError | None = None

    @property
    def step(self) -> str:
        """The step that refused; empty where all hold."""
        return self.parts[-1].name if self.error is not None else ""


def judge(
    bundle: Bundle, digest: bytes, expected: IdentityPolicy | ManagedKey | None, root: TrustedRoot, artifact: str = ""
) -> Judged:
    """Take every step of :mod:`client.verify`; without ``expected`` nobody is demanded. ``artifact`` is what lines call the file."""
    found = Recorder()
    try:
        if expected is None:
            verify_own(bundle, digest, root=root, recorder=found)
        else:
            verify = verify_blob if isinstance(bundle.content, MessageSignature) else verify_attestation
            verify(bundle, digest, root=root, identity=expected, recorder=found)
    except SigError as error:
        return Judged(explain_verification(bundle, found, digest, artifact, error), error)
    return Judged(explain_verification(bundle, found, digest, artifact, None))
