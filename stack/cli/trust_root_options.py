# SPDX-License-Identifier: Apache-2.0
"""The options of ``sigbox trust root``, apart from python-tuf."""

from __future__ import annotations

import argparse
from pathlib import Path

from stack.cli.placing import add_data_option, add_passphrase_option

FILE = "root.proposed.json"
SCHEMES = ("ed25519", "p256")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The steps of a ceremony."""
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    show = steps.add_parser("show", help="whose keys the root names, how many must sign, who has", allow_abbrev=False)
    add_data_option(show)
    _add_json(show)
    key = steps.add_parser("key", help="make a key of your own, on your own machine", allow_abbrev=False)
    key.add_argument(
        "file", metavar="FILE", type=Path, help="where to write it; the public key lies beside it, in .pub"
    )
    key.add_argument("--scheme", choices=SCHEMES, default=SCHEMES[0], help="default: %(default)s")
    _add_own_passphrase(key)
    _add_json(key)
    _add_propose(steps.add_parser("propose", help="write the next root, for people to sign", allow_abbrev=False))
    sign = steps.add_parser("sign", help="show what changes, and sign it; needs no stack", allow_abbrev=False)
    sign.add_argument("file", metavar="FILE", type=Path, help="the proposed root; the signature is added to it")
    sign.add_argument("--key", metavar="KEY", type=Path, required=True, help="your key: PKCS#8 in PEM")
    sign.add_argument("-y", "--yes", action="store_true", help="sign without asking")
    _add_own_passphrase(sign)
    _add_json(sign)
    accept = steps.add_parser("accept", help="publish the root that enough people have signed", allow_abbrev=False)
    accept.add_argument("file", metavar="FILE", type=Path, help="the proposed root with its signatures")
    accept.add_argument("copies", metavar="COPY", type=Path, nargs="*", help="copies of it that others have signed")
    accept.set_defaults(action="root accept")
    add_data_option(accept)
    add_passphrase_option(accept)
    _add_json(accept)


def _add_propose(propose: argparse.ArgumentParser) -> None:
    add = propose.add_argument
    add(
        "--add",
        metavar="PUB",
        type=Path,
        action="append",
        default=[],
        help="a public key; its owner is the file's name",
    )
    add(
        "--remove",
        metavar="KEYID",
        action="append",
        default=[],
        help="a key's id, 8 digits of it, or its owner: server for its own",
    )
    add("--threshold", metavar="K", type=_count, help="how many must sign from then on (default: as before)")
    add("--expires-in", metavar="DAYS", type=_days, help="default: 3650, and not earlier than the root before")
    add("--new-online-keys", action="store_true", help="other keys for targets, snapshot and timestamp as well")
    add("--out", metavar="FILE", type=Path, default=Path(FILE), help="default: %(default)s")
    propose.set_defaults(action="root propose")
    add_data_option(propose)
    add_passphrase_option(propose)
    _add_json(propose)


def _add_own_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--passphrase-file", metavar="FILE", type=Path, help="of your key (default: you are asked)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!a} is no number of people")
    return int(text)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= 3650):
        raise argparse.ArgumentTypeError(f"{text!a} is no number of days from 1 to 3650")
    return int(text)
