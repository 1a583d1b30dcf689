# SPDX-License-Identifier: Apache-2.0
"""What a provider is made of beside its keys, and how the parts that need Authlib, Jinja and argon2 are put together.

:func:`assemble` is called beside the event loop when the first of them is asked: a start does not pay for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from oidc_dev.machines import Machines
from oidc_dev.ports import Broker
from oidc_dev.provider import Provider
from oidc_dev.rules import LoginRules
from oidc_dev.store import Accounts
from sigcore.errors import Unavailable
from sigcore.values import dataclass

if TYPE_CHECKING:
    from oidc_dev.authorization import Authorization
    from oidc_dev.clients import Registered
    from oidc_dev.device_pages import DevicePages
    from oidc_dev.federation import Federation
    from oidc_dev.guest_pages import GuestPages
    from oidc_dev.mock_login import MockLogin
    from oidc_dev.pages import Pages
    from oidc_dev.seal import Seal
    from oidc_dev.server import Server


def _no_seal() -> Seal:
    raise Unavailable("this provider has no key for one-time password secrets")


@dataclass(frozen=True, slots=True)
class Directory:
    """Who may have tokens: people, and where there are any, machines, outside issuers, and people of providers of others.

    ``registered`` is a client in this process. ``seal`` opens the secrets of one-time passwords; it is called beside the event loop, for an account that has one.
    ``mock`` lets anybody be anybody, for tests.
    """

    accounts: Accounts
    machines: Machines | None = None
    broker: Broker | None = None
    federation: Federation | None = None
    rules: LoginRules = LoginRules()
    seal: Callable[[], Seal] = _no_seal
    registered: Registered | None = None
    mock: MockLogin | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """The endpoints, before they are HTTP."""

    server: Server
    authorization: Authorization
    devices: DevicePages
    guests: GuestPages | None
    pages: Pages


def assemble(provider: Provider, directory: Directory) -> Parts:
    """The parts of ``provider`` for those in ``directory``."""
    from oidc_dev.authorization import Authorization  # noqa: PLC0415 - see the module
    from oidc_dev.device_pages import DevicePages  # noqa: PLC0415 - see the module
    from oidc_dev.forms import Forms  # noqa: PLC0415 - see the module
    from oidc_dev.logins import Logins  # noqa: PLC0415 - see the module
    from oidc_dev.pages import Pages  # noqa: PLC0415 - see the module
    from oidc_dev.server import Server  # noqa: PLC0415 - see the module

    server = Server(provider, directory.machines, directory.broker, directory.registered)
    logins = Logins(directory.accounts, directory.rules, directory.seal, directory.mock)
    pages, forms = Pages(provider, directory.federation or ()), Forms(provider.origin)
    authorization = Authorization(server, logins, pages, forms)
    devices = DevicePages(server.devices, logins, pages, forms, server.now)
    guests = None
    if directory.federation is not None:
        from oidc_dev.guest_pages import GuestPages  # noqa: PLC0415 - see the module

        guests = GuestPages(directory.federation, authorization, devices, pages, forms, server.now)
    return Parts(server, authorization, devices, guests, pages)
