# SPDX-License-Identifier: Apache-2.0
"""What the commands that attach something share: whether it goes to the registry, and the row that reports it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from client.fulcio import Issued
from client.oci.signing import Attachment
from client.oci.walking import Node
from client.sign import Signing
from client.verify.signed import ManagedKey
from sigcore.keys import is_private_key
from stack.cli.explain_options import wants_explanation

Rows: TypeAlias = list[dict[str, object]]
Explain: TypeAlias = Callable[[Node, Sequence[Attachment], Sequence[str], Rows], Rows]
"""(image, what was made for it, where it is, its rows of the report) -> the rows, with an explanation if one is wanted."""


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


def explainer(options: argparse.Namespace, signing: Signing, issued: Sequence[Issued]) -> Explain:
    """What explains each image's attachments. ``issued`` is filled while the command runs."""
    if not wants_explanation(options):
        return lambda _node, _made, _places, rows: rows
    # Deferred: seldom asked for.
    from stack.cli.image_explaining import ImageExplainer  # noqa: PLC0415 - see the line above

    shown, signer = ImageExplainer(options), signing.signer

    def explain(node: Node, made: Sequence[Attachment], places: Sequence[str], rows: Rows) -> Rows:
        made_by = ManagedKey(signer.public_key()) if is_private_key(signer) else issued[-1]
        told = shown.show_made(made, places, node.ref.digest, signing.trust.root, made_by)
        return [row | dict(steps) for row, steps in zip(rows, told, strict=True)]

    return explain
