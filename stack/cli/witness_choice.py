# SPDX-License-Identifier: Apache-2.0
"""``--witness-policy``: who must have cosigned the log's checkpoint. Light on purpose: the policy is imported where there is one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from client.files import read_file
from sigcore import limits
from sigcore.errors import NotFound, SigError
from stack.cli.usage import NoPolicy, Usage

if TYPE_CHECKING:
    from sigcore.tlog_policy import TlogPolicy


def add_witness_option(parser: argparse.ArgumentParser) -> None:
    """``--witness-policy``."""
    group = parser.add_argument_group("witnesses")
    text = "whose cosignatures the log's checkpoint must have, in C2SP's format: see `sigbox witness policy`"
    group.add_argument("--witness-policy", metavar="FILE", help=text)


def load_witness_policy(options: argparse.Namespace) -> TlogPolicy | None:
    """The policy in the file of ``--witness-policy``; None where nobody is demanded.

    Raises:
        NoPolicy: there is no readable file. Usage: it is no policy: a refusal of the file it is not.
    """
    path: str | None = getattr(options, "witness_policy", None)  # `sigbox policy` judges without
    if path is None:
        return None
    # Deferred: a verification that demands no witnesses pays nothing for them.
    from sigcore.tlog_policy import parse_tlog_policy  # noqa: PLC0415 - see the line above

    try:
        return parse_tlog_policy(read_file(path, what="the witness policy", limit=limits.TLOG_POLICY))
    except NotFound as error:
        raise NoPolicy(error.message, "`sigbox witness policy` prints the one of a stack") from error
    except SigError as error:
        raise Usage(f"{path}: {error.message}", error.hint) from error
