# SPDX-License-Identifier: Apache-2.0
"""Errors with an exit code of their own in every command, also where a refusal is 1."""

from __future__ import annotations

from sigcore.errors import Malformed, SigError


class Usage(Malformed):
    """Options contradict each other, or one is missing; the message names them. Exit code 2."""


class NoPolicy(SigError):
    """The policy that should decide is absent or has expired. Exit code 5."""


class NotServed(SigError):
    """A service answered and said no, in a command where a refusal is a verdict of our own. Exit code 3."""
