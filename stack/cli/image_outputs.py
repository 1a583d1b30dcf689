# SPDX-License-Identifier: Apache-2.0
"""What the commands that attach something share: whether it goes to the registry, and the row that reports it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from client.oci.signing import Attachment
from client.oci.walking import Node


def add_upload_options(parser: argparse.ArgumentParser, what: str) -> None:
    """``--bundle``, ``--upload``, ``--no-upload``. The forms with ``=`` are options of their own for argparse."""
    parser.add_argument("--bundle", type=Path, metavar="OUT", help="also write the bundle to a file")
    parser.add_argument("--upload", dest="upload", action="store_true", default=True, help=f"push {what} (default)")
    parser.add_argument("--upload=true", dest="upload", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--upload=false", dest="upload", action="store_false", help="make it and do not push it")
    parser.add_argument("--no-upload", dest="upload", action="store_false", help="the same")


def described(node: Node, one: Attachment, place: str) -> dict[str, object]:
    """The report of one attachment; people are told in one line."""
    entry = one.bundle.log_entries[0]
    kind = f"{entry.kind} {entry.version}"
    sys.stderr.write(f"  {one.layout.value}: {place or 'not pushed'} (log index {entry.index}, {kind})\n")
    return {
        "image": node.ref.name,
        "digest": node.ref.digest,
        "platform": str(node.platform) if node.platform else "",
        "layout": one.layout.value,
        "place": place,
        "logIndex": entry.index,
        "logEntryKind": kind,
    }
