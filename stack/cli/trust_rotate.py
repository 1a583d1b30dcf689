# SPDX-License-Identifier: Apache-2.0
"""``sigbox trust rotate ROLE``: a new key signs, and everything that the old one signed stays good."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sigcore.errors import Refused
from sigcore.strict import encode_time
from stack.cli.placing import add_data_option, add_passphrase_option
from stack.config import Home, Settings, load_settings
from stack.generations import AUTHORITIES
from stack.shards import Shard
from stack.trust.publisher import finish_publisher, start_publisher
from stack.trust.rotation import as_published, rotate_authority, rotate_log
from stack.trust.state import RoleState, load_state
from stack.turned_clock import time_in

ROLES: Final = ("oidc", "ca", "tsa", "tuf", "ct", "rekor-v1", "rekor-v2", "log", "all")


@dataclass(frozen=True, slots=True)
class Report:
    """What was done: as a line, and as JSON."""

    line: str
    fields: Mapping[str, object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust rotate``."""
    roles = (
        "oidc: identity tokens; ca: certificates; tsa: timestamps; tuf: the trust root itself; all: these four; "
        "ct, rekor-v1, rekor-v2: a new tree of that log, with a key of its own, while the old one stays readable"
    )
    parser.add_argument("role", choices=ROLES, metavar="ROLE", help=roles)
    parser.add_argument(
        "--now",
        action="store_true",
        help="also where the next key of oidc has been published for minutes only; the old key of a log counts for another half "
        "a minute, not for an hour",
    )
    parser.add_argument(
        "--self-signed",
        action="store_true",
        help="of ca and tsa: below a root of the stack's own, although a corporate CA issued the chain before",
    )
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_data_option(parser)
    add_passphrase_option(parser)


def run(home: Home, options: argparse.Namespace) -> int:
    """Rotate; a running stack follows by itself within seconds.

    Raises:
        Refused: the role has several logs, or as the role's own rotation.
    """
    settings = load_settings(home)
    if options.role == "log":
        hint = "sigbox trust rotate rekor-v1, sigbox trust rotate rekor-v2"
        raise Refused("the role log keeps two logs, each with a key of its own", hint)
    roles = ALL if options.role == "all" else (options.role,)
    if "tuf" in roles:
        _check_root(load_state(home).roles[0], home)  # before anything is changed
    for role in (one for one in roles if one in AUTHORITIES):
        _check_issuer(home, role, leave=options.self_signed)  # likewise
    reports = []
    for role in roles:
        reports.append(_ROTATIONS[role](home, settings, options.now))
        if not options.json:
            print(reports[-1].line)  # at once: the next role may refuse
    if options.json:
        fields = [dict(report.fields) for report in reports]
        print(json.dumps(fields if options.role == "all" else fields[0], indent=2))
    return 0


def _check_root(root: RoleState, home: Home) -> None:
    """That the server can sign the next root.

    Raises:
        Refused: people must; with who, and in which order.
    """
    if not root.by_people:
        return
    data = f"--data {home.path}"
    way = (
        f"1. sigbox trust root propose --new-online-keys {data}",
        f"2. hand root.proposed.json to {root.signers()}; each: sigbox trust root sign root.proposed.json --key KEY",
        f"3. hand it back: sigbox trust root accept root.proposed.json {data}",
    )
    others = "the others: sigbox trust rotate oidc, sigbox trust rotate ca, sigbox trust rotate tsa"
    raise Refused(f"the TUF root is signed by people: {root.signers()}", "; ".join((*way, others)))


def _check_issuer(home: Home, role: str, *, leave: bool) -> None:
    """That the next chain of an authority is not silently one of the stack's own.

    Raises:
        Refused: a corporate CA has issued the one before, or is asked for the next, and nobody said to ``leave`` it.
    """
    # Deferred: most stacks have a root of their own.
    from stack.trust.requested import is_corporate, is_waiting, withdraw  # noqa: PLC0415 - see the line above

    if leave:
        withdraw(home, role)
    elif is_waiting(home, role):
        hint = f"sigbox trust accept {role} CHAIN.pem; --self-signed forgets the request, and makes a chain of the stack's own"
        raise Refused(f"a request of {role} waits for its certificate", hint)
    elif is_corporate(home, role):
        hint = f"sigbox trust request {role} asks for the next one; --self-signed leaves the corporate CA"
        raise Refused(f"the certificate of {role} was issued by a corporate CA", hint)


