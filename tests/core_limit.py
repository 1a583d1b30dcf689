# SPDX-License-Identifier: Apache-2.0
"""What a running process may write of its memory when it crashes."""

from __future__ import annotations

import re
from pathlib import Path


def core_limits(pid: int) -> tuple[str, str]:
    """Of its soft and its hard limit, in bytes, as Linux tells them."""
    text = Path(f"/proc/{pid}/limits").read_text("ascii")
    found = re.search(r"^Max core file size +(\S+) +(\S+) +bytes", text, re.MULTILINE)
    assert found, text
    return found[1], found[2]
