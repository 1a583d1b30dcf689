# SPDX-License-Identifier: Apache-2.0
"""The trusted root alone: all that a verification needs, and read without what only signing needs."""

from __future__ import annotations

from client.files import AnyPath, read_file
from sigcore import limits
from sigcore.trustroot import TrustedRoot, parse_trusted_root


def load_trusted_root(path: AnyPath) -> TrustedRoot:
    """The ``trusted_root.json`` in a file.

    Raises:
        NotFound: no readable file. Malformed: it is none.
    """
    return parse_trusted_root(read_trust_file(path, "the trusted root"))


def read_trust_file(path: AnyPath, what: str) -> bytes:
    """The content of a file of trust, of bounded size. Errors as :func:`client.files.read_file`."""
    return read_file(path, what=what, limit=limits.TRUSTED_ROOT)
