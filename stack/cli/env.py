# SPDX-License-Identifier: Apache-2.0
"""Print the exact lines that make an official client use your stack; they can be pasted into a shell.

FILE, IMAGE and REGISTRY are yours to fill in. Where a client can do only a part, a comment says so. `sigbox env ambient SOURCE`
prints what a CI job would find around it, at a stack for tests: a client then takes its token from there by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stack.cli.placing import add_data_option
from stack.cli.usage import Usage
from stack.clients.table import GUIDES, guide
from stack.config import home_at, load_settings

EXAMPLES = """\
examples:
  sigbox env cosign
  sigbox env sigstore-python --data /srv/sigbox
  sigbox env sigstore-js --json                    the same for programs
  sigbox env ambient github --url http://localhost:7780
  sigbox env ambient buildkite --url http://localhost:7780 --persona job.toml --bin ./bin"""

_AMBIENT = "ambient"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox env``."""
    known = (*GUIDES, _AMBIENT)
    parser.add_argument("client", choices=known, metavar="CLIENT", help=f"one of: {', '.join(known)}")
    about = "after ambient: github, gitlab, buildkite, circleci, variable, file, kubernetes or spiffe"
    parser.add_argument("source", nargs="?", metavar="SOURCE", help=about)
    where = parser.add_mutually_exclusive_group()
    add_data_option(where)
    where.add_argument("--url", metavar="URL", help="after ambient: URL of a stack that was started with --control")
    parser.add_argument("--persona", metavar="FILE", help="after ambient: who the job is (default: that of the source)")
    parser.add_argument("--bin", metavar="DIR", type=Path, help="after ambient: put the source's programs there")
    parser.add_argument("--json", action="store_true", help="environment and commands as JSON on standard output")


def run(options: argparse.Namespace) -> int:
    """Print the lines."""
    ambient = options.client == _AMBIENT
    if not ambient and (options.source or options.url or options.persona or options.bin):
        raise Usage(
            f"{options.client} takes no SOURCE, --url, --persona and --bin", "these go with: sigbox env ambient"
        )
    return _print_ambient(options) if ambient else _print_guide(options)


def _print_guide(options: argparse.Namespace) -> int:
    home = home_at(options.data)
    found = guide(options.client, home, load_settings(home))
    print(json.dumps(found.document(), indent=2) if options.json else "\n".join(found.lines()))
    return 0


def _print_ambient(options: argparse.Namespace) -> int:
    # Deferred: the guides do without.
    from stack.cli.ambient import SOURCES, surroundings  # noqa: PLC0415 - see the line above
    from stack.cli.persona import find_persona  # noqa: PLC0415 - the same

    if options.source not in SOURCES:
        raise Usage(f"there is no source {options.source or '(none given)'}", f"one of: {', '.join(SOURCES)}")
    url = options.url or load_settings(home_at(options.data)).url
    found = surroundings(options.source, url, find_persona(options.persona or SOURCES[options.source].persona))
    if options.bin is not None:
        found.place(options.bin.absolute())
    if options.json:
        print(json.dumps({"environment": dict(found.environment), "files": dict(found.files)}, indent=2))
        return 0
    lines = found.lines(options.bin.absolute() if options.bin else None)
    print("\n".join((f"# {SOURCES[options.source].about}", *lines)))
    return 0
