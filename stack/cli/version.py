# SPDX-License-Identifier: Apache-2.0
"""Print the version of sigbox."""

from __future__ import annotations

VERSION = "0.1.0"
"""Written here too, because reading it from the installed package takes four starts of Python; a test compares them."""


def add_arguments(parser: object) -> None:
    """No options."""


def run(_options: object) -> int:
    """Print ``sigbox X.Y.Z``."""
    print(f"sigbox {VERSION}")
    return 0
