# SPDX-License-Identifier: Apache-2.0
"""Alerts on their way: posted once when all is well, again when it is not, and never at the cost of a log."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from client.policy.glob import Glob
from sigcore.errors import Unavailable
from stack.watch.matching import WatchRule
from stack.watch.rules import Webhook
from stack.watch.store import Alert, AlertStore, State
from stack.watch.watcher import TRIES, Watcher
from stack.watch.webhook import post
from tests.unit.ca.tls_pair import make_tls_authority
from tests.unit.tlog.catalog.conftest import signed
from tests.unit.tlog.conftest import Site
from tlog.catalog.catalog import rekor_v2_source
from tlog.log import Log, Submission

RULE = WatchRule("mallory", Glob("mallory@*"), None, expected=False, logs=("rekor",))
SECRET = b"0123456789abcdef0123456789abcdef"
WAIT_S = 60
"""A bound for failure on a busy machine, not an expectation."""


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def receiver(*answers: int) -> AsyncIterator[SimpleNamespace]:
    """``got`` (headers, body) of each post; the answers in their order, then 204."""
    got: list[tuple[dict[str, str], bytes]] = []
    left = list(answers)

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        status = left.pop(0) if left else 204
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", take)
    async with TestServer(app) as server:
        yield SimpleNamespace(got=got, url=str(server.make_url("/hook?token=t")))


def watcher(log: Log, url: str, path: Path | None = None, *, first_wait_s: float = 0.01) -> Watcher:
    webhook = Webhook(url, SECRET)

    async def tell(alert: Alert) -> str:
        return await post(alert, webhook, "http://localhost:7780", timeout_s=5)

    sources = {"rekor": rekor_v2_source(log)}
    return Watcher(path, (RULE,), sources, lambda: datetime.now(UTC), tell, first_wait_s=first_wait_s, idle_s=0.02)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    opened = await Site(tmp_path, durable=False).open()
    await opened.submit(signed("mallory@early.example", 1))
    yield opened
    await opened.stop()


async def settled(watching: Watcher, state: State, number: int = 1) -> bool:
    return (await watching.look()).numbers.get(state, 0) == number


async def test_an_alert_is_posted_once_signed_and_about_what_comes_after_the_rule(log):
    async with receiver() as there:
        watching = watcher(log, there.url)
        await watching.start()
        await log.submit(signed("alice@example.com", 2))
        await log.submit(signed("mallory@example.com", 3))
        await until(lambda: settled(watching, State.DELIVERED))
        await log.submit(signed("alice@example.com", 4))
        await until(lambda: _judged(watching, log.size))
        await watching.stop()
    ((headers, body),) = there.got
    assert headers["X-Sigbox-Signature"] == "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    found = json.loads(body)
    assert (found["rule"], found["identity"], found["index"]) == ("mallory", "mallory@example.com", 2)
    assert found["entry"] == "http://localhost:7780/entries/rekor/2"
    assert headers["X-Sigbox-Alert"] == found["id"] == "rekor:2:mallory"
    assert (watching.found, watching.delivered, watching.failed) == ({"mallory": 1}, 1, 0)


async def test_a_tree_that_a_rotation_adds_is_watched_by_the_rules_of_its_log(log, tmp_path):
    later = await Site(tmp_path / "later", durable=False).open()
    await later.submit(signed("the@first.example", 1))
    async with receiver() as there:
        watching = watcher(log, there.url)
        await watching.start()
        watching.follow("rekor-2", later)

        async def followed() -> bool:
            return (await watching.look()).judged.get("rekor-2") == 1

        await until(followed)
        await later.submit(signed("mallory@example.com", 2))
        await until(lambda: settled(watching, State.DELIVERED))
        await watching.stop()
    await later.stop()
    ((_, body),) = there.got
    assert json.loads(body)["entry"] == "http://localhost:7780/entries/rekor-2/1"


async def _judged(watching: Watcher, size: int) -> bool:
    return (await watching.look()).judged["rekor"] == size


@pytest.mark.parametrize("answers", [(500,), (503, 429, 404), (302,)])
async def test_what_is_not_taken_is_posted_again_under_the_same_name_and_no_redirect_is_followed(log, answers):
    async with receiver(*answers) as there:
        watching = watcher(log, there.url)
        await watching.start()
        await log.submit(signed("mallory@example.com", 2))
        await until(lambda: settled(watching, State.DELIVERED))
        await watching.stop()
    assert len(there.got) == len(answers) + 1
    assert len({headers["X-Sigbox-Alert"] for headers, _ in there.got}) == 1
    assert watching.failed == len(answers)


async def test_a_receiver_that_is_not_there_is_asked_until_it_is(log, unused_tcp_port):
    watching = watcher(log, f"http://127.0.0.1:{unused_tcp_port}/secret-path")
    await watching.start()
    await log.submit(signed("mallory@example.com", 2))
    await until(lambda: watching.failed >= 2)
    (alert,) = (await watching.look()).alerts
    assert alert.state is State.WAITING
    assert "secret-path" not in alert.said
    got = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/secret-path", take)
    async with TestServer(app, port=unused_tcp_port):
        await until(lambda: settled(watching, State.DELIVERED))
    await watching.stop()
    assert len(got) == 1


async def test_after_enough_tries_it_is_given_up_and_a_start_tries_it_again(log, tmp_path):
    async def never(_alert: Alert) -> str:
        return "no"

    def again() -> Watcher:
        sources = {"rekor": rekor_v2_source(log)}
        clock = lambda: datetime.now(UTC)  # noqa: E731 - one line
        return Watcher(tmp_path / "alerts.db", (RULE,), sources, clock, never, first_wait_s=0, idle_s=0.01)

    watching = again()
    await watching.start()
    await log.submit(signed("mallory@example.com", 2))
    await until(lambda: settled(watching, State.GIVEN_UP))
    await watching.stop()
    assert watching.failed == TRIES
    watching = again()
    await watching.start()
    await until(lambda: settled(watching, State.GIVEN_UP))
    await watching.stop()
    assert watching.failed == TRIES


async def test_a_restart_goes_on_where_it_was_and_loses_and_repeats_nothing(log, tmp_path):
    path = tmp_path / "alerts.db"
    async with receiver() as there:
        first = watcher(log, there.url, path)
        await first.start()
        await log.submit(signed("mallory@one.example", 2))
        await until(lambda: settled(first, State.DELIVERED))
        await first.stop()
        await log.submit(signed("mallory@two.example", 3))  # while nobody looks
        second = watcher(log, there.url, path)
        await second.start()
        await log.submit(signed("mallory@three.example", 4))
        await until(lambda: settled(second, State.DELIVERED, 3))
        await second.stop()
    names = [json.loads(body)["identity"] for _, body in there.got]
    assert names == ["mallory@one.example", "mallory@two.example", "mallory@three.example"]


async def test_what_was_kept_but_not_told_before_the_end_is_told_after_the_next_start(log, tmp_path, unused_tcp_port):
    path = tmp_path / "alerts.db"
    first = watcher(log, f"http://127.0.0.1:{unused_tcp_port}/", path, first_wait_s=3600)
    await first.start()
    await log.submit(signed("mallory@example.com", 2))
    await until(lambda: first.failed == 1)
    await first.stop()
    async with receiver() as there:
        second = watcher(log, there.url, path)
        await second.start()
        await until(lambda: settled(second, State.DELIVERED))
        await second.stop()
    assert len(there.got) == 1


async def test_a_receiver_that_hangs_and_a_storage_that_fails_hold_up_no_entry(log, tmp_path):
    hanging = asyncio.Event()

    async def hang(_alert: Alert) -> str:
        hanging.set()
        await asyncio.sleep(3600)
        return ""

    def made(path: Path | None) -> Watcher:
        sources = {"rekor": rekor_v2_source(log)}
        return Watcher(path, (RULE,), sources, lambda: datetime.now(UTC), hang, idle_s=0.01)

    (tmp_path / "broken.db").write_bytes(b"no database" * 1000)
    stuck, broken = made(None), made(tmp_path / "broken.db")
    await stuck.start()
    await broken.start()
    await log.submit(signed("mallory@example.com", 2))
    await asyncio.wait_for(hanging.wait(), WAIT_S)
    for number in range(3, 40):
        await asyncio.wait_for(log.submit(signed("mallory@example.com", number)), WAIT_S)
    await until(lambda: settled(stuck, State.WAITING, 38))
    assert "failed" in broken.fault
    assert log.fault == ""
    for one in (stuck, broken):
        await one.stop()


async def test_rules_that_are_not_followed_stay_said_while_telling_goes_well(log, monkeypatch):
    async def unreadable(_first: int, _end: int) -> tuple[Submission, ...]:
        raise Unavailable("entry 1 cannot be read")

    async with receiver() as there:
        watching = watcher(log, there.url)
        await watching.start()
        await log.submit(signed("mallory@example.com", 2))
        await until(lambda: settled(watching, State.DELIVERED))
        monkeypatch.setattr(log, "entries", unreadable)
        await log.submit(signed("mallory@example.com", 3))
        await until(lambda: "cannot be read" in watching.fault)
        for _ in range(100):
            await asyncio.sleep(0.001)
            assert "cannot be read" in watching.fault
        monkeypatch.undo()
        await until(lambda: settled(watching, State.DELIVERED, 2))
        await until(lambda: not watching.fault)
        await watching.stop()


async def test_what_cannot_even_be_asked_is_a_try_like_others_and_holds_up_no_other_alert(log):
    """Whatever goes wrong with one alert, the next ones are told."""
    told: list[str] = []

    async def tell(alert: Alert) -> str:
        if alert.index == 1:
            raise ValueError("nobody has thought of this")
        told.append(alert.name)
        return ""

    sources = {"rekor": rekor_v2_source(log)}
    watching = Watcher(None, (RULE,), sources, lambda: datetime.now(UTC), tell, first_wait_s=3600, idle_s=0.01)
    await watching.start()
    for number in (2, 3):
        await log.submit(signed("mallory@example.com", number))
    await until(lambda: told == ["rekor:2:mallory"])
    assert (await watching.look()).numbers == {State.WAITING: 1, State.DELIVERED: 1}
    await watching.stop()


async def test_a_receiver_behind_a_private_authority_is_reached_with_that_authority_and_no_other(tmp_path):
    async def take(_request: web.Request) -> web.Response:
        return web.Response()

    app, alarm = web.Application(), alert(1, State.WAITING)
    app.router.add_post("/hook", take)
    own, other = make_tls_authority(), make_tls_authority()
    for name, authority in (("own.pem", own), ("other.pem", other)):
        (tmp_path / name).write_text(authority.pem)
    server = TestServer(app, host="localhost", scheme="https")
    await server.start_server(ssl=own.server)
    url = str(server.make_url("/hook"))
    assert await post(alarm, Webhook(url, SECRET, str(tmp_path / "own.pem")), "http://localhost") == ""
    assert "not trusted" in await post(alarm, Webhook(url, SECRET, str(tmp_path / "other.pem")), "http://localhost")
    await server.close()


async def test_a_copy_that_comes_late_is_judged_from_the_end_that_it_came_with(log):
    empty = SimpleNamespace(size=0, entries=log.entries, publisher=log.publisher)
    source = rekor_v2_source(empty)
    watching = Watcher(None, (RULE,), {"rekor": source}, lambda: datetime.now(UTC), None, idle_s=0.01)
    await watching.start()
    await log.submit(signed("mallory@before.example", 2))
    empty.size = log.size
    await until(lambda: _is_judged(watching, 2))
    await log.submit(signed("mallory@after.example", 3))
    empty.size = log.size
    await until(lambda: settled(watching, State.KEPT))
    assert [alert.identity for alert in (await watching.look()).alerts] == ["mallory@after.example"]
    await watching.stop()


async def _is_judged(watching: Watcher, size: int) -> bool:
    return (await watching.look()).judged.get("rekor") == size


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_tree_that_a_rotation_adds_is_judged_from_its_first_entry_on(log, tmp_path, restarted):
    """However late it is looked at: whoever signs under a name has no second in which nobody looks."""
    added = await Site(tmp_path / "added", durable=False).open()
    path, told = tmp_path / "alerts.db", []

    async def tell(alert: Alert) -> str:
        told.append(alert.name)
        return ""

    def made(sources) -> Watcher:
        return Watcher(path, (RULE,), sources, lambda: datetime.now(UTC), tell, idle_s=0.02)

    watching = made({"rekor": rekor_v2_source(log)})
    await watching.start()
    await added.submit(signed("mallory@example.com", 2))
    if restarted:
        await watching.stop()
        watching = made({"rekor": rekor_v2_source(log), "rekor-2": rekor_v2_source(added)})
        await watching.start()
    else:
        watching.follow("rekor-2", added)
    await until(lambda: told == ["rekor-2:0:mallory"])
    await watching.stop()
    await added.stop()


async def test_without_a_webhook_alerts_are_kept_and_counted(log):
    sources = {"rekor": rekor_v2_source(log)}
    watching = Watcher(None, (RULE,), sources, lambda: datetime.now(UTC), None, idle_s=0.01)
    await watching.start()
    await log.submit(signed("mallory@example.com", 2))
    await until(lambda: settled(watching, State.KEPT))
    await watching.stop()
    assert watching.found == {"mallory": 1}


def alert(index: int, state: State) -> Alert:
    return Alert(0, "r", "rekor", index, "a", "b", expected=False, time_ms=0, found_ms=0, state=state)


def test_the_table_is_bounded_and_what_is_dropped_untold_is_counted():
    store = AlertStore(None, most=5)
    store.open({"rekor": 0}, told=True)
    store.add("rekor", 5, [alert(index, State.KEPT) for index in range(5)])
    store.add("rekor", 8, [alert(index, State.WAITING) for index in range(5, 8)])
    assert store.numbers() == ({State.WAITING: 3, State.KEPT: 2}, 0)
    store.add("rekor", 20, [alert(index, State.WAITING) for index in range(8, 20)])
    numbers, dropped = store.numbers()
    assert (numbers, dropped) == ({State.WAITING: 5}, 10)
    assert [one.index for one in store.newest(2)] == [19, 18]
    store.close()


def test_an_entry_that_was_judged_twice_is_one_alert():
    store = AlertStore(None)
    store.open({"rekor": 0}, told=True)
    for _ in range(2):
        store.add("rekor", 1, [alert(0, State.WAITING)])
    assert store.numbers() == ({State.WAITING: 1}, 0)
    store.close()


def test_a_log_that_is_shorter_than_what_was_judged_is_judged_from_its_end(tmp_path):
    store = AlertStore(tmp_path / "alerts.db")
    assert store.open({"rekor": 9}, told=False) == {"rekor": 9}
    store.close()
    assert store.open({"rekor": 4, "ct": 2}, told=False) == {"rekor": 4, "ct": 2}
    store.close()
