# SPDX-License-Identifier: Apache-2.0
"""The delegated TUF role ``policy``: who owns the policy need not own the trust root.

``targets`` names a key for the one path ``policy.json`` and ends the search there, so no other role can speak for it. The key
lies beside the others in ``tuf/policy.key`` when it is made; its holder may take it away, and bring it back to publish. Without
it the role stays as it was last signed, whatever lies in ``public/``: a policy must not keep the trust root from being renewed.

Source: The Update Framework specification 1.0.31, section 4.5 (delegations). Imported by the publisher alone, as python-tuf is.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, TargetFile, Targets

from stack.trust.versions import POLICY

PATH = "policy.json"


@dataclass(frozen=True, slots=True)
class DelegatedPolicy:
    """The policy to publish, and the key of its role."""

    data: bytes
    key: ed25519.Ed25519PrivateKey

    def describe(self) -> dict[str, TargetFile]:
        """The role's one target."""
        return {PATH: TargetFile.from_data(PATH, self.data, ["sha256"])}

    def delegations(self) -> Delegations:
        """What ``targets`` says: whose key it is, and for what."""
        key = self.signer().public_key
        role = DelegatedRole(POLICY, [key.keyid], 1, terminating=True, paths=[PATH])
        return Delegations({key.keyid: key}, {POLICY: role})

    def signer(self) -> CryptoSigner:
        """Who signs the role."""
        return CryptoSigner(self.key)

    def is_due(self, role: Targets | None, begun: int) -> bool:
        """Whether it must be signed anew: it is missing, a newer version was begun, or it says something else."""
        return role is None or role.version < begun or role.targets != self.describe()
