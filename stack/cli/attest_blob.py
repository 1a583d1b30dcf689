# SPDX-License-Identifier: Apache-2.0
"""Attest to a file: an in-toto statement about it, signed with an identity, with a bundle that verifies offline.

The statement is made from --predicate and --type with FILE as its subject; or it is --statement, which is signed as it
stands, byte for byte, and names its subjects itself.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from client.files import read_file
from client.sign import Signing, attest
from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle
from sigcore.errors import Refused
from sigcore.intoto import Statement, Subject, encode_statement, parse_statement, predicate_type_uri
from sigcore.strict import Fields, parse_json
from stack.cli.artifact import digest_of, given_path, is_digest
from stack.cli.signing import Job, add_sign_options, sign_files
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox attest-blob release.tar.gz --predicate provenance.json --type slsaprovenance1 --identity-token @token.jwt
  sigbox attest-blob release.tar.gz --statement statement.json --bundle release.att.json --identity-token @token.jwt"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox attest-blob``."""
    parser.add_argument(
        "file",
        nargs="?",
        type=given_path,
        metavar="FILE",
        help="what the statement is about: a file; with --bundle also - (standard input) or sha256:HEX",
    )
    parser.add_argument("--predicate", type=given_path, metavar="JSON", help="what is said about FILE: a JSON object")
    parser.add_argument(
        "--type", metavar="T", help="the predicate's type: a URI, or cosign's short name (default: custom)"
    )
    parser.add_argument(
        "--statement", type=given_path, metavar="JSON", help="the whole statement, instead of the two above"
    )
    add_sign_options(parser)


def run(options: argparse.Namespace) -> int:
    """Make the statement, sign it."""
    if bool(options.predicate) == bool(options.statement):
        raise Usage("both or none of --predicate and --statement are given", "give exactly one of them")
    if options.statement and options.type:
        raise Usage("--type is given beside --statement, which names its type itself", "leave --type out")
    if options.file == (options.predicate or options.statement) == given_path("-"):
        raise Usage("FILE and what is said about it are both standard input", "name a file for one of them")
    file = options.file or options.statement
    if file is None:
        raise Usage("no FILE is named", "name the file that the predicate is about")
    if is_digest(str(file)) and options.bundle is None:
        raise Usage(f"{str(file)[:20]}... is a digest, which has nothing beside it", "give --bundle OUT")
    statement = _given(options) if options.statement else _made(options)

    async def make(signing: Signing, _job: Job) -> Bundle:
        return await attest(signing, statement, now=datetime.now(UTC))

    return sign_files(options, [file], make)


def _made(options: argparse.Namespace) -> bytes:
    if options.file is None:
        raise Usage("no FILE is named", "name the file that the predicate is about")
    what = f"the predicate {options.predicate}"
    data = read_file(options.predicate, what=what, limit=limits.BUNDLE)
    predicate = Fields.of(parse_json(data, what=what, limit=limits.BUNDLE, floats=True), what).raw()
    digest = _digest(options.file, HashAlgorithm.SHA2_256)
    subject = Subject(options.file.name, ((HashAlgorithm.SHA2_256.hashlib_name, digest.hex()),))
    return encode_statement(Statement((subject,), predicate_type_uri(options.type or "custom"), dict(predicate)))


def _digest(file: Path, algorithm: HashAlgorithm) -> bytes:
    """Of FILE, or the one that it is."""
    try:
        return digest_of(str(file), algorithm)
    except Refused as error:
        raise Usage(f"{file} is no digest by {algorithm.hashlib_name}", "give the file, or such a digest") from error


def _given(options: argparse.Namespace) -> bytes:
    """The statement's own bytes; where FILE is named too, it must be one of the subjects."""
    what = f"the statement {options.statement}"
    data = read_file(options.statement, what=what, limit=limits.BUNDLE)
    statement = parse_statement(data, what=what)
    algorithm = statement.algorithm()
    if options.file is not None and not statement.names(algorithm, _digest(options.file, algorithm)):
        raise Usage(f"{what} is not about {options.file}: none of its subjects has that file's digest")
    return data
