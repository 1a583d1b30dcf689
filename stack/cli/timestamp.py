# SPDX-License-Identifier: Apache-2.0
"""Timestamps (RFC 3161) of files: ask an authority for one, verify one offline, look into one.

`create` checks all of the answer before it writes it: that it is over this file, repeats the nonce, has the policy, and is signed by
an authority that is trusted. `verify` opens no socket. `openssl ts` reads what is made here, and what it makes is verified here.
"""

from __future__ import annotations

import argparse
import json
import sys

from client.assembly import parse_timestamp_file
from client.files import read_file
from client.inspection import encode_outline, inspect_timestamp
from client.verify.stamp import verify_stamp
from sigcore import limits, strict, timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import NotFound, SigError, Unavailable
from sigcore.timestamp import TimestampRequest, TimestampResponse
from stack.cli.artifact import digest_of
from stack.cli.table import ExitCode
from stack.cli.timestamping import SUFFIX, checked_policy, named_authorities, place_of, report, summary
from stack.cli.trusting import add_root_options, add_trust_options, load_trusted_root
from stack.cli.usage import Usage, one_line, verifying

EXAMPLES = """\
examples:
  sigbox timestamp create release.tar.gz
  sigbox timestamp create sha256:8fd1... --out release.tsr --policy 1.3.6.1.4.1.57264.2
  sigbox timestamp create release.tar.gz --timestamp-server https://tsa.example.com --certificate-chain tsa.pem
  sigbox timestamp verify release.tar.gz
  sigbox timestamp verify release.tar.gz --timestamp other.tsr --certificate-chain tsa.pem --json
  sigbox timestamp inspect release.tar.gz.tsr"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of ``sigbox timestamp`` and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_create(actions.add_parser("create", help="ask an authority for a timestamp of a file", allow_abbrev=False))
    _add_verify(actions.add_parser("verify", help="verify a timestamp of a file, offline", allow_abbrev=False))
    inspect = actions.add_parser("inspect", help="show every field; nothing is verified", allow_abbrev=False)
    inspect.add_argument("timestamp", metavar="FILE.tsr", help="a timestamp response: DER, or cosign's JSON around it")
    inspect.add_argument("--json", action="store_true", help="as JSON on standard output")


def _add_create(create: argparse.ArgumentParser) -> None:
    create.add_argument("file", metavar="FILE", help="a file, or the digest of one: sha256:HEX, with --out")
    create.add_argument("--out", metavar="FILE.tsr", help=f"where the timestamp goes (default: FILE{SUFFIX})")
    create.add_argument(
        "--hash",
        choices=[one.hashlib_name for one in HashAlgorithm],
        help="what the file is hashed by (default: sha256)",
    )
    create.add_argument("--no-nonce", dest="nonce", action="store_false", help="send no random number to be repeated")
    text = "do not ask for the certificates of the authority in the timestamp"
    create.add_argument("--no-certificate", dest="certificate", action="store_false", help=text)
    create.add_argument("--policy", "--tsa-policy", metavar="OID", help="the policy that the timestamp must have")
    text = "the authority that is asked (default: that of the signing config, as sign-blob finds it)"
    create.add_argument("--timestamp-server", "--timestamp-server-url", metavar="URL", help=text)
    _add_chain(create)
    create.add_argument("--json", action="store_true", help="report every check as JSON on standard output")
    add_trust_options(create)


def _add_verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("file", metavar="FILE", help="a file, or the digest of one: sha256:HEX, with --timestamp")
    verify.add_argument("--timestamp", metavar="FILE.tsr", help=f"the timestamp (default: FILE{SUFFIX})")
    verify.add_argument("--policy", "--oid", metavar="OID", help="the policy that it must have")
    verify.add_argument(
        "--nonce", metavar="N", help="the nonce that it must have: decimal digits, or 0x and hexadecimal"
    )
    _add_chain(verify)
    verify.add_argument("--json", action="store_true", help="report every check as JSON on standard output")
    add_root_options(verify)


def _add_chain(parser: argparse.ArgumentParser) -> None:
    text = "the authority's certificates, its own first: that one alone is trusted, and no trusted root"
    parser.add_argument("--certificate-chain", "--cert-chain", metavar="PEM", help=text)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    if options.action == "verify":
        return _verify(options)
    if options.action == "inspect":
        return _inspect(options)
    # Deferred: only this one talks to a service.
    from stack.cli.timestamp_creating import create  # noqa: PLC0415 - see the line above

    return create(options)


# --- verify ------------------------------------------------------------------------------------------
def _verify(options: argparse.Namespace) -> int:
    """1. Read what is expected. 2. Read the timestamp. 3. Hash the file as that says, and verify. Whatever the defect, it is 1."""
    path = place_of(options.file, options.timestamp, "--timestamp")
    policy, nonce = checked_policy(options), _nonce(options.nonce)
    if options.certificate_chain:
        authorities = named_authorities(options)
    else:
        authorities = load_trusted_root(options).timestamp_authorities
    name = one_line(options.file)
    try:
        response = _load(path)
        digest = digest_of(options.file, response.info.hash)
        request = TimestampRequest(response.info.hash, digest, policy, nonce)
        stamp = verify_stamp(response, request, authorities)
    except (NotFound, Unavailable, Usage):
        raise  # no verdict about the timestamp
    except SigError as error:
        sys.stderr.write(f"REFUSED {name}: {one_line(error.message)}\n")
        if error.hint:
            sys.stderr.write(f"  hint: {one_line(error.hint)}\n")
        row = {"file": options.file, "verified": False, "error": error.message, "hint": error.hint}
        _print(row, options)
        return ExitCode.REFUSED
    sys.stderr.write(f"Verified OK {name}: {summary(stamp)}\n")
    _print({"file": options.file, "timestamp": path, **report(stamp)}, options)
    return ExitCode.DONE


def _print(row: dict[str, object], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(row, indent=2))


def _nonce(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 0)
    except ValueError as error:
        raise Usage(f"--nonce is {strict.shown(text)}, expected a number", "0x stands before hexadecimal") from error


def _load(path: str) -> TimestampResponse:
    return timestamp.parse_response(_read(path))


def _read(path: str) -> bytes:
    return parse_timestamp_file(read_file(path, what="the timestamp", limit=limits.BUNDLE))


# --- inspect -----------------------------------------------------------------------------------------
def _inspect(options: argparse.Namespace) -> int:
    with verifying():
        parts = inspect_timestamp(_read(options.timestamp))
    sys.stdout.write(f"{json.dumps(parts, indent=2)}\n" if options.json else encode_outline(parts))
    return ExitCode.DONE
