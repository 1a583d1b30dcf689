# SPDX-License-Identifier: Apache-2.0
"""The fingerprint of a TUF root, as it is printed and as people carry it over: from paper, a ticket, a front page."""

from __future__ import annotations

import argparse
import re
from typing import Final

_HEX: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def given_fingerprint(text: str) -> str:
    """``text`` as 64 hexadecimal digits in lower case; ``sha256:`` may stand before them, as `sigbox up` prints it.

    Raises:
        ArgumentTypeError: it is none.
    """
    digits = text.strip().lower().removeprefix("sha256:")
    if not _HEX.fullmatch(digits):
        raise argparse.ArgumentTypeError(
            f"{text[:80]!a} is no SHA-256: expected 64 hexadecimal digits, `sha256:` may stand before them"
        )
    return digits
