# SPDX-License-Identifier: Apache-2.0
"""What ``sigbox copy``, ``save`` and ``load`` say: each step to people as it is done, and all of them in one document with ``--json``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.oci.copying import Step
    from client.oci.manifest import Descriptor


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")


class Moved:
    """The steps so far."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def tell(self, step: Step) -> None:
        """One more."""
        self._steps.append(step)
        sys.stderr.write(f"{step.line}\n")

    def print(self, source: str, target: str, top: Descriptor) -> None:
        """The document: from where to where, what is there now, and what was left out."""
        document = {
            "source": source,
            "target": target,
            "digest": top.digest,
            "images": self._of("image"),
            "tags": self._of("tag"),
            "referrers": self._of("referrer"),
            "leftOut": self._of("leftOut"),
        }
        print(json.dumps(document, indent=2))

    def _of(self, kind: str) -> list[str]:
        return [step.name for step in self._steps if step.kind == kind]
