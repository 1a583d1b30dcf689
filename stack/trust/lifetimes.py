# SPDX-License-Identifier: Apache-2.0
"""How long TUF metadata is good for, apart from python-tuf, which only the publisher imports."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

LIFETIME: Final = {
    "root": timedelta(days=3650),
    "targets": timedelta(days=3650),
    "snapshot": timedelta(days=90),
    "timestamp": timedelta(days=30),
}
"""Root and targets are long-lived so that a closed network never has to hurry; the running stack re-signs the others."""
