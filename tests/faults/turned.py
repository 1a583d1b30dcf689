# SPDX-License-Identifier: Apache-2.0
"""The clock of processes that run with ``clock.c``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Clock:
    """``file`` is what their TURNED_CLOCK names."""

    file: Path

    def turn(self, seconds: int) -> None:
        """It is so much later than it is."""
        part = self.file.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(self.file)
