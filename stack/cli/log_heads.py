# SPDX-License-Identifier: Apache-2.0
"""``sigbox log info``, ``consistency`` and ``export``: what a log has signed of its tree."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Final

from client.files import read_file
from client.logs.choice import generation_of
from client.logs.reader import LogReader, SignedHead, signed_head
from client.logs.rekor_v1 import RekorV1Log
from client.logs.tiled import TiledLog
from client.verify.witnessed import Witnessed
from sigcore import limits, merkle
from sigcore.errors import Malformed
from sigcore.merkle import Hash
from sigcore.note import parse_note
from sigcore.strict import encode_base64, parse_decimal, shown
from stack.cli.log_action import Action
from stack.cli.log_options import add_log_options
from stack.cli.log_reading import (
    Reading,
    chosen_log,
    head_json,
    head_line,
    progress,
    reading,
)
from stack.cli.table import ExitCode
from stack.cli.usage import Usage
from stack.config import home_at
from stack.log_export import Exported, Source, export
from stack.own_log import OwnLog


# --- info --------------------------------------------------------------------------------------------
async def _info(options: argparse.Namespace) -> int:
    async with reading(options) as open_log:
        head, before = await open_log.follow()
    print(
        json.dumps(_info_json(open_log, head, before), indent=2) if options.json else _info_text(open_log, head, before)
    )
    return ExitCode.DONE


def _info_json(open_log: Reading, head: SignedHead, before: SignedHead | None) -> dict[str, object]:
    return {
        "url": open_log.url,
        "generation": open_log.reader.generation,
        "logId": open_log.reader.log.log_id.hex(),
        **head_json(head),
        "signatures": [
            {"name": line.name, "keyHash": line.key_hash.hex()} for line in parse_note(head.envelope).signatures
        ],
        "seenBefore": head_json(before) if before else None,
        **_witnesses_json(open_log.cosigned(head)),
    }


def _witnesses_json(found: Witnessed | None) -> dict[str, object]:
    if found is None:
        return {}
    rows = [{"name": one.name, "keyName": one.found.signer.name, "time": one.time} for one in found.cosignatures]
    return {"witnesses": {"quorum": found.rule, "cosigned": rows}}


def _among(reader: LogReader) -> str:
    """Where the tree stands among those of Rekor v1."""
    if not isinstance(reader, RekorV1Log) or len(reader.starts) == 1:
        return ""
    ended = ", and has ended: another tree goes on" if reader.ended else ""
    return f", of {len(reader.starts)} trees behind one index; this one begins with entry {reader.first}{ended}"


def _info_text(open_log: Reading, head: SignedHead, before: SignedHead | None) -> str:
    log, signers = open_log.reader.log, [line.name for line in parse_note(head.envelope).signatures]
    others = len(signers) - 1
    rows = [
        ("log", f"{open_log.url} (Rekor v{open_log.reader.generation})"),
        ("origin", shown(head.checkpoint.origin, 200)),
        ("log id", log.log_id.hex()),
        ("size", f"{head.size} entries{_among(open_log.reader)}"),
        ("root", encode_base64(head.root)),
        ("checkpoint", f"signed by the log's key of the trusted root{f', and by {others} more' if others else ''}"),
        ("seen before", f"{head_line(before)}: the beginning of this tree" if before else "never; remembered now"),
    ]
    if (found := open_log.cosigned(head)) is not None:
        names = ", ".join(f"{shown(one.name, 200)} at {one.time}" for one in found.cosignatures) or "nobody"
        rows.append(("witnesses", f"cosigned by {names}; your policy demands {found.rule}"))
    return "\n".join(f"{name:<12}{value}" for name, value in rows)


# --- consistency -------------------------------------------------------------------------------------
def _consistency_options(parser: argparse.ArgumentParser) -> None:
    text = "a number of entries, or a file with a signed checkpoint"
    parser.add_argument("old", metavar="OLD", help=text)
    parser.add_argument("new", metavar="NEW", nargs="?", help=f"{text} (default: the head of now)")
    add_log_options(parser)


async def _consistency(options: argparse.Namespace) -> int:
    """1. Follow the log. 2. Find both roots. 3. Verify the proof between them, and that from the larger one to the signed head."""
    async with reading(options) as open_log:
        head, _ = await open_log.follow()
        old, old_root = await _tree(open_log, options.old, head)
        new, new_root = await _tree(open_log, options.new, head) if options.new else (head.size, head.root)
        if not 1 <= old <= new:
            raise Usage(f"the sizes are {old} and {new}, expected 1 <= OLD <= NEW")
        proof = await _verified(open_log, (old, old_root), (new, new_root), head)
        await _verified(open_log, (new, new_root), (head.size, head.root), head)
    if options.json:
        document = {
            "old": {"size": old, "rootHash": old_root.hex()},
            "new": {"size": new, "rootHash": new_root.hex()},
            "proof": [node.hex() for node in proof],
            "head": head_json(head),
        }
        print(json.dumps(document, indent=2))
    else:
        print(f"consistent: the tree of {old} entries, root {encode_base64(old_root)},")
        print(f"  is the beginning of that of {new}, root {encode_base64(new_root)}")
        print("\n".join(f"  {node.hex()}" for node in proof) or "  (equal sizes need no proof)")
    return ExitCode.DONE


async def _tree(open_log: Reading, given: str, head: SignedHead) -> tuple[int, Hash]:
    if given.isascii() and given.isdigit():
        size = parse_decimal(given, what="the size of a tree")
        return size, await open_log.reader.root(size, head)
    text = read_file(given, what="the checkpoint", limit=limits.NOTE).decode("utf-8", "replace")
    stored = signed_head(text, open_log.reader.log, open_log.reader.generation)
    if stored.size > head.size:
        raise Malformed(f"the checkpoint {given} is of {stored.size} entries, the log shows {head.size}")
    return stored.size, stored.root


async def _verified(
    open_log: Reading, old: tuple[int, Hash], new: tuple[int, Hash], head: SignedHead
) -> tuple[Hash, ...]:
    (first, first_root), (second, second_root) = old, new
    proof = await open_log.reader.consistency(first, second, head) if first < second else ()
    merkle.verify_consistency(first=first, second=second, first_root=first_root, second_root=second_root, proof=proof)
    return proof


# --- export ------------------------------------------------------------------------------------------
def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="DIR", type=Path, help="where the files go: a new folder, or an export before"
    )
    parser.add_argument("--data", metavar="DIR", help="take the log of this data directory, without a request")
    add_log_options(parser)


async def _export(options: argparse.Namespace) -> int:
    if options.data is not None:
        done = await _export_own(options)
    else:
        async with reading(options) as open_log:
            if not isinstance(open_log.reader, TiledLog):
                raise Usage("a log of Rekor v1 has no tiles to export", "choose one of v2: --rekor-version 2")
            await open_log.follow()
            done = await _export_from(open_log.reader, options)
    if options.json:
        before = head_json(done.before) if done.before else None
        print(
            json.dumps({"folder": str(options.folder), **head_json(done.head), "before": before, "files": done.files})
        )
    else:
        since = f", {done.head.size - done.before.size} of them new" if done.before else ""
        print(f"{options.folder}: {head_line(done.head)}{since}; {done.files} files written")
    return ExitCode.DONE


async def _export_own(options: argparse.Namespace) -> Exported:
    if options.witness_policy is not None:
        raise Usage("--witness-policy and --data are given", "what lies in a data directory has no cosignatures")
    home = home_at(options.data)
    if not (options.trusted_root or options.trust_config):
        options.trusted_root = str(home.trusted_root)
    options.rekor_version = 2
    log = chosen_log(options)
    async with OwnLog(home, log.key, partial(signed_head, log=log, generation=generation_of(log))) as own:
        return await _export_from(own, options)


async def _export_from(source: Source, options: argparse.Namespace) -> Exported:
    log = chosen_log(options)
    read = partial(signed_head, log=log, generation=generation_of(log))
    return await export(source, options.folder.absolute(), read, progress("export"))


ACTIONS: Final = (
    Action("info", "the log's checkpoint, verified, and what was seen of it before", add_log_options, _info),
    Action("consistency", "prove that one tree is the beginning of another one", _consistency_options, _consistency),
    Action("export", "write a v2 log as static files that any file server can serve", _export_options, _export),
)
