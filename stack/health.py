# SPDX-License-Identifier: Apache-2.0
"""Liveness and readiness, in the forms that the clients' probes know.

``/healthz`` and ``/ping`` say that the process answers. ``/readyz`` asks each role whether what it would answer now is good,
and gives the reason of each that would not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from aiohttp import web

from oidc_dev.provider import Provider
from sigcore import device_key
from sigcore.errors import SigError, Unavailable
from sigcore.x509 import Certificate, common_name
from stack.config import Home
from stack.trust.state import check_roles
from tlog.log import Log
from tsa.authority import TimestampAuthority

CLOCK_STEP = timedelta(seconds=60)
"""A clock may be this far behind the head of a log, which an NTP correction explains."""
Check = Callable[[datetime], None]
"""Raises a SigError for the reason why the role cannot do its work at that moment."""


def make_routes(checks: Mapping[str, Check], clock: Callable[[], datetime]) -> list[web.RouteDef]:
    """The three routes; HEAD goes to the same handlers."""

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "SERVING"})

    async def ready(_request: web.Request) -> web.Response:
        roles = answers(checks, clock())
        faults = [f"{name}: {answer}" for name, answer in roles.items() if answer != "ok"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
        return web.json_response({"ready": not faults, "roles": roles, "faults": faults}, status=status)

    return [web.get("/healthz", alive), web.get("/ping", alive), web.get("/readyz", ready)]


def answers(checks: Mapping[str, Check], now: datetime) -> dict[str, str]:
    """Each role's ``ok``, or what is wrong with it."""
    found = {}
    for name, check in checks.items():
        try:
            check(now)
        except SigError as error:
            found[name] = error.message
        except OSError as error:
            found[name] = f"its files cannot be read: {error.strerror}"
        else:
            found[name] = "ok"
    return found


def oidc_check(provider: Provider) -> Check:
    """Of the OpenID provider."""

    def check(now: datetime) -> None:
        if not provider.keys.published(now):
            raise Unavailable("the provider has no signing key")

    return check


def ca_check(chain: Sequence[Certificate]) -> Check:
    """Of the certificates of the authority with this chain."""
    return lambda now: _check_validity(chain, now)


def tsa_check(timestamps: TimestampAuthority) -> Check:
    """Of the timestamp authority."""

    def check(now: datetime) -> None:
        device_key.check(timestamps.key)
        _check_validity(timestamps.chain, now)
        timestamps.timekeeper.check(now)

    return check


def trust_check(home: Home) -> Check:
    """Of the TUF repository."""
    return lambda now: check_roles(home.tuf_repository, now)


def log_check(log: Log) -> Check:
    """Of one log."""

    def check(now: datetime) -> None:
        if log.damage:
            raise Unavailable(log.damage)
        device_key.check(log.publisher.key)
        if log.fault:
            raise Unavailable(f"the log takes no entries: {log.fault}")
        log.clock.check(now)
        ahead = timedelta(milliseconds=log.head.timestamp_ms) - timedelta(seconds=now.timestamp())
        if ahead > CLOCK_STEP and not log.clock.accepted:
            raise Unavailable(f"the clock is {ahead.total_seconds():.0f} s behind the log's head")

    return check


def _check_validity(chain: Sequence[Certificate], now: datetime) -> None:
    for certificate in chain:
        if not certificate.not_before <= now <= certificate.not_after:
            name, first, last = common_name(certificate.subject), certificate.not_before, certificate.not_after
            raise Unavailable(f"the certificate of {name} is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d} only")
