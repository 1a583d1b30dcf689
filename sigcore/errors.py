# SPDX-License-Identifier: Apache-2.0
"""The inner error plane: four kinds of failure, no transport words.

A message says what was found and what was expected; the hint says what to do.
HTTP status codes and wire forms are given at the edge, in one table per ``http.py``.
"""

from __future__ import annotations


class SigError(Exception):
    """Base of every error that this project raises on purpose.

    Args:
        message: what was found and what was expected, one sentence, no trailing full stop.
        hint: what the reader can do about it; may be empty.

    ``step`` is set on its way up by a caller whose algorithm has named steps: the one that failed; ``reported``
    where a report that was asked for has told of it already.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.step = ""
        self.reported = False

    def at(self, where: str) -> SigError:
        """The same error, with its place in front."""
        return type(self)(f"{where}: {self.message}", self.hint)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Malformed(SigError):
    """The bytes are not what their specification says they must be."""


class Refused(SigError):
    """The bytes are well formed and their claim does not hold: a signature, a proof, a policy."""


class NotFound(SigError):
    """What was asked for does not exist here."""


class Unavailable(SigError):
    """A service that is needed did not answer, or cannot take more work now."""
