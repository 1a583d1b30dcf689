# SPDX-License-Identifier: Apache-2.0
"""``--type`` of a command that verifies: the predicate type that is demanded."""

from __future__ import annotations

from sigcore.errors import Malformed
from sigcore.intoto import predicate_type_uri
from stack.cli.usage import Usage


def demanded_type(name: str | None) -> str:
    """The URI that ``name`` stands for; empty where none is demanded.

    Raises:
        Usage: it is neither a URI nor a short name. That is no verdict about a signature.
    """
    try:
        return predicate_type_uri(name) if name else ""
    except Malformed as error:
        raise Usage(f"--type: {error.message}", error.hint) from error
