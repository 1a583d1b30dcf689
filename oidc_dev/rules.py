# SPDX-License-Identifier: Apache-2.0
"""How logins are held: what a password costs, how long a session lasts, and how long one key signs."""

from __future__ import annotations

from typing import Final

from sigcore.errors import Malformed
from sigcore.values import dataclass

PASSES: Final = 12
"""Passes of argon2id over its 19 MiB: from 100 ms on, on the machines of this decade."""
FEWEST_PASSES: Final = 2
"""OWASP's first choice for 19 MiB; less is no password hash."""


@dataclass(frozen=True, slots=True)
class LoginRules:
    """The defaults are those of a stack that says nothing else."""

    passes: int = PASSES
    idle_s: int = 15 * 60
    """A session that is not used for so long ends."""
    session_s: int = 8 * 3600
    """And one that is used ends then; 0 for no sessions at all."""
    key_s: int = 90 * 86400
    """The key that signs is changed at this age; 0 for never."""

    def __post_init__(self) -> None:
        if not FEWEST_PASSES <= self.passes <= 1000:
            raise Malformed(f"the password hash has {self.passes} passes, expected {FEWEST_PASSES} to 1000")
        if self.session_s < 0 or not 0 < self.idle_s <= 7 * 86400 or self.session_s > 30 * 86400:
            raise Malformed("a session idles from a minute to a week, and lasts a month at most")
        if not 0 <= self.key_s <= 3650 * 86400:
            raise Malformed("the key that signs is changed after a day at the earliest and ten years at the latest")
