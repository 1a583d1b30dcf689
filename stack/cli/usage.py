# SPDX-License-Identifier: Apache-2.0
"""The error for a command line that cannot be meant: exit code 2 in every command, also where a refusal is 1."""

from __future__ import annotations

from sigcore.errors import Malformed


class Usage(Malformed):
    """Options contradict each other, or one is missing; the message names them."""
