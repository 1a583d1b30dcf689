# SPDX-License-Identifier: Apache-2.0
"""Which step of a verification refuses: said by the exception itself."""

from __future__ import annotations

from types import TracebackType

from sigcore.errors import SigError


class Step:
    """A context that writes its name into what is raised inside it; the innermost name stays."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Names the step; what was raised goes on its way."""
        if isinstance(error, SigError) and not error.step:
            error.step = self._name
