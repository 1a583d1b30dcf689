# SPDX-License-Identifier: Apache-2.0
"""What making and verifying a timestamp share: where it lies, what is expected of it, whom to believe, the report."""

from __future__ import annotations

import argparse

from client.files import read_file
from client.verify.stamp import VerifiedStamp, list_stamp_checks, parse_authority_pem
from sigcore import limits, strict
from sigcore.errors import Malformed
from sigcore.trustroot import AuthorityInstance
from stack.cli.artifact import is_digest
from stack.cli.usage import Usage, one_line, verifying

SUFFIX = ".tsr"
"""Where a timestamp lies beside its file."""


def place_of(file: str, given: str | None, option: str) -> str:
    """The path of the timestamp. Usage: FILE is a digest, which has nothing beside it."""
    if given is None and is_digest(file):
        raise Usage(f"{file[:20]}... is a digest, and no timestamp is named", f"give {option}")
    return given or f"{file}{SUFFIX}"


def named_authorities(options: argparse.Namespace) -> tuple[AuthorityInstance, ...]:
    """That of ``--certificate-chain``. NotFound, Malformed: the file is none. NotVerified: it is no chain."""
    what = f"the chain {options.certificate_chain}"
    with verifying():
        pem = read_file(options.certificate_chain, what=what, limit=limits.TRUSTED_ROOT)
        return (parse_authority_pem(pem, what=what),)


def checked_policy(options: argparse.Namespace) -> str | None:
    """``--policy``. Usage: no object identifier."""
    try:
        if options.policy is not None:
            strict.parse_oid(options.policy, what="--policy")
    except Malformed as error:
        raise Usage(error.message) from error
    policy: str | None = options.policy
    return policy


def report(stamp: VerifiedStamp) -> dict[str, object]:
    """The verified part of a report."""
    checks = [{"check": one.name, "what": one.what, "value": one.value} for one in list_stamp_checks(stamp)]
    return {"verified": True, "time": strict.encode_time(stamp.time.time), "checks": checks}


def summary(stamp: VerifiedStamp) -> str:
    """Who says what, in a line."""
    return f"{one_line(stamp.time.authority)} saw it at {strict.encode_time(stamp.time.time)}"
