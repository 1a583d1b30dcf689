# SPDX-License-Identifier: Apache-2.0
"""What was asked and how it went, counted by route: cheap enough for every request, bounded whatever is asked.

A route is the template in the routing table; what matches none is one series, and so is every method that HTTP's own
registry does not know. The number of series cannot grow with what strangers send.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from aiohttp import web

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the latency histogram; beyond the last one there is one more bucket."""
CERTIFICATES: Final = ("/api/v2/signingCert", "/api/v1/signingCert")
"""The routes that a certificate comes from."""
OTHER: Final = "OTHER"
NO_ROUTE: Final = "none"
_ROLES: Final = (
    ("oidc", ("/auth", "/ambient/")),
    ("ca", ("/api/v2/signingCert", "/api/v2/trustBundle", "/api/v2/configuration", "/api/v1/signingCert", "/api/v1/rootCert")),
    ("ct", ("/ct/",)),
    ("tsa", ("/api/v1/timestamp",)),
    ("rekor-v1", ("/api/v1/log", "/api/v1/index")),
    ("rekor", ("/api/v2/", "/checkpoint", "/tile", "/log/", "/witness/")),
    ("trust", ("/tuf", "/root.json", "/trusted_root.json", "/signing_config.json", "/trust_config.json")),
    ("health", ("/healthz", "/readyz", "/ping", "/metrics")),
    ("none", (NO_ROUTE,)),
)  # fmt: skip
CONSOLE: Final = "console"
"""The role of everything else: the pages."""


class Series:
    """One (method, route, status): how many requests, how long they took together and in buckets."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.count = 0
        self.seconds = 0.0


class Traffic:
    """All series since the start."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str, int], Series] = {}

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        """One answered request; ``method`` as :func:`method_of` has it."""
        series = self._series((method, route, status))
        series.count += 1
        series.seconds += seconds
        series.buckets[bisect_left(BUCKETS_S, seconds)] += 1

    def add(self, key: tuple[str, str, int], buckets: Sequence[int], seconds: float) -> None:
        """Requests that another process answered: for (method, route, status) how many in each bucket, and how long together."""
        series = self._series(key)
        series.buckets = [own + more for own, more in zip(series.buckets, buckets, strict=True)]
        series.count += sum(buckets)
        series.seconds += seconds

    def _series(self, key: tuple[str, str, int]) -> Series:
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series(role_of(key[1]))
        return series

    def answered(self, method: str, routes: tuple[str, ...]) -> int:
        """How many requests to ``routes`` were granted."""
        return sum(
            series.count
            for (verb, route, status), series in self.series.items()
            if verb == method and route in routes and 200 <= status < 300
        )

    def unwelcome(self) -> dict[str, int]:
        """By log, how often the answer to an entry was that its signer may not write there, or that its tree has ended (ct)."""
        found = dict.fromkeys(("ct", "rekor", "rekor-v1"), 0)
        for (verb, route, status), series in self.series.items():
            if (verb, status) == ("POST", 403) and series.role in found and not route.startswith("/witness/"):
                found[series.role] += series.count
        return found


def method_of(request: web.Request) -> str:
    """The method, if HTTP knows it."""
    return request.method if request.method in METHODS else OTHER


def route_of(request: web.Request) -> str:
    """The template that the request matched."""
    resource = request.match_info.route.resource
    return NO_ROUTE if resource is None else resource.canonical


def role_of(route: str) -> str:
    """The role that answers a route."""
    return next((role for role, prefixes in _ROLES if route.startswith(prefixes)), CONSOLE)
