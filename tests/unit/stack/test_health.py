# SPDX-License-Identifier: Apache-2.0
"""Readiness: each role that could not do its work is named with the reason, and only that one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from aiohttp import web

from sigcore import certify, keys, x509
from sigcore.errors import Unavailable
from stack.config import Home
from stack.health import answers, ca_check, log_check, make_routes, oidc_check, trust_check, tsa_check
from stack.trust.state import load_roles
from tlog.publish import SigningClock
from tsa.timekeeper import TimeKeeper

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ROLES = ("oidc", "ca", "ct", "rekor", "tsa", "trust")


def chain(first: datetime, last: datetime) -> tuple[x509.Certificate, ...]:
    root = certify.make_root(keys.generate_p256(), certify.Subject("the root", "o", first, last))
    return (x509.parse_certificate(root),)


def publish(folder, **expires: datetime) -> None:
    """Metadata as far as a countdown reads it; roles that are not named expire in a year."""
    folder.mkdir(parents=True, exist_ok=True)
    trusted = {role: {"keyids": ["00"], "threshold": 1} for role in ("root", "targets", "snapshot", "timestamp")}
    for role, name, meta in (
        ("root", "1.root.json", {}),
        ("root", "2.root.json", {}),
        ("targets", "3.targets.json", {}),
        ("snapshot", "4.snapshot.json", {"targets.json": {"version": 3}}),
        ("timestamp", "timestamp.json", {"snapshot.json": {"version": 4}}),
    ):
        until = expires.get(role, NOW + 365 * DAY) if name != "1.root.json" else NOW - DAY
        signed = {"_type": role, "expires": f"{until:%Y-%m-%dT%H:%M:%SZ}", "version": 1, "meta": meta, "roles": trusted}
        signed["keys"] = {"00": {}}
        (folder / name).write_text(json.dumps({"signatures": [], "signed": signed}))


@pytest.fixture
def parts(tmp_path):
    """The parts of a stack that is well; a test breaks one of them."""
    home = Home(tmp_path)
    publish(home.tuf_repository)

    def log() -> SimpleNamespace:
        head = SimpleNamespace(timestamp_ms=int(NOW.timestamp() * 1000))
        clock = SigningClock(lambda: NOW)
        return SimpleNamespace(damage="", fault="", head=head, publisher=SimpleNamespace(key="in memory"), clock=clock)

    good = chain(NOW - DAY, NOW + DAY)
    return SimpleNamespace(
        home=home,
        provider=SimpleNamespace(keys=SimpleNamespace(published=lambda _now: {"id": "key"})),
        ca_chain=good,
        logs={"ct": log(), "rekor": log()},
        timestamps=SimpleNamespace(chain=good, timekeeper=TimeKeeper(), key="in memory"),
    )


def ask(parts, now: datetime = NOW) -> dict[str, str]:
    checks = {"oidc": oidc_check(parts.provider), "ca": ca_check(parts.ca_chain)}
    checks |= {name: log_check(log) for name, log in parts.logs.items()}
    return answers(checks | {"tsa": tsa_check(parts.timestamps), "trust": trust_check(parts.home)}, now)


def only(role: str, reason: str) -> dict[str, str]:
    return dict.fromkeys(ROLES, "ok") | {role: reason}


def test_a_stack_that_is_well_says_ok_for_each_role(parts):
    assert ask(parts) == dict.fromkeys(ROLES, "ok")


def test_a_provider_without_a_key(parts):
    parts.provider.keys.published = lambda _now: {}
    assert ask(parts) == only("oidc", "the provider has no signing key")


@pytest.mark.parametrize("now", [NOW - 2 * DAY, NOW + 2 * DAY])
def test_a_certificate_authority_outside_of_its_validity_f12(parts, now):
    parts.timestamps.chain = ()
    parts.logs = {}
    assert ask(parts, now)["ca"] == "the certificate of the root is valid from 2026-02-28 to 2026-03-02 only"


def test_a_timestamp_chain_that_has_expired_f12(parts):
    parts.timestamps.chain = chain(NOW - 2 * DAY, NOW - DAY)
    assert ask(parts) == only("tsa", "the certificate of the root is valid from 2026-02-27 to 2026-02-28 only")


def test_a_clock_behind_the_last_timestamp_f06(parts):
    parts.timestamps.timekeeper.advance(NOW + timedelta(minutes=2))
    assert ask(parts)["tsa"].startswith("timeNotAvailable: the clock says 2026-03-01T00:00:00Z")
    assert ask(parts, NOW + timedelta(minutes=1)) == dict.fromkeys(ROLES, "ok")


def test_a_log_that_stopped_writing_and_one_whose_head_lies_ahead(parts):
    parts.logs["ct"].fault = "the disk is full"
    assert ask(parts) == only("ct", "the log takes no entries: the disk is full")
    parts.logs["ct"].fault = ""
    parts.logs["rekor"].head.timestamp_ms += 61_000
    assert ask(parts) == only("rekor", "the clock is 61 s behind the log's head")


class Away:
    """A key in a device that does not answer."""

    def aside(self) -> None: ...

    def check(self) -> None:
        raise Unavailable("the token is not there")


def test_a_key_in_a_token_that_does_not_answer(parts):
    parts.logs["ct"].publisher.key = Away()
    assert ask(parts) == only("ct", "the token is not there")
    parts.timestamps.key = Away()
    assert ask(parts)["tsa"] == "the token is not there"


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_a_tuf_role_that_has_expired_f12(parts, role):
    publish(parts.home.tuf_repository, **{role: NOW})
    reason = ask(parts)["trust"]
    assert reason == f"the TUF {role} expired on 2026-03-01"


def test_a_repository_that_is_not_there_or_damaged(parts):
    (parts.home.tuf_repository / "4.snapshot.json").write_text("{")
    assert "4.snapshot.json" in ask(parts)["trust"]
    (parts.home.tuf_repository / "timestamp.json").unlink()
    assert "does not exist" in ask(parts)["trust"]


def test_the_countdown_is_that_of_the_newest_root(parts):
    publish(parts.home.tuf_repository, timestamp=NOW + 7 * DAY)
    found = {role.role: role.expires for role in load_roles(parts.home.tuf_repository)}
    assert found["timestamp"] - NOW == 7 * DAY
    assert found["root"] - NOW == 365 * DAY


async def test_who_is_not_ready_answers_503_with_every_reason(aiohttp_client):
    def broken(_now: datetime) -> None:
        raise Unavailable("it is broken", "mend it")

    def unreadable(_now: datetime) -> None:
        raise PermissionError(13, "Permission denied")

    app = web.Application()
    app.add_routes(make_routes({"good": lambda _now: None, "bad": broken, "ugly": unreadable}, lambda: NOW))
    client = await aiohttp_client(app)
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {
        "ready": False,
        "roles": {"good": "ok", "bad": "it is broken", "ugly": "its files cannot be read: Permission denied"},
        "faults": ["bad: it is broken", "ugly: its files cannot be read: Permission denied"],
    }
    assert (await client.get("/healthz")).status == 200


def test_a_clock_that_leapt_f06(parts):
    """Since the machine was started a minute has passed."""
    ticks = iter((0.0, 60.0, 60.0))
    parts.logs["ct"].clock.guard(lambda: next(ticks))
    later = NOW + timedelta(days=365)
    assert "leapt forward" in ask_log(parts.logs["ct"], later)


def test_a_head_that_is_to_come_is_well_where_somebody_has_said_that_the_clock_is_right(parts):
    parts.logs["ct"].head.timestamp_ms += 365 * 86_400_000
    assert "behind the log's head" in ask_log(parts.logs["ct"], NOW)
    parts.logs["ct"].clock.guard(lambda: 0.0, accepted=True)
    assert ask_log(parts.logs["ct"], NOW) == ""


def ask_log(log, now: datetime) -> str:
    try:
        log_check(log)(now)
    except Unavailable as error:
        return error.message
    return ""
