# SPDX-License-Identifier: Apache-2.0
"""Witness other people's logs: your stack cosigns what it has seen grow, and never a second history.

`add` makes your stack a witness; a running one takes each change up at once. Your own log asks others when sigbox.toml names them:
`show` prints what to give them, and what to take from them. `policy` prints what whoever verifies demands by --witness-policy: your log,
and how many of the witnesses that it asks.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sigcore import keys, limits
from sigcore.cosignature import CosignerKey, encode_log_verifier, encode_witness_verifier, parse_log_verifier
from sigcore.errors import Malformed, Refused
from sigcore.note import NoteKey, note_key
from sigcore.tlog_policy import describe_quorum, encode_tlog_policy
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.cli.usage import Usage
from stack.config import Home, Settings, home_at, load_settings
from stack.files import load_file
from stack.generations import load_generations
from stack.trust.documents import load_public
from stack.witness_files import add_logs, list_file, load_witnessed, memory_file, parse_witnessed, remove_log
from stack.witness_files import load_public as load_witness_public
from stack.witness_policy import stack_policy

EXAMPLES = """\
examples:
  sigbox witness show                                       what to hand to the others
  sigbox witness add partner.example+1a2b3c4d+ARpc2QcU...   cosign that log from now on
  sigbox witness add partner-logs.txt                       the same, a log a line
  sigbox witness list --json
  sigbox witness remove partner.example
  sigbox witness policy > witnesses.txt
  sigbox verify-blob FILE --witness-policy witnesses.txt --certificate-identity I ..."""
_ONE = "one JSON document on standard output"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox witness``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="cosign the checkpoints of one more log", allow_abbrev=False)
    add.add_argument("log", metavar="VKEY|FILE", help="its verifier key, NAME+HASH+KEY, or a file with one a line")
    remove = actions.add_parser("remove", help="cosign a log no longer", allow_abbrev=False)
    remove.add_argument("log", metavar="ORIGIN", help="the log, as list shows it")
    show = actions.add_parser("show", help="what others need: of your log, of your witness", allow_abbrev=False)
    listing = actions.add_parser("list", help="the logs that are witnessed, and how far", allow_abbrev=False)
    policy = actions.add_parser("policy", help="what verifiers demand: your log, its witnesses", allow_abbrev=False)
    text = "how many must have cosigned: a number, any, all (default: witness_quorum)"
    policy.add_argument("--quorum", metavar="N", default="", help=text)
    for action in (add, remove, show, listing, policy):
        action.add_argument("--json", action="store_true", help=_ONE)
        add_data_option(action)
    for action in (add, remove):
        add_passphrase_option(action)


def run(options: argparse.Namespace) -> int:
    """Do it; the result goes to standard output, what was done to standard error."""
    try:
        {"add": _add, "remove": _remove, "show": _show, "list": _list, "policy": _policy}[options.action](options)
    except Malformed as error:
        raise Usage(error.message, error.hint) from error
    return 0


# --- add, remove ---------------------------------------------------------------------------------------
def _add(options: argparse.Namespace) -> None:
    home = unlocked(options)
    settings = load_settings(home)
    if settings.database:
        raise Refused(
            "this stack shares a database with other hosts: none of them alone would remember what was cosigned",
            "let a stack be the witness that keeps its logs in files",
        )
    logs = tuple(_logs(options.log))
    public = add_logs(home, settings, logs)
    names = ", ".join(log.name for log in logs)
    sys.stderr.write(f"witnessed from now on: {names}; a running stack takes it up with the next request\n")
    if options.json:
        print(
            json.dumps(
                {"action": "add", "logs": [log.name for log in logs], "witness": _row(settings, public)}, indent=2
            )
        )
    else:
        print(_asked(settings, public))


def _logs(given: str) -> Iterator[NoteKey]:
    if os.path.exists(given):  # noqa: PTH110 - what is typed may be a key, which is no path
        data = load_file(Path(given), what="the list of logs", limit=limits.TRUSTED_ROOT, pipe=True)
        found = parse_witnessed(data.decode("utf-8", "replace"))
        if not found:
            raise Malformed(f"{given} names no log", "expected a verifier key a line, as sigbox witness show prints it")
        yield from found.values()
    else:
        yield parse_log_verifier(given)


def _remove(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    remove_log(home, load_settings(home), options.log)
    sys.stderr.write(f"witnessed no longer: {options.log}; a running stack takes it up with the next request\n")
    if options.json:
        print(json.dumps({"action": "remove", "logs": [options.log]}, indent=2))


# --- show, list ----------------------------------------------------------------------------------------
def _show(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    settings, public = load_settings(home), load_witness_public(home)
    log = note_key(settings.host_of("log"), _keys(home)[0])
    if options.json:
        witness = _row(settings, public) if public else None
        print(json.dumps({"log": encode_log_verifier(log), "witness": witness}, indent=2))
        return
    print("# the log of this stack, for whoever shall witness it: sigbox witness add LINE")
    print(encode_log_verifier(log))
    print(_asked(settings, public) if public else "# this stack is no witness yet: sigbox witness add makes it one")


def _keys(home: Home) -> list[keys.PublicKey]:
    """Of the log's trees; the first is the one that can have witnesses."""
    rotated = load_generations(home)
    if "rekor" not in rotated:
        return [load_public(home).rekor_key]
    return [keys.parse_public_key(one.public[0]) for one in rotated["rekor"]]


def _row(settings: Settings, public: CosignerKey) -> dict[str, str]:
    return {"url": f"{settings.at('log')}/witness", "key": encode_witness_verifier(public)}


def _asked(settings: Settings, public: CosignerKey) -> str:
    rows = "".join(f'\n# {name} = "{value}"' for name, value in _row(settings, public).items())
    return f"# this stack as a witness, for the sigbox.toml of whoever asks it:\n# [[log.witnesses]]{rows}"


def _policy(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    settings = load_settings(home)
    logs = [note_key(settings.host_of("log"), key) for key in _keys(home)]
    policy, notes = stack_policy(settings, logs, options.quorum)
    text = "".join(f"# {note}\n" for note in notes) + encode_tlog_policy(policy).decode("utf-8")
    if options.json:
        print(json.dumps({"policy": text, "quorum": describe_quorum(policy)}, indent=2))
    else:
        print(text, end="")


def _list(options: argparse.Namespace) -> None:
    home = home_at(options.data)
    load_settings(home)
    sizes = _sizes(memory_file(home))
    rows = [
        {"origin": origin, "key": encode_log_verifier(key), "size": sizes.get(origin, 0)}
        for origin, key in load_witnessed(list_file(home)).items()
    ]
    if options.json:
        print(json.dumps({"logs": rows}, indent=2))
        return
    for row in rows:
        print(f"{row['origin']}  cosigned up to {row['size']} entries  {row['key']}")


def _sizes(memory: Path) -> dict[str, int]:
    """How far each log was cosigned; of an ephemeral stack nothing is known here."""
    if not memory.exists():
        return {}
    with closing(sqlite3.connect(f"file:{quote(str(memory))}?mode=ro", uri=True)) as database:
        return dict(database.execute("SELECT origin, size FROM seen"))
