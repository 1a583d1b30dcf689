# SPDX-License-Identifier: Apache-2.0
"""Print the version of sigbox."""

from __future__ import annotations

import argparse
from importlib.metadata import version


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(_options: argparse.Namespace) -> int:
    """Print ``sigbox X.Y.Z``."""
    print(f"sigbox {version('sigbox')}")
    return 0