def _oidc(home: Home, settings: Settings, at_once: bool) -> Report:  # noqa: FBT001 - a row of the table below
    """Tokens of the key before are good until they end."""
    # Deferred: the keys of a provider are needed on this branch only.
    from oidc_dev.signing import OVERLAP  # noqa: PLC0415 - see the line above
    from stack.oidc_keys import rotate  # noqa: PLC0415 - the same

    now = time_in(home)
    before, after = rotate(home, settings, now=now, at_once=at_once)
    until = encode_time((now + OVERLAP).replace(microsecond=0))
    return Report(
        f"identity tokens are signed with {after} from now on; {before} stays published until {until}",
        {"role": "oidc", "before": before, "after": after, "publishedUntil": until},
    )


def _authority(role: str, home: Home, settings: Settings) -> Report:
    done = rotate_authority(home, settings, role, time_in(home))
    finish_publisher(start_publisher(home))
    done = as_published(home, done)
    since, until = encode_time(done.since), encode_time(done.old_until)
    how = "an interrupted rotation was finished: " if done.resumed else ""
    return Report(
        f"{how}{role} has key {done.number}, published, counting since {since}; a running stack signs with it within"
        f" seconds, without a restart. The key before counts for what it signed until {until}",
        {"role": role, "generation": done.number, "since": since, "oldUntil": until, "resumed": done.resumed},
    )


def _log(log: str, home: Home, settings: Settings, at_once: bool) -> Report:  # noqa: FBT001 - as :func:`_oidc`
    done = rotate_log(home, settings, log, time_in(home), at_once=at_once)
    finish_publisher(start_publisher(home))
    done = as_published(home, done)
    shard, since, until = Shard(log, done.number), encode_time(done.since), encode_time(done.old_until)
    url = f"{settings.at('ct' if log == 'ct' else 'log')}{shard.prefix}"
    how = "an interrupted rotation was finished: " if done.resumed else ""
    before = (
        f"the tree before takes nothing from then on, its key counts for what it signed until {until}, and everything is found at"
        " the one URL"
        if log == "rekor-v1"
        else f"the tree before takes entries until {until}, and stays readable where it is"
    )
    return Report(
        f"{how}{shard.name} is a new tree with a key of its own at {url}, published, counting since {since}; a running stack logs"
        f" there from then on, without a restart; {before}",
        {
            "role": log,
            "generation": done.number,
            "log": shard.name,
            "url": url,
            "since": since,
            "oldUntil": until,
            "resumed": done.resumed,
        },
    )


def _tuf(home: Home) -> Report:
    finish_publisher(start_publisher(home, rotate=True))
    root = load_state(home).roles[0]
    until = encode_time(root.expires)
    return Report(
        f"root version {root.version} names new keys for all TUF roles, and is good until {until}; "
        "clients that have an older one walk there by themselves",
        {"role": "tuf", "rootVersion": root.version, "expires": until},
    )


Rotation = Callable[[Home, Settings, bool], Report]
_ROTATIONS: Final[Mapping[str, Rotation]] = {
    "ca": lambda home, settings, _at_once: _authority("ca", home, settings),
    "tsa": lambda home, settings, _at_once: _authority("tsa", home, settings),
    "tuf": lambda home, _settings, _at_once: _tuf(home),
    "oidc": _oidc,
    "ct": lambda home, settings, at_once: _log("ct", home, settings, at_once),
    "rekor-v1": lambda home, settings, at_once: _log("rekor-v1", home, settings, at_once),
    "rekor-v2": lambda home, settings, at_once: _log("rekor", home, settings, at_once),
}
ALL: Final = ("oidc", "ca", "tsa", "tuf")
"""The one that may refuse comes first, before anything is changed. Not the logs: a tree is served for ever, so nobody adds one in passing."""
