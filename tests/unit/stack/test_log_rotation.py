# SPDX-License-Identifier: Apache-2.0
"""Rotation of a log: another tree with a key, a folder and a URL of its own, and nothing of the one before is touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore import keys, signing_config, trustroot
from sigcore.errors import Refused
from sigcore.signing_config import select_services
from stack import bootstrap, generations
from stack.bootstrap import PublicMaterial
from stack.cli import main
from stack.config import Home, Settings, load_settings, save_settings
from stack.fsck import logs_of
from stack.generations import load_generations, wait_begun
from stack.lock import WORKERS, held
from stack.shards import Shard, all_shards, anchored_shards
from stack.succession import is_published
from stack.trust import publish, rotation
from stack.trust.documents import load_public, save_documents
from tests.unit.stack.test_rotation import cut_everywhere

LATER = timedelta(days=1)
LOGS = ("ct", "rekor", "rekor-v1")
URLS = {"ct": "/ct/2", "rekor": "/log/2", "rekor-v1": ""}
"""Of the second tree, below that of the stack."""


@pytest.fixture
def home(served: Home) -> Home:
    return served


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + LATER


def trusted(home: Home, log: str) -> tuple[trustroot.LogInstance, ...]:
    """The instances of one log, newest first."""
    root = trustroot.parse_trusted_root(home.trusted_root.read_bytes())
    if log == "ct":
        return root.ct_logs
    return tuple(one for one in root.logs if (one.log_id == keys.key_id(one.key)) == (log == "rekor-v1"))


def signer(material: PublicMaterial, log: str) -> keys.PublicKey:
    return {"ct": material.ct_key, "rekor": material.rekor_key, "rekor-v1": material.rekor_v1_key}[log]


def rotate(home: Home, log: str, at: datetime, *, at_once: bool = False) -> rotation.Rotated:
    done = rotation.rotate_log(home, load_settings(home), log, at, at_once=at_once)
    publish.publish(home, at)
    return done


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("overlap", [rotation.OVERLAP, rotation.AT_ONCE])
def test_the_new_tree_has_a_key_an_id_a_window_and_a_url_of_its_own(home: Home, log: str, overlap: timedelta):
    at, url = now(), load_settings(home).url
    (before,) = trusted(home, log)
    done = rotate(home, log, at, at_once=overlap == rotation.AT_ONCE)
    begun = at + generations.LEAD
    assert done == rotation.Rotated(log, 2, begun, begun + overlap)
    new, old = trusted(home, log)
    assert old == replace(before, validity=trustroot.Validity(before.validity.start, begun + overlap))
    assert new.validity == trustroot.Validity(begun)
    assert new.base_url == f"{url}{URLS[log]}"
    assert new.log_id != old.log_id
    assert new.key != old.key
    material = bootstrap.load_material(home)
    assert keys.encode_public_key(signer(material.public, log)) == new.key
    assert material.public == load_public(home), "a role that sees public files only knows the same"
    assert oct((home.path / log / "2").stat().st_mode)[-3:] == "700"
    assert (home.path / log / "2" / "log.key").stat().st_mode & 0o777 == 0o600
    assert is_published(home)
    assert [one.name for one in all_shards(load_generations(home)) if one.log == log] == [log, f"{log}-2"]


def test_clients_change_over_to_the_new_tree_of_rekor_when_its_window_begins(home: Home):
    at, settings = now(), load_settings(home)
    rotate(home, "rekor", at)
    rotate(home, "rekor", at + LATER)
    begun = at + generations.LEAD

    def asked(moment: datetime, version: int) -> str:
        config = signing_config.parse_signing_config(home.signing_config.read_bytes())
        (chosen,) = select_services(config.rekor, config.rekor_selector, supported=(1, version), now=moment)
        return chosen.url.removeprefix(settings.url)

    assert [asked(begun - timedelta(seconds=1), 2), asked(begun, 2), asked(begun + LATER, 2)] == [
        "",
        "/log/2",
        "/log/3",
    ]
    assert asked(begun, 1) == "", "v1 stays where it is"
    config = signing_config.parse_signing_config(home.signing_config.read_bytes())
    newest = [one.url for one in config.rekor if one.api_version == 2][-1]
    assert newest.endswith("/log/3"), "sigstore-python takes the last of those that hold"


@pytest.mark.parametrize(
    ("log", "name", "former", "usage"),
    [("ct", "ctfe.pub", "ctfe_1.pub", "CTFE"), ("rekor-v1", "rekor.pub", "rekor_1.pub", "Rekor")],
)
def test_clients_that_look_keys_up_by_usage_find_that_of_every_tree(
    home: Home, log: str, name: str, former: str, usage: str
):
    before = (home.keys / name).read_bytes()
    rotate(home, log, now())
    targets = publish.load_targets(home, load_settings(home))
    assert targets[former].data == before != targets[name].data
    assert {name for name, target in targets.items() if target.usage == usage} == {name, former}


@pytest.mark.parametrize("log", LOGS)
def test_a_rotation_that_is_cut_off_anywhere_leaves_the_old_state_or_the_new_one(home: Home, log: str, monkeypatch):
    for copy in cut_everywhere(home, log, now(), monkeypatch, rotate, trusted):
        material = bootstrap.load_material(copy).public
        assert keys.encode_public_key(signer(material, log)) == trusted(copy, log)[0].key


def test_the_next_rotation_finishes_one_that_was_interrupted_before_it_was_published(home: Home):
    first = rotation.rotate_log(home, load_settings(home), "rekor", now())
    again = rotation.rotate_log(home, load_settings(home), "rekor", now() + LATER)
    assert again == replace(first, resumed=True)


def test_what_cannot_serve_another_tree_is_refused_before_anything_is_changed(home: Home):
    settings, before = load_settings(home), sorted(path.name for path in home.path.rglob("*"))
    with held(home.path / "rekor", WORKERS), pytest.raises(Refused, match="--workers") as refused:
        rotation.rotate_log(home, settings, "rekor", now())
    assert "stop it, rotate" in refused.value.hint
    shared = replace(settings, database="postgresql://db/sigbox")
    save_settings(home, shared)
    with pytest.raises(Refused, match="several hosts"):
        rotation.rotate_log(home, shared, "ct", now())
    (home.path / "ct" / "log.db").unlink()
    with pytest.raises(Refused, match="no entry yet"):
        rotation.rotate_log(home, settings, "ct", now())
    after = {path.name for path in home.path.rglob("*")}
    assert after - set(before) <= {WORKERS}
    assert not load_generations(home)


def test_all_leaves_the_logs_as_they_are(home: Home, capsys):
    assert main(["trust", "rotate", "all", "--now", "--data", str(home.path)]) in (0, 3)
    capsys.readouterr()
    assert not set(load_generations(home)) & set(LOGS)


def test_keys_of_a_seeded_stack_are_the_same_every_time(tmp_path: Path):
    made = []
    for number in range(2):
        home = Home(tmp_path / str(number))
        at = datetime.now(UTC)
        url = "http://localhost:7780"
        settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=at, seed=7)
        save_documents(home, bootstrap.load_material(home).public, settings)
        rotation.rotate_log(home, settings, "ct", at)
        rotation.rotate_log(home, settings, "rekor", at)
        rotation.rotate_log(home, settings, "rekor-v1", at)
        made.append((home.path / "public" / "generations.json").read_text().count('"public"'))
        made.append(tuple((home.path / log / "2" / "log.key").read_bytes() for log in LOGS))
    assert made[:2] == made[2:]


def test_a_start_waits_for_the_first_moment_of_a_key_but_not_for_a_clock_that_is_wrong(monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(generations.time, "sleep", waits.append)

    def rows(since: datetime) -> dict[str, tuple[generations.Generation, ...]]:
        old = generations.Generation(trustroot.Validity(since - LATER, since), (b"old",))
        return {"ct": (old, generations.Generation(trustroot.Validity(since), (b"new",)))}

    wait_begun({})
    wait_begun(rows(datetime.now(UTC) - timedelta(seconds=1)))
    wait_begun(rows(datetime.now(UTC) + LATER))
    assert waits == []
    wait_begun(rows(datetime.now(UTC) + timedelta(seconds=5)))
    assert 4 < waits[0] <= 5


def test_a_tree_has_one_name_and_one_place(tmp_path: Path):
    settings = replace_url(tmp_path)
    for shard, name, place, prefix in (
        (Shard("ct", 1), "ct", "ct", ""),
        (Shard("ct", 12), "ct-12", "ct/12", "/ct/12"),
        (Shard("rekor", 2), "rekor-2", "rekor/2", "/log/2"),
        (Shard("rekor-v1", 1), "rekor-v1", "rekor-v1", ""),
        (Shard("rekor-v1", 3), "rekor-v1-3", "rekor-v1/3", ""),
    ):
        assert (shard.name, shard.place, shard.prefix) == (name, place, prefix)
        assert Shard.of(name) == shard
    assert Shard("rekor", 3).origin(settings) == "sigbox.test", "clients compare it with the host of the URL"
    assert Shard("ct", 3).origin(settings) == "sigbox.test/ct/3"
    assert Shard("ct", 1).origin(settings) == "sigbox.test/ct"
    for name in ("ct.checkpoint", "ct-2.checkpoint", "rekor-v1.checkpoint", "rekor-3.checkpoint", "audit.checkpoint"):
        (tmp_path / name).touch()
    assert list(anchored_shards(tmp_path)) == [Shard("ct", 2), Shard("rekor", 3)]


def replace_url(folder: Path) -> Settings:
    url = "https://sigbox.test"
    return bootstrap.prepare(Home(folder / "named"), url=url, default_url=url, ephemeral=False, now=now())


def test_fsck_looks_at_every_tree_that_was_opened_and_misses_one_that_is_gone(home: Home):
    rotate(home, "ct", now())
    assert logs_of(home) == ("ct", "rekor", "rekor-v1"), "no process has opened the new tree yet"
    (home.path / "anchor" / "ct-2.checkpoint").touch()
    assert logs_of(home) == ("ct", "ct-2", "rekor", "rekor-v1"), "what has signed something is somewhere"
