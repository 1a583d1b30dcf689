# SPDX-License-Identifier: Apache-2.0
"""``sigbox log upload``: put a signature that was made elsewhere in a log."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Final

from client.logs.uploading import upload
from client.rekor import Logged
from sigcore import merkle
from sigcore.strict import encode_time
from stack.cli.detached import read_detached
from stack.cli.log_action import Action
from stack.cli.log_options import add_log_options
from stack.cli.log_reading import reading
from stack.cli.table import ExitCode
from stack.cli.trusting import load_trusted_root


def _options(parser: argparse.ArgumentParser) -> None:
    text = "what was signed, or sha256:HEX; only its digest is sent"
    parser.add_argument("--artifact", metavar="FILE", required=True, help=text)
    text = "the signature: a file, in base64 or as it is, or the base64 itself"
    parser.add_argument("--signature", metavar="SIG", required=True, help=text)
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--public-key", dest="key", metavar="PEM", help="who signed: a public key")
    who.add_argument("--certificate", metavar="PEM", help="who signed: a certificate")
    add_log_options(parser)


async def _upload(options: argparse.Namespace) -> int:
    """1. The signature must hold. 2. The log must be the one that was seen before. 3. Send it. A duplicate is as good, and says so."""
    *_, signed = read_detached(options, options.artifact)  # 1
    root = load_trusted_root(options)
    async with reading(options) as open_log:
        await open_log.follow()  # 2
        log = open_log.reader.log
        logged = await upload(open_log.transport, open_log.url, log, signed, root=root, now=datetime.now(UTC))  # 3
    row = _row(logged, open_log.url)
    if options.json:
        print(json.dumps(row, indent=2))
    else:
        said = "the log has it already: entry" if logged.existed else "created entry"
        print(f"{said} {row['logIndex']} of {row['url']}")
        print(
            "".join(f"  {name}: {row[name]}\n" for name in ("uuid", "leafHash", "integratedTime") if row[name]), end=""
        )
    return ExitCode.DONE


def _row(logged: Logged, url: str) -> dict[str, object]:
    entry = logged.entry
    taken = datetime.fromtimestamp(entry.integrated_time, UTC) if entry.promise is not None else None
    return {
        "logIndex": entry.index,
        "uuid": logged.uuid or None,
        "leafHash": merkle.hash_leaf(entry.body).hex(),
        "integratedTime": encode_time(taken) if taken else None,
        "logId": entry.log_id.hex(),
        "kind": f"{entry.kind} {entry.version}",
        "url": url,
        "alreadyExists": logged.existed,
    }


ACTIONS: Final = (Action("upload", "put a signature that was made elsewhere in the log", _options, _upload),)
