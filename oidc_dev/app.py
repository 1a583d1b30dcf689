# SPDX-License-Identifier: Apache-2.0
"""The provider as a service of its own."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from oidc_dev.http import make_routes
from oidc_dev.parts import Directory
from oidc_dev.provider import Provider


def make_app(provider: Provider, directory: Directory) -> web.Application:
    """An application that serves ``provider`` below the path of its issuer to those in ``directory``."""
    app = web.Application()
    app.add_routes(make_routes(provider, directory, urlsplit(provider.issuer).path))
    return app
