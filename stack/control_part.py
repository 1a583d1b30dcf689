# SPDX-License-Identifier: Apache-2.0
"""The part of a stack that tests give orders to (``--control``). All that it needs is imported when one is made: few stacks have it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from ca.issuers import Issuer, IssuerTable
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider
from stack.config import Home, Settings
from stack.live_issuers import LiveIssuers
from stack.part import Part
from tlog.log import Log

if TYPE_CHECKING:
    from stack.orders import Orders
    from tlog.ct import CertificateLogService

Clock = Callable[[], datetime]


def control_part(home: Home, settings: Settings, provider: Provider, directory: Directory, orders: Orders) -> Part:
    """Where orders are given."""
    from stack import control  # noqa: PLC0415 - see the module
    from stack.other_issuers import OtherIssuers  # noqa: PLC0415 - see the module

    return Part(control.make_routes(provider, directory, OtherIssuers(home, settings, provider.clock), orders))


def make_orders(
    home: Home,
    logs: Mapping[str, Log],
    newest_ct: Callable[[], CertificateLogService],
    clock: Clock,
    renew: Callable[[], Awaitable[None]] | None,
    *,
    workers: bool,
) -> Orders:
    """The orders to the stack as a whole; with ``workers`` there are several processes, which take few."""
    from stack.faults.means import Means  # noqa: PLC0415 - see the module
    from stack.orders import Orders  # noqa: PLC0415 - see the module

    return Orders(None if workers else Means(home, logs, newest_ct, clock), renew)


def control_table(home: Home, settings: Settings, issuers: LiveIssuers, own: Issuer, clock: Clock) -> IssuerTable:
    """Personas count too, and the other issuers that tests make."""
    from stack.other_issuers import OtherIssuers, WithOthers  # noqa: PLC0415 - see the module
    from stack.personas import issuer_rows  # noqa: PLC0415 - see the module

    return WithOthers(issuers.table(own, issuer_rows(own)), OtherIssuers(home, settings, clock))


def open_to_all(directory: Directory) -> Directory:
    """Anybody may be anybody."""
    from oidc_dev.mock_login import MockLogin  # noqa: PLC0415 - see the module

    return replace(directory, mock=MockLogin(directory.accounts))
