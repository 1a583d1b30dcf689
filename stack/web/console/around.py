# SPDX-License-Identifier: Apache-2.0
"""What the console is told of the stack around it. It is given at the composition, and imports nothing that a start does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from oidc_dev.signing import KeyRing
from sigcore.values import dataclass
from stack.health import Check

if TYPE_CHECKING:
    from oidc_dev.clients import Registered
    from oidc_dev.rules import LoginRules
    from oidc_dev.store import Accounts
    from stack.console_login import LoginDemand
    from stack.watch.watcher import Watcher


def utc_now() -> datetime:
    """The clock of a console that is given none."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Around:
    """See the module.

    Attributes:
        control: anybody may be anybody here, so that pages may sign.
        clock: the time of day, UTC.
        checks: what readiness asks, by role; filled when all parts of the process are there.
        ring: the provider's keys, where it runs in this process.
        login: who may read, the console as the provider's client, how long a visit lasts, and the accounts; None without a login.
        watcher: follows the watch rules, where there are any.
    """

    control: bool = False
    clock: Callable[[], datetime] = utc_now
    checks: Mapping[str, Check] = MappingProxyType({})
    ring: KeyRing | None = None
    watcher: Watcher | None = None
    login: tuple[LoginDemand, Registered, LoginRules, Accounts] | None = None
