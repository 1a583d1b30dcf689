# SPDX-License-Identifier: Apache-2.0
"""Machines that get tokens by a secret of their own: the client credentials of your stack's OpenID provider.

It works on the data directory; a running stack sees the change at once. A secret is printed once, on standard output, and kept
as a hash; it names its machine, and is given together with the client id sigstore.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from oidc_dev.machines import Machine, SqliteMachines, new_secret, parse_machine_name, parse_machine_subject
from sigcore.errors import Malformed
from sigcore.strict import encode_time
from stack.cli.placing import add_data_option, add_passphrase_option
from stack.cli.usage import adding
from stack.config import home_at, load_settings

EXAMPLES = """\
examples:
  sigbox client add release --subject https://ci.example.com/release > secret
  sigbox client list --json
  sigbox client secret release > secret      another secret; the one before is no good any more
  sigbox client disable release
  sigbox client remove release"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox client``."""
    actions = ("add", "list", "secret", "disable", "enable", "remove")
    about = "add a machine; list them all; secret: give it another secret; disable it, and enable it again; remove it"
    parser.add_argument("action", choices=actions, metavar="ACTION", help=about)
    parser.add_argument("name", metavar="NAME", nargs="?", help="the machine: up to 63 of a-z, 0-9 and inner dashes")
    parser.add_argument("--subject", metavar="URI", help="add: whom its certificates name, an http or https URI")
    add_data_option(parser)
    add_passphrase_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def run(options: argparse.Namespace) -> int:
    """Do it; what was done is said on standard error."""
    home = home_at(options.data)
    load_settings(home)
    machines = SqliteMachines(home.accounts)
    if options.action == "list":
        _print(machines.list(), as_json=options.json)
        return 0
    if not options.name:
        raise Malformed(f"sigbox client {options.action} needs a machine", "name it after the action")
    name = parse_machine_name(options.name)
    secret = None
    if options.action == "add":
        secret = _add(machines, name, options.subject)
    elif options.action == "secret":
        secret, kept = new_secret(name)
        machines.set_secret(name, kept)
    elif options.action == "remove":
        _say(f"removed {machines.remove(name).name}; tokens that it has live ten minutes at most")
    else:
        machine = machines.set_disabled(name, disabled=options.action == "disable")
        _say(f"{machine.name} {'is locked out' if machine.disabled else 'gets tokens'}")
    if options.json:
        print(json.dumps({"action": options.action, "name": name} | ({"secret": secret} if secret else {}), indent=2))
    elif secret:
        print(secret)
    return 0


def _add(machines: SqliteMachines, name: str, subject: str | None) -> str:
    if not subject:
        raise Malformed("a machine needs a subject", "give --subject URI: its certificates name it")
    text, kept = new_secret(name)
    machine = Machine(name, parse_machine_subject(subject), kept, datetime.now(UTC).replace(microsecond=0))
    with adding():
        machines.add(machine)
    _say(f"{name} gets tokens for {subject} with this secret, which is shown now and never again")
    return text


def _print(machines: tuple[Machine, ...], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"name": m.name, "subject": m.subject, "created": encode_time(m.created), "disabled": m.disabled}
            for m in machines
        ]
        print(json.dumps({"clients": rows}, indent=2))
        return
    if not machines:
        _say("no machine; make one with: sigbox client add NAME --subject URI")
    width = max((len(m.name) for m in machines), default=0)
    for machine in machines:
        print(f"{machine.name:<{width}}  {machine.subject}{'  disabled' if machine.disabled else ''}")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
