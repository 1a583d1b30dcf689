# SPDX-License-Identifier: Apache-2.0
"""The steps of a verification: which of them refuses, said by the exception itself; and many verifications, step by step.

A verification is a generator that pauses between its steps. One alone runs through. Many take turns: each step is done for all
of them before the next one, so that it finds its code and tables in the processor's caches, which five verified signatures
would have emptied in between (docs/adr/0018).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import TypeAlias, TypeVar

from sigcore.errors import SigError

_T = TypeVar("_T")
Steps: TypeAlias = Generator[None, None, _T]
"""What it does between two pauses is one step; what it returns is the result."""


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


def at_once(steps: Steps[_T]) -> _T:
    """The result of one, without a pause. It raises what ``steps`` raise."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result


def in_one_step(steps: Steps[_T]) -> Steps[_T]:
    """``steps`` without their pauses: for one that holds too much to wait for others."""
    yield from ()
    return at_once(steps)


def in_turns(several: Iterable[Steps[_T]], entering: Callable[[int], object] = id) -> Iterator[_T]:
    """The results of several, in their order, the same as one after the other; all have ended before the first is given.

    ``entering`` is told before each step whose it is: 0 for the first of them. What one of them raises is raised in its place,
    after the results of those before it.
    """
    going = list(enumerate(several))
    results: dict[int, _T] = {}
    raised: dict[int, Exception] = {}
    count = len(going)
    while going:
        for number, steps in going:
            entering(number)
            try:
                next(steps)
            except StopIteration as end:
                results[number] = end.value
            except Exception as error:  # noqa: BLE001 - raised again below, whatever it is
                raised[number] = error
        if len(going) > count - len(results) - len(raised):
            going = [one for one in going if one[0] not in results and one[0] not in raised]
    for number in range(count):
        if number in raised:
            raise raised[number]
        yield results[number]
