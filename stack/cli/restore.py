# SPDX-License-Identifier: Apache-2.0
"""Make a data directory out of a backup. Nothing is written before the whole archive is hashed, and nothing is put in place before every
log is re-hashed and fits its signed head.

The directory must not be there, or be empty, or hold nothing but the folder anchor/ of a stack that was lost. What those anchors know was
published must be in the archive: a log that goes on from an older state is a fork to everybody who has seen more. So an older archive
is refused, unless you say --accept-rollback. Stop the old stack first: two that sign with the same keys make a fork as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from sigcore.strict import encode_time
from stack.backup.restoring import Restored, Taken, Wanted, restore
from stack.cli.backup import keys_line
from stack.cli.fsck import progress
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.cli.table import ExitCode
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox restore /mnt/safe/sigbox-2026-01-31.tar --data /srv/sigbox
  sigbox restore backup.tar --check                          verify it all, put nothing in place
  sigbox restore backup.tar --data new --anchors old/anchor  compare with what a lost stack has published
  sigbox restore backup.tar --digest 9f86d081...             as sigbox backup printed it

exit codes:
  0 restored   1 the archive, a log or the history does not hold
  2 usage, or the place is not free"""


_UNKNOWN = "no anchor says whether more was published since: ask a client that has seen the log (sigbox log info)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox restore``."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the archive")
    add_data_option(parser)
    add_passphrase_option(parser)
    parser.add_argument("--anchors", metavar="DIR", type=Path, help="the folder anchor/ of the stack that was lost")
    parser.add_argument("--digest", metavar="HEX", default="", help="the SHA-256 that the whole archive must have")
    parser.add_argument(
        "--accept-rollback", action="store_true", help="go on from an older state than was published: a fork to others"
    )
    parser.add_argument("--check", action="store_true", help="verify the archive and its logs, put nothing in place")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(options: argparse.Namespace) -> int:
    """Restore, or say why not."""
    wanted = Wanted(
        options.file,
        unlocked(options),
        options.anchors,
        options.digest,
        accept_rollback=options.accept_rollback,
        only_check=options.check,
    )
    try:
        done = asyncio.run(restore(wanted, progress))
    except Taken as error:
        raise Usage(error.message, error.hint) from error
    if done.settled:
        sys.stderr.write(f"an earlier restore was cut off: {done.settled}\n")
    for one in done.behind:
        sys.stderr.write(
            f"warning: the log {one.log} goes on from {one.restored} entries, {one.published} were published: "
            "whoever has seen more will call it a fork\n"
        )
    print(json.dumps(_document(wanted, done), indent=2) if options.json else _text(wanted, done))
    return ExitCode.DONE


def _document(wanted: Wanted, done: Restored) -> dict[str, object]:
    return {
        "data": None if wanted.only_check else str(wanted.home.path),
        "created": encode_time(done.about.created),
        "url": done.about.url,
        "keysEncrypted": done.about.encrypted,
        "keysInTokens": list(done.about.in_tokens),
        "logs": {
            found.log: {"entries": found.audit.entries, "root": found.audit.root.hex()}
            for found in done.findings
            if found.audit
        },
        "behind": [{"log": one.log, "restored": one.restored, "published": one.published} for one in done.behind],
    }


def _text(wanted: Wanted, done: Restored) -> str:
    where = f"{wanted.archive}: intact" if wanted.only_check else f"{wanted.home.path}: restored"
    rows = [f"{where}, as it was at {encode_time(done.about.created)}, {done.about.url}"]
    rows += [
        f"  {one.log}: {one.audit.entries} entries re-hashed, root {one.audit.root.hex()}"
        for one in done.findings
        if one.audit
    ]
    rows += [
        f"  {keys_line(done.about)}",
        "" if done.compared else f"  {_UNKNOWN}",
        "" if wanted.only_check else f"  next: sigbox up --data {wanted.home.path}",
    ]
    return "\n".join(filter(None, rows))
