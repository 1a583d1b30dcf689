# SPDX-License-Identifier: Apache-2.0
"""Put a whole data directory into one file, also while the stack serves from it: keys, settings, trust root, accounts, logs, anchors.

The databases are copied as of one moment each, and no log without the anchor that it has passed. THE FILE HOLDS THE STACK'S PRIVATE
KEYS, encrypted only where the stack's keys are (sigbox init --passphrase-file): keep it as you keep the data directory. It is a tar
file whose first member is a list of SHA-256 hashes; sigbox restore reads it. Logs in PostgreSQL are not in the directory: where
they are, no file is written, and what to do instead is said.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from sigcore.strict import encode_time
from stack.backup.about import About
from stack.backup.taking import Progress, Taken, take_backup
from stack.cli.placing import add_data_option
from stack.cli.table import ExitCode
from stack.cli.usage import Usage
from stack.config import home_at, load_settings

EXAMPLES = """\
examples:
  sigbox backup /mnt/safe/sigbox-2026-01-31.tar
  sigbox backup "/mnt/safe/$(date +%F).tar" --data /srv/sigbox --json
  tar xf sigbox-2026-01-31.tar && sha256sum -c SHA256SUMS       by hand, without sigbox

exit codes:
  0 the file is there, whole and on the disk
  1 a log is behind its anchor, or in another database   2 usage
  4 a database cannot be read"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox backup``."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the archive to write; it must not be there yet")
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(options: argparse.Namespace) -> int:
    """Take the backup."""
    target: Path = options.file.absolute()
    home = home_at(options.data)
    load_settings(home)  # that there is a stack
    if target.exists():
        raise Usage(f"{target} exists", "give a name that is not taken: backups are not written over each other")
    if target.resolve().is_relative_to(home.path.resolve()):
        raise Usage(f"{target} lies in the data directory", "what happens to that happens to it: take another disk")
    taken = take_backup(home, target, datetime.now(UTC), _progress())
    print(json.dumps(_document(target, taken), indent=2) if options.json else _text(target, taken))
    return ExitCode.DONE


def keys_line(about: About) -> str:
    """What everybody must know who holds such a file."""
    how = "encrypted with its passphrase, which is not in there" if about.encrypted else "NOT ENCRYPTED"
    line = f"it holds the private keys of the stack, {how}: keep it as you keep the data directory"
    if not about.in_tokens:
        return line
    names = ", ".join(about.in_tokens)
    return f"{line}\n  NOT IN IT: the keys of {names}, which are in tokens or a KMS: back these up there, with its own tools"


def _document(target: Path, taken: Taken) -> dict[str, object]:
    return {
        "file": str(target),
        "sha256": taken.sha256,
        "bytes": taken.size,
        "files": taken.files,
        "created": encode_time(taken.about.created),
        "url": taken.about.url,
        "keysEncrypted": taken.about.encrypted,
        "holdsPrivateKeys": True,
        "keysInTokens": list(taken.about.in_tokens),
        "logs": dict(taken.about.logs),
    }


def _text(target: Path, taken: Taken) -> str:
    logs = ", ".join(f"{name} {size}" for name, size in taken.about.logs.items()) or "none yet"
    return (
        f"{target}: {taken.files} files of {taken.about.url}, {taken.size} bytes\n"
        f"  entries  {logs}\n"
        f"  sha256   {taken.sha256}\n"
        f"  {keys_line(taken.about)}"
    )


def _progress() -> Progress:
    shown = sys.stderr.isatty()

    def show(name: str, done: int, total: int) -> None:
        if shown:
            sys.stderr.write(f"\r{name}: {done} of {total} pages" + ("\r\033[K" if done == total else ""))
            sys.stderr.flush()

    return show
