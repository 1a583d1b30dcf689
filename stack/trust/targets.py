# SPDX-License-Identifier: Apache-2.0
"""What the TUF repository carries, by name, and the public file that each target is a copy of.

Both generations: the documents that clients of today ask for by name, and one file per key for those that look for a usage
(gitsign, cosign before version 3, policy-controller). The latter is the form of ``sigstore/pkg/tuf`` and of the public
root-signing repository: ``custom.sigstore`` with ``usage``, ``status`` and ``uri``.

``rekor.pub`` is the key of the Rekor v1 log: clients of that generation know no other API, and take ECDSA keys only.
``fulcio.crt.pem`` is the root once more, under the name that clients fall back to when they find no usage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sigcore.values import dataclass
from stack.config import Home
from stack.generations import Generations

FULCIO, REKOR, CTFE, TSA = "Fulcio", "Rekor", "CTFE", "TSA"


@dataclass(frozen=True, slots=True)
class Carried:
    """A target: its name, its file relative to ``public/``, and what it is for."""

    name: str
    file: str
    usage: str = ""

    def path(self, home: Home) -> Path:
        """Where the file lies."""
        return home.public / self.file


def _key(name: str, usage: str) -> Carried:
    return Carried(name, f"keys/{name}", usage)


def former_target(name: str, number: int) -> str:
    """What the target of a former generation is called, next to ``name`` of the one that signs."""
    stem, dot, ending = name.partition(".")
    return f"{stem}_{number}{dot}{ending}"


def carried_targets(rotated: Generations) -> tuple[Carried, ...]:
    """Every target. Of former generations those that readers ask for by usage, and of which they take several.

    Not the chains of former timestamp authorities: these readers know one leaf, and refuse a second one.
    """
    former = [
        _key(former_target(name, number), FULCIO)
        for number in range(1, len(rotated.get("ca", ())))
        for name in ("fulcio_v1.crt.pem", "fulcio_intermediate_v1.crt.pem")
    ]
    logs = [
        _key(former_target(name, number), usage)
        for log, name, usage in (("ct", "ctfe.pub", CTFE), ("rekor-v1", "rekor.pub", REKOR))
        for number in range(1, len(rotated.get(log, ())))
    ]
    alone = "tsa" in rotated and len(rotated["tsa"][-1].public) == 2  # a leaf below its root
    now = [one for one in TARGETS if not (alone and one.name == "tsa_intermediate_0.crt.pem")]
    return (*now, *former, *logs)


TARGETS: Final = (
    Carried("trusted_root.json", "trusted_root.json"),
    Carried("signing_config.v0.2.json", "signing_config.json"),
    Carried("signing_config_rekor_v2.v0.2.json", "signing_config_v2.json"),
    _key("fulcio_v1.crt.pem", FULCIO),
    _key("fulcio.crt.pem", FULCIO),
    _key("fulcio_intermediate_v1.crt.pem", FULCIO),
    _key("rekor.pub", REKOR),
    _key("ctfe.pub", CTFE),
    _key("tsa_leaf.crt.pem", TSA),
    _key("tsa_intermediate_0.crt.pem", TSA),
    _key("tsa_root.crt.pem", TSA),
)
