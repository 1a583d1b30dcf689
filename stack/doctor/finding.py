# SPDX-License-Identifier: Apache-2.0
"""What a check found, and the order of checks: one that builds on another that failed is skipped, not failed too.

1. Checks are made in the order of the table.
2. A check whose needs are not met is skipped, and says which one it waits for.
3. A check says what it found, or raises: what is wrong, with the fix as the hint. What can wait is a Warned.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Final, Generic, TypeVar

from sigcore.errors import SigError
from sigcore.values import dataclass


class State(Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """``found`` is what was seen, ``fix`` what to do about it (empty where nothing is to be done)."""

    name: str
    state: State
    found: str
    fix: str = ""


class Warned(SigError):
    """Something that works today and will not for ever."""


class Skipped(SigError):
    """A check that has nothing to look at here."""


Subject = TypeVar("Subject")


class Check(Generic[Subject]):
    """One row of the table: ``look`` takes what is examined and says what it found."""

    __slots__ = ("look", "name", "needs")

    def __init__(self, name: str, look: Callable[[Subject], str | Awaitable[str]], *needs: str) -> None:
        self.name = name
        self.look = look
        self.needs = needs


async def examine(
    subject: Subject, checks: Sequence[Check[Subject]], tell: Callable[[Finding], None] = lambda _: None
) -> tuple[Finding, ...]:
    """Make every check; ``tell`` hears of each as soon as it is made."""
    found: dict[str, Finding] = {}
    for check in checks:
        found[check.name] = await _made(subject, check, found)
        tell(found[check.name])
    return tuple(found.values())


async def _made(subject: Subject, check: Check[Subject], before: dict[str, Finding]) -> Finding:
    for need in check.needs:
        if before[need].state in _UNMET:
            why = f" ({before[need].found})" if before[need].state is State.SKIPPED else ""
            return Finding(check.name, State.SKIPPED, f"waits for: {need}{why}")
    try:
        said = check.look(subject)
        return Finding(check.name, State.OK, said if isinstance(said, str) else await said)
    except Warned as error:
        return Finding(check.name, State.WARNING, error.message, error.hint)
    except Skipped as error:
        return Finding(check.name, State.SKIPPED, error.message, error.hint)
    except SigError as error:
        return Finding(check.name, State.FAILED, error.message, error.hint)
    except OSError as error:
        return Finding(check.name, State.FAILED, f"{error.filename or 'the system'}: {error.strerror or error}")


_UNMET: Final = (State.FAILED, State.SKIPPED)
