# SPDX-License-Identifier: Apache-2.0
"""How much one network may have signed: certificates, timestamps and entries, which stay for good, or cost most to make."""

from __future__ import annotations

import time
from http import HTTPStatus
from math import ceil
from typing import Final

from aiohttp import web

from oidc_dev.throttle import Rate, Throttle, network_of
from stack import plain

_SIGNED: Final = ("/signingCert", "/timestamp", "/log/entries", "/add-chain", "/add-pre-chain")
"""How the paths end of what is signed when it is posted."""


class Quota:
    """One bucket per network, an IPv4 address or 64 bits of an IPv6 address.

    Args:
        per_minute: requests; a quarter of them may come at once.
        share: of how many processes this is one, among which connections are spread.
    """

    def __init__(self, per_minute: int, share: int = 1) -> None:
        self._throttle = Throttle(Rate(max(1, per_minute // (4 * share)), 60 * share / per_minute))

    def refusal(self, request: web.Request) -> web.Response | None:
        """429 with the seconds to wait, in the form of the role that was asked; None where there is room."""
        if request.method != "POST" or not request.path.endswith(_SIGNED):
            return None
        network = network_of(request.remote or "")
        wait_s = self._throttle.take(network, now_s=time.monotonic())
        if not wait_s:
            return None
        message = f"{network} has asked for too much within a minute; again in {ceil(wait_s)} s"
        response = plain.refusal(HTTPStatus.TOO_MANY_REQUESTS, message, request.path)
        response.headers["Retry-After"] = str(ceil(wait_s))
        return response
