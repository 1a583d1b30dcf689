# SPDX-License-Identifier: Apache-2.0
"""The provider as a service of its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from oidc_dev.http import Provider, make_routes


def make_app(provider: Provider) -> web.Application:
    """An application that serves ``provider`` below the path of its issuer."""
    app = web.Application()
    app.add_routes(make_routes(provider, urlsplit(provider.issuer).path))
    return app
