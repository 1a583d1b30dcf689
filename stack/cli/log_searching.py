# SPDX-License-Identifier: Apache-2.0
"""``sigbox log search``: ask an index, believe the log."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Final

from client.files import digest_file, read_file
from client.logs.matching import match_json, match_line
from client.logs.rekor_v1 import RekorV1Log
from client.logs.searching import Sought, console_of, fetch_hits, search_console, search_index
from sigcore import keys, limits
from sigcore.entry_id import parse_entry_id
from sigcore.errors import Malformed
from sigcore.strict import parse_hex
from stack.cli.log_action import Action
from stack.cli.log_options import add_log_options
from stack.cli.log_reading import reading
from stack.cli.table import ExitCode
from stack.cli.usage import Usage

_LIMIT: Final = 20
_MOST: Final = 1000


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="as in the search box of a sigbox console")
    parser.add_argument(
        "--sha", metavar="HEX", default="", help="the SHA-256 of an artifact; sha256: may stand before it"
    )
    parser.add_argument("--artifact", metavar="FILE", help="the same, of a file")
    parser.add_argument("--email", metavar="E", default="", help="an email address in a certificate")
    parser.add_argument("--subject", metavar="S", default="", help="a name of any kind in a certificate")
    parser.add_argument("--public-key", metavar="FILE", help="who signed: a public key in PEM")
    parser.add_argument("--entry", metavar="HEX", default="", help="an entry's leaf hash or UUID, in a console")
    text = "whether all that is given must hold, or one of it (default: and)"
    parser.add_argument("--operator", choices=("and", "or"), default="and", help=text)
    parser.add_argument("--limit", metavar="N", type=int, default=_LIMIT, help=f"the newest N (default: {_LIMIT})")
    parser.add_argument("--console-url", metavar="URL", help="the sigbox stack that is asked (default: the log's URL)")
    add_log_options(parser)


async def _search(options: argparse.Namespace) -> int:
    """Rekor v1 is asked by its own API, where that knows such questions; else a console is."""
    sought = _sought(options)
    if not 1 <= options.limit <= _MOST:
        raise Usage(f"--limit is {options.limit}, expected 1 to {_MOST}")
    async with reading(options) as open_log:
        reader, transport = open_log.reader, open_log.transport
        head, _ = await open_log.follow()
        if reader.generation == 1 and not (options.console_url or sought.text or sought.entry):
            hits = await search_index(transport, open_log.url, sought, options.limit)
        else:
            url, tree = console_of(open_log.url)
            url = (options.console_url or url).rstrip("/")
            starts = reader.starts if isinstance(reader, RekorV1Log) else (0,)
            hits = await search_console(
                transport, url, sought, reader.generation, options.limit, tree=tree, starts=starts
            )
        entries = await fetch_hits(reader, head, hits, sought)
    if options.json:
        print(json.dumps({"entries": [*map(match_json, entries)], "more": hits.more}, indent=2))
    else:
        print("\n".join(map(match_line, entries)) or "nothing was named; that proves nothing: an index may leave out")
    if hits.more:
        sys.stderr.write("there is more: give a higher --limit\n")
    return ExitCode.DONE


def _sought(options: argparse.Namespace) -> Sought:
    """What is sought. Usage: nothing, or what cannot be."""
    try:
        return _read(options)
    except Malformed as error:
        raise Usage(error.message, error.hint) from error


def _read(options: argparse.Namespace) -> Sought:
    digest = options.sha.lower().removeprefix("sha256:")
    if digest:
        parse_hex(digest, what="--sha", size=32)
    if options.artifact:
        if digest:
            raise Usage("--sha and --artifact are given", "leave one of them out")
        digest = digest_file(options.artifact).hex()
    if options.entry:
        parse_entry_id(options.entry)
    key = None
    if options.public_key:
        what = f"the key {options.public_key}"
        key = keys.parse_public_key_pem(read_file(options.public_key, what=what, limit=limits.PUBLIC_KEY), what=what)
    any_of = options.operator == "or"
    sought = Sought(digest, options.email, key, options.entry.lower(), options.text, options.subject, any_of)
    if not any(sought.singles()):
        raise Usage("nothing is sought", "give --sha, --artifact, --email, --subject, --public-key, --entry or a text")
    if any_of and options.text:
        raise Usage("--operator or does not go with a text: no entry can be held against it", "ask for it by itself")
    return sought


ACTIONS: Final = (Action("search", "ask an index for entries, and prove each that it names", _options, _search),)
