# SPDX-License-Identifier: Apache-2.0
"""Every client that there is a guide for, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stack.clients import admission, signing
from stack.clients.guide import Guide, Place
from stack.config import Home, Settings

GUIDES: Final[dict[str, Callable[[Place], Guide]]] = {
    "sigbox": signing.sigbox,
    "cosign": signing.cosign,
    "gitsign": signing.gitsign,
    "sigstore-python": signing.sigstore_python,
    "sigstore-js": signing.sigstore_js,
    "gh": admission.gh,
    "kyverno": admission.kyverno,
    "policy-controller": admission.policy_controller,
    "podman": admission.podman,
    "npm": signing.npm,
    "maven": signing.maven,
}
FIRST: Final = ("sigbox", "cosign", "sigstore-python", "sigstore-js", "gitsign")
"""Those that a start prints and that the front page shows at once."""


def guide(client: str, home: Home, settings: Settings) -> Guide:
    """The guide for ``client`` at a stack."""
    return GUIDES[client](Place(home, settings))
