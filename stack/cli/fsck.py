# SPDX-License-Identifier: Apache-2.0
"""Re-hash every entry that the logs of your stack hold, and compare with tiles, roots, signed checkpoints and anchors.

Reads only, and a stack that was never started is whole; the stack may serve meanwhile, which does the same in its background after each start. Ends with 0 when all of it
fits, with 1 when something does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from stack.cli.placing import add_data_option
from stack.cli.table import ExitCode
from stack.config import home_at
from stack.fsck import Finding, check
from tlog.audit import Progress, quiet

EXAMPLES = """\
examples:
  sigbox fsck
  sigbox fsck --data /srv/sigbox --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox fsck``."""
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(options: argparse.Namespace) -> int:
    """Look at every log, even after one that is damaged."""
    home = home_at(options.data)
    findings = asyncio.run(check(home, progress))
    print(json.dumps(_document(findings), indent=2) if options.json else "\n".join(map(_line, findings)))
    return ExitCode.REFUSED if any(found.problem for found in findings) else ExitCode.DONE


def _document(findings: list[Finding]) -> dict[str, object]:
    logs = {}
    for found in findings:
        if found.audit is None:
            logs[found.log] = {"intact": False, "problem": found.problem, "hint": found.hint}
        else:
            audit = found.audit
            logs[found.log] = {
                "intact": True,
                "entries": audit.entries,
                "tiles": audit.tiles,
                "root": audit.root.hex(),
            }
    return {"intact": not any(found.problem for found in findings), "logs": logs}


def _line(found: Finding) -> str:
    if found.audit is None:
        hint = f"\n  hint: {found.hint}" if found.hint else ""
        return f"{found.log}: DAMAGED: {found.problem}{hint}"
    audit = found.audit
    if not audit.entries:
        return f"{found.log}: intact: it was never started, and holds nothing yet"
    return f"{found.log}: intact: {audit.entries} entries, {audit.tiles} complete tiles, root {audit.root.hex()}"


def progress(log: str) -> Progress:
    """A line that counts, where a person looks at it."""
    if not sys.stderr.isatty():
        return quiet

    def show(done: int, total: int) -> None:
        sys.stderr.write(f"\r{log}: {done} of {total} entries" + ("\r\033[K" if done == total else ""))
        sys.stderr.flush()

    return show
