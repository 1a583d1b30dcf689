# SPDX-License-Identifier: Apache-2.0
"""The operator's page: what has to be done and by which command; keys, growth and audits as they are."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import stack.web.operating
from client.policy.glob import Glob
from oidc_dev.signing import KeyRing, PublishedKey, SigningKey, generate_rsa
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.trustroot import LogInstance, TrustedRoot, Validity
from stack.config import Home, Settings
from stack.trust.state import RoleState
from stack.watch.matching import WatchRule
from stack.watch.store import Alert, State, Watched
from stack.watch.watcher import Watcher
from stack.web.console.around import Around
from stack.web.console.routes import Console
from stack.web.operating import needs
from stack.web.operating.growth import DAYS, Disk, look, measure
from stack.web.operating.keys import NOT_YET, SIGNS, VERIFIES, ShownCertificate, provider_keys, trusted_keys
from tests.test_cli_docs import problems
from tests.unit.stack.console.test_console import text_of
from tests.unit.tlog.catalog.conftest import signed
from tests.unit.tlog.conftest import Site
from tlog.catalog.catalog import Catalog, rekor_v2_source

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FOLDER = Path(stack.web.operating.__file__).parent


def role(name: str, left: timedelta) -> RoleState:
    return RoleState(name, 3, NOW + left, ("ab" * 32,), 1)


@pytest.mark.parametrize(
    ("name", "left", "said"),
    [
        ("root", timedelta(days=3000), ""),
        ("root", timedelta(days=80), "good for {days} days"),
        ("targets", timedelta(seconds=-1), "expired"),
        ("timestamp", timedelta(days=10), ""),
        ("timestamp", timedelta(days=-1), "expired"),
        ("snapshot", timedelta(days=4000), "clock"),
    ],
)
def test_metadata_that_nobody_signs_by_itself_is_said_in_time(name, left, said):
    found = list(needs.of_tuf((role(name, left),), NOW, "/srv/x"))
    assert [said in need.text for need in found] == ([True] if said else [])


def test_a_root_that_people_sign_needs_a_proposal_and_no_rotation():
    root = replace(role("root", timedelta(days=80)), threshold=2, names=("alice",))
    (need,) = needs.of_tuf((root,), NOW, "d")
    assert need.command == "sigbox trust root propose --data d"


def test_a_chain_of_a_corporate_pki_is_followed_by_a_request():
    found = (ShownCertificate("TSA", "x", NOW, corporate=True), ShownCertificate("CA", "root", NOW))
    commands = [need.command for need in needs.of_certificates(found, NOW, "d")]
    assert commands == ["sigbox trust request tsa --data d", "sigbox trust rotate ca --data d"]


def test_every_need_has_a_command():
    low = Disk((), free=1000, total=2000, days_left=1)
    ending = (ShownCertificate("CA", "root", NOW), ShownCertificate("TLS", "localhost", NOW + timedelta(days=3)))
    found = [
        *needs.of_roles({"ca": "its certificate ended", "ct": "ok"}, "DATA"),
        *needs.of_tuf(tuple(role(name, timedelta(days=-1)) for name in ("root", "timestamp")), NOW, "DATA"),
        *needs.of_certificates(ending, NOW, "DATA"),
        *needs.of_logs({"rekor": "no space left", "ct": ""}, "DATA"),
        *needs.of_disk(low, "DATA"),
    ]
    assert len(found) == 7
    assert all(need.command.strip() for need in found)


def test_every_command_is_one_that_there_is():
    """But those that are not ours."""
    watched = Watched((late(),), {State.GIVEN_UP: 2}, 3, {})
    found = [
        *needs.of_roles({"ca": "its certificate ended"}, "DATA"),
        *needs.of_tuf(tuple(role(name, timedelta(days=-1)) for name in ("root", "timestamp")), NOW, "DATA"),
        *needs.of_certificates(
            (ShownCertificate("CA", "root", NOW), ShownCertificate("TSA", "x", NOW, corporate=True)), NOW, "DATA"
        ),
        *needs.of_logs({"rekor": "no space left"}, "DATA"),
        *needs.of_alerts(watched, "disk full", "DATA"),
    ]
    assert len(found) == 9
    assert [list(problems(need.command)) for need in found] == [[]] * len(found)


def late() -> Alert:
    when = 1_772_323_620_000
    return Alert(
        1, "r", "rekor", 3, "<script>alert(1)</script>", "<b>", False, when, when, State.WAITING, 2, "<i>no</i>"
    )


def test_alerts_that_are_not_taken_are_said_before_they_are_given_up():
    (need,) = needs.of_alerts(Watched((late(),), {State.WAITING: 1}, 0, {}), "", "DATA")
    assert need.values == {"reason": "<i>no</i>"}
    assert list(needs.of_alerts(Watched((), {State.DELIVERED: 4}, 0, {}), "", "DATA")) == []
    assert list(needs.of_alerts(None, "", "DATA")) == []


async def test_nothing_of_an_alert_becomes_markup_w(tmp_path):
    rule = WatchRule("r", Glob("<script>*"), Glob("<b>"), expected=True, logs=("rekor",))

    class Looking(Watcher):
        async def look(self) -> Watched:
            return Watched((late(),), {State.WAITING: 1}, 0, {})

    watcher = Looking(None, (rule,), {}, lambda: NOW, None)
    home, settings = Home(tmp_path), Settings("http://localhost:7780", NOW, ephemeral=True, url_follows_listen=False)
    console = Console(home, settings, {}, Around(watcher=watcher))
    app = web.Application()
    app.add_routes(console.make_routes())
    async with TestClient(TestServer(app)) as client, client.get("/operator") as response:
        page = await response.text()
    await console.stop()
    for payload in ("<script>", "<b>", "<i>"):
        assert payload not in page
        assert escape(payload) in page


def test_a_disk_that_is_empty_enough_but_fills_fast_is_said():
    assert list(needs.of_disk(Disk((), 10**12, 10**13, 400), "DATA")) == []
    (need,) = needs.of_disk(Disk((), 10**12, 10**13, 12), "DATA")
    assert need.values["days"] == 12


def test_keys_are_shown_by_what_they_are_good_for_now():
    def log(start: timedelta, end: timedelta | None) -> LogInstance:
        validity = Validity(NOW + start, None if end is None else NOW + end)
        kind = KeyDetails.PKIX_ED25519
        return LogInstance("http://localhost", HashAlgorithm.SHA2_256, b"", kind, validity, bytes(32))

    day = timedelta(days=1)
    root = TrustedRoot(logs=(log(-2 * day, -day), log(-day, None), log(day, None)))
    assert [key.use for key in trusted_keys(root, NOW)] == [VERIFIES, SIGNS, NOT_YET]


def test_the_provider_keys_are_those_that_it_publishes_and_the_ended_one_is_gone():
    signing, following, before, ended = (generate_rsa() for _ in range(4))
    ring = KeyRing(
        SigningKey.of(signing),
        (
            PublishedKey.of(following.public_key()),
            PublishedKey.of(before.public_key(), NOW + timedelta(minutes=5)),
            PublishedKey.of(ended.public_key(), NOW),
        ),
    )
    found = list(provider_keys(ring, NOW))
    assert [key.use for key in found] == [SIGNS, NOT_YET, VERIFIES]
    assert [key.id for key in found] == list(ring.published(NOW))


async def test_growth_counts_each_entry_on_its_day_once_also_after_a_restart(tmp_path):
    log = await Site(tmp_path, durable=False).open()
    for number in (1, 2, 24 * 60 + 1):  # two entries of the first of March, one of the second
        await log.submit(signed("alice@example.com", number))
    for _ in range(2):
        catalog = Catalog(tmp_path / "catalog.db", {"rekor": rekor_v2_source(log)})
        await catalog.start()
        await catalog._read("rekor", 100)
        (growth,) = await look(catalog, {"rekor": log.size}, NOW + timedelta(days=2))
        await catalog.stop()
        assert {bar.day: bar.number for bar in growth.bars if bar.number} == {"2026-03-01": 2, "2026-03-02": 1}
        assert (len(growth.bars), growth.lately, growth.size) == (DAYS, 3, 3)
    await log.stop()


def test_the_size_of_a_database_has_its_write_ahead_log_in_it(tmp_path):
    (tmp_path / "rekor").mkdir()
    (tmp_path / "rekor" / "log.db").write_bytes(bytes(1000))
    (tmp_path / "rekor" / "log.db-wal").write_bytes(bytes(50))
    disk = measure(tmp_path, ())
    assert disk.databases == (("rekor/log.db", 1050),)
    assert 0 < disk.free < disk.total
    assert disk.days_left is None


async def test_the_page_shows_logs_audits_and_what_is_wrong(console):
    await console.log.submit(signed("alice@example.com", 1))
    page = await text_of(console, "/operator")
    assert "under way" in page
    await console.log.audit_in_background()
    page = await text_of(console, "/operator")
    assert "1 entries, 0 full tiles" in page
    console.log.damage = "entry 0 was <b>changed</b>"
    page = await text_of(console, "/operator?lang=ja")
    assert "sigbox fsck --data" in page
    assert "entry 0 was &lt;b&gt;changed" in page
    assert "<b>changed" not in page
    assert "ログ rekor はエントリを受け付けません" in page


async def test_what_is_published_wrongly_does_not_hide_the_rest(console):
    page = await text_of(console, "/operator")  # the fixture's stack has published no TUF repository
    assert re.search(r'<p class="problem">[^<]*TUF', page)
    assert "SQLite" in page


def said() -> set[str]:
    """The texts of needs, and the uses of keys."""
    texts = set()
    for name in ("needs.py", "keys.py"):
        for node in ast.walk(ast.parse((FOLDER / name).read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Need":
                texts |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "text":
                texts.add(ast.literal_eval(node.value))
    return texts | {SIGNS, VERIFIES, NOT_YET}


def test_everything_that_has_to_be_done_is_said_in_japanese_too():
    japanese = tomllib.loads((FOLDER.parent / "console" / "ja.toml").read_text("utf-8"))
    assert len(said()) > 12
    assert said() - set(japanese) == set()
