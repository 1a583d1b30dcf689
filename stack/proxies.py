# SPDX-License-Identifier: Apache-2.0
"""``HTTPS_PROXY`` and ``NO_PROXY``: the way to issuers and providers of others out of a closed network.

1. Only https goes through a proxy, which then carries what it cannot read. Loopback never does, whatever the environment says.
2. What is on ``NO_PROXY`` does not (names, with their subdomains; ``*``).
3. Whoever asks a role of this stack asks it straight: nobody gives these connections a way.

The variables are those that curl and the other programs of a machine read; the lower-case name wins.
"""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from sigcore.errors import Malformed
from sigcore.proxy import Proxy
from stack.config import is_loopback

_EXPECTED: Final = "expected http://HOST:PORT, or http://USER:PASSWORD@HOST:PORT"


def outside(url: str) -> Proxy | None:
    """The :data:`~sigcore.proxy.Way` that the environment describes.

    Raises:
        Malformed: it names no proxy that could be used. The message does not repeat it: a password may stand in it.
    """
    parts, proxies = urlsplit(url), getproxies_environment()
    host = parts.hostname or ""
    if parts.scheme != "https" or is_loopback(host) or "https" not in proxies:  # (1)
        return None
    if proxy_bypass(host if parts.port is None else f"{host}:{parts.port}"):  # (2)
        return None
    return _proxy(proxies["https"])


def _proxy(text: str) -> Proxy:
    try:
        parts = urlsplit(text if "//" in text else f"http://{text}")
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise Malformed("HTTPS_PROXY is no URL", _EXPECTED) from error
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Malformed("HTTPS_PROXY names no proxy that can be used", _EXPECTED)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if parts.username is None:
        return Proxy(url)
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(url, {"Proxy-Authorization": f"Basic {base64.b64encode(secret).decode('ascii')}"})
