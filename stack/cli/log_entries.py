# SPDX-License-Identifier: Apache-2.0
"""``sigbox log entry`` and ``proof``: what is in a log, and that it is there."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Final

from client.explain.logged import proof_parts
from client.inspection import encode_outline
from client.logs.decoded import decode_entry
from sigcore import limits
from sigcore.entry_id import parse_entry_id
from sigcore.errors import Malformed
from sigcore.log_entry import LogEntry, encode_log_entry
from sigcore.strict import shown
from stack.cli.explain_options import add_explain_options, wants_explanation
from stack.cli.explaining import Explainer
from stack.cli.log_action import Action
from stack.cli.log_options import add_log_options
from stack.cli.log_reading import Reading, reading
from stack.cli.table import ExitCode
from stack.cli.usage import Usage


def _entry_options(parser: argparse.ArgumentParser) -> None:
    text = "its index; of Rekor v1 also its UUID (80 or 64 hexadecimal digits)"
    parser.add_argument("entry", metavar="INDEX|UUID", help=text)
    add_log_options(parser)


async def _found(options: argparse.Namespace) -> tuple[Reading, LogEntry]:
    """The log, followed, and the entry that is asked for, proved."""
    by_index = _is_index(options.entry)
    async with reading(options) as open_log:
        head, _ = await open_log.follow()
        if by_index:
            return open_log, await open_log.reader.entry(int(options.entry), head)
        return open_log, await open_log.reader.find(options.entry)


def _is_index(asked: str) -> bool:
    """Or an id. Usage: neither."""
    if asked.isascii() and asked.isdigit() and len(asked) <= limits.INTEGER_DIGITS:
        return True
    try:
        parse_entry_id(asked)
    except Malformed as error:
        raise Usage(f"the entry is {shown(asked)}, expected an index or 64 or 80 hexadecimal digits") from error
    return False


async def _entry(options: argparse.Namespace) -> int:
    _, entry = await _found(options)
    decoded = decode_entry(entry)
    if options.json:
        print(json.dumps(decoded | {"verified": True}, indent=2))
        return ExitCode.DONE
    if decoded["integratedTime"] is None:
        decoded["integratedTime"] = "none: Rekor v2 dates no entry, timestamps do"
    print(encode_outline(decoded), end="")
    print(_in_tree(entry))
    return ExitCode.DONE


def _in_tree(entry: LogEntry) -> str:
    if entry.proof is None:  # a reader never hands one out like that
        raise Malformed("the entry has no proof")
    return f"verified: leaf {entry.proof.index} of the tree of {entry.proof.size} entries that the log has signed"


# --- proof -------------------------------------------------------------------------------------------
def _proof_options(parser: argparse.ArgumentParser) -> None:
    _entry_options(parser)
    add_explain_options(parser)


async def _proof(options: argparse.Namespace) -> int:
    explainer = Explainer(options) if wants_explanation(options) else None
    open_log, entry = await _found(options)
    if entry.proof is None:
        raise Malformed("the entry has no proof")
    document: dict[str, object] = {"entry": encode_log_entry(entry), "verified": True}
    if explainer is not None:
        first, *others = proof_parts(0, entry, open_log.reader.log)
        first = replace(first, files=(("entry-0.json", entry.body), *first.files))
        document["explanation"] = explainer.show(f"entry {entry.index}", (first, *others))
    if options.json or options.explain == "json":
        print(json.dumps(document, indent=2))
    elif explainer is None:
        proof = entry.proof
        rows = [
            f"leaf {proof.index} of {proof.size}",
            f"root {proof.root.hex()}",
            *(node.hex() for node in proof.hashes),
        ]
        print("\n".join((*rows, "", proof.checkpoint)), end="")
        print(_in_tree(entry))
    return ExitCode.DONE


ACTIONS: Final = (
    Action("entry", "one entry, decoded, its inclusion proof verified", _entry_options, _entry),
    Action("proof", "the inclusion proof of one entry, verified, printed, explained", _proof_options, _proof),
)
