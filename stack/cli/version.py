# SPDX-License-Identifier: Apache-2.0
"""Print the version of sigbox."""

from __future__ import annotations

TYPE_CHECKING = False
"""Type checkers know the name. Importing it would take as long as all the rest."""
if TYPE_CHECKING:
    import argparse

VERSION = "0.1.0"
"""Written here too, because reading it from the installed package takes four starts of Python; a test compares them."""


EXAMPLES = """\
examples:
  sigbox version
  sigbox version --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="as JSON on standard output")


def run(options: argparse.Namespace | None) -> int:
    """Print ``sigbox X.Y.Z``."""
    print(f'{{"version": "{VERSION}"}}' if options is not None and options.json else f"sigbox {VERSION}")
    return 0
