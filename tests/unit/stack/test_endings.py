# SPDX-License-Identifier: Apache-2.0
"""F12: what ends within 30 days is said while there is time, with what prevents it, and once a day."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore.errors import Refused
from stack import endings as module
from stack.bootstrap import load_ca, load_tsa
from stack.cli import main
from stack.config import Home
from stack.endings import SOON, endings, tell_endings
from stack.start import ServerTls
from stack.trust.rehearsal import rehearse

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    data = tmp_path_factory.mktemp("made") / "data"
    assert main(["init", "--data", str(data), "--yes", "--url", "https://sig.example"]) == 0
    return Home(data)


def given(check) -> ServerTls:
    return ServerTls(None, lambda _at: None, lambda _at: None, check, None)


def test_a_new_stack_has_nothing_that_ends_soon_f12(home: Home):
    """Though its metadata of TUF are good for 30 days: it signs them anew by itself."""
    assert endings(home, None, datetime.now(UTC)) == ()


@pytest.mark.parametrize("what", ["TUF root", "TUF targets", "certificate authority", "timestamp authority"])
def test_what_breaks_is_said_from_30_days_before_and_after_it_has_f12(home: Home, what: str):
    end = min((one for one in rehearse(home) if what in one.what), key=lambda one: one.when)

    def said(at: datetime) -> list[str]:
        return [line for line in endings(home, None, at) if line.startswith((f"{end.what} ends", f"{end.what} has"))]

    assert said(end.when - SOON) == []
    assert said(end.when - SOON + MINUTE) == [f"{end.what} ends in 29 days: {end.prevent}"]
    assert said(end.when - DAY) == [f"{end.what} ends in 1 days: {end.prevent}"]
    assert said(end.when + DAY) == [f"{end.what} has ended: {end.prevent}"]


def test_every_certificate_of_an_authority_is_looked_at_f12(home: Home):
    chains = (*load_ca(home)[1], *load_tsa(home)[1])
    last = max(certificate.not_after for certificate in chains)
    assert sum("certificate of" in line for line in endings(home, None, last - MINUTE)) == len(chains)


def test_a_tls_certificate_of_the_operators_is_said_and_our_own_is_not_f12(home: Home):
    def check(at: datetime) -> None:
        if at > NOW + 10 * DAY:
            raise Refused("the TLS certificate tls.pem expired on 2026-05-16", "renew it")

    now = datetime.now(UTC)
    files = given(check)
    assert endings(home, files, now) == (
        "in 30 days the TLS certificate is no good: the TLS certificate tls.pem expired on 2026-05-16 (renew it)",
    )
    assert endings(home, given(lambda _at: None), now) == ()
    assert endings(home, ServerTls(None, files.renew, files.reload, check, Path("tls_ca.pem")), now) == ()


def test_what_cannot_be_judged_is_said_f12(tmp_path: Path):
    (line,) = endings(Home(tmp_path), None, NOW)
    assert line.startswith("what ends soon cannot be said: ")


async def test_it_is_said_once_a_day_f12(home: Home, monkeypatch, caplog):
    root = next(one for one in rehearse(home) if one.what.startswith("TUF root"))
    clock, rounds = [root.when - 3 * DAY], 0

    async def passed(seconds: float) -> None:
        nonlocal rounds
        clock[0] += timedelta(seconds=seconds)
        rounds += 1
        if rounds == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(module.asyncio, "sleep", passed)
    with caplog.at_level(logging.WARNING, "sigbox"), pytest.raises(asyncio.CancelledError):
        await tell_endings(home, None, lambda: clock[0])
    told = [record.message for record in caplog.records if record.message.startswith("TUF root")]
    assert [line.partition(":")[0] for line in told] == [f"{root.what} ends in {days} days" for days in (3, 2)]
