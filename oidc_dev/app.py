# SPDX-License-Identifier: Apache-2.0
"""The provider as a service of its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from oidc_dev.http import make_routes
from oidc_dev.provider import Provider
from oidc_dev.store import Accounts


def make_app(provider: Provider, accounts: Accounts) -> web.Application:
    """An application that serves ``provider`` below the path of its issuer; ``accounts`` may log in."""
    app = web.Application()
    app.add_routes(make_routes(provider, accounts, urlsplit(provider.issuer).path))
    return app
