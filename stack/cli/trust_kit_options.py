# SPDX-License-Identifier: Apache-2.0
"""The options of ``sigbox trust export`` and ``import``, apart from python-tuf."""

from __future__ import annotations

import argparse
from pathlib import Path

from stack.cli.fingerprint import given_fingerprint
from stack.cli.placing import add_data_option


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust export``."""
    parser.add_argument("kit", metavar="FILE", type=Path, help="where to write the kit")
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust import``."""
    parser.add_argument("kit", metavar="FILE", type=Path, help="the kit")
    parser.add_argument(
        "--fingerprint",
        type=given_fingerprint,
        metavar="F",
        required=True,
        help="SHA-256 of the first TUF root, which you have over a way that you trust",
    )
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
