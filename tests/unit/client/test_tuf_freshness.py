# SPDX-License-Identifier: Apache-2.0
"""A cache that is refreshed from a mirror that holds things back, mixes them, or cuts and stretches them (U02 to U04, U10, U11).

Each lie is about one role; the metadata around it are right and signed. What the client had is what it has afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile

from client.tuf_cache import CONFIG, check_fresh
from client.tuf_mirror import initialize, refresh
from sigcore.errors import Refused, SigError, Unavailable
from tests.advisories.test_tuf_client import NEW, OLD, Scene, resigned
from tests.advisories.tuf_repository import TufRepository, mirror_of
from tests.alarm import within
from tests.until import wait_until

ROLES = ("root", "timestamp", "snapshot", "targets")
TARGET = "trusted_root.json"
HUGE = 20 * 2**20
FAR = 2**31
BELOW = ("timestamp", "snapshot", "targets")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    repository, asked = TufRepository({TARGET: OLD}), list[str]()
    with mirror_of(repository, asked) as mirror:
        cache = initialize(str(tmp_path / "home" / "tuf"), mirror, repository.files["1.root.json"], None)
        yield Scene(repository, mirror, cache, asked)


def refused(scene: Scene, message: str) -> None:
    """What is trusted stays what it was. A role that was right and newer may have been kept."""
    had = scene.root
    with within(60), pytest.raises(Refused, match=message):
        refresh(scene.cache)
    assert scene.root == had


def changed(scene: Scene, file: str, role: str, change: Callable[[dict], None]) -> None:
    """``file`` says something else, and is signed for it."""
    document = json.loads(scene.repository.files[file])
    change(document["signed"])
    scene.repository.files[file] = resigned(scene.repository, document, role)


def expired(signed: dict) -> None:
    past = datetime.now(UTC) - timedelta(minutes=1)
    signed["expires"] = past.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- freeze, expiry ----------------------------------------------------------------------------------------
def test_u02_a_mirror_that_stands_still_is_noticed_when_its_timestamp_ends(scene: Scene):
    """Day for day the same files, each of them right when it was made: no error and nothing new would be a success."""
    ends = scene.repository.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    scene.repository.publish({TARGET: NEW})
    fresh = refresh(scene.cache)
    assert fresh.expires == ends
    assert check_fresh(fresh, ends - timedelta(seconds=1))
    with pytest.raises(Refused, match="was good until"):
        check_fresh(fresh, ends)
    wait_until(lambda: datetime.now(UTC) >= ends)
    refused(scene, "expired")


@pytest.mark.parametrize("role", ROLES)
def test_u03_a_role_that_has_ended_is_refused(scene: Scene, role: str):
    scene.repository.next_root()
    scene.repository.publish_root()
    scene.repository.publish({TARGET: NEW})
    file = {"timestamp": "timestamp.json"}.get(role, f"2.{role}.json")
    changed(scene, file, role, expired)
    refused(scene, "expired")
    assert scene.root == OLD


def test_u03_a_root_on_the_way_may_have_ended(scene: Scene):
    repository = scene.repository
    for _ in range(3):
        repository.next_root()
        repository.publish_root()
    for version in (2, 3):
        changed(scene, f"{version}.root.json", "root", expired)
    repository.publish({TARGET: NEW})
    refresh(scene.cache)
    assert (scene.root, scene.kept("root")) == (NEW, 4)


# --- mix and match -----------------------------------------------------------------------------------------
def older_snapshot(scene: Scene) -> None:
    scene.repository.files["2.snapshot.json"] = scene.repository.files["1.snapshot.json"]


def older_targets(scene: Scene) -> None:
    scene.repository.files["2.targets.json"] = scene.repository.files["1.targets.json"]


def snapshot_of_another_day(scene: Scene) -> None:
    """By its hash it is not the one that the timestamp means."""

    def hashed(signed: dict) -> None:
        signed["meta"]["snapshot.json"]["hashes"] = {"sha256": sha256(b"of another day").hexdigest()}

    changed(scene, "timestamp.json", "timestamp", hashed)


def targets_of_another_day(scene: Scene) -> None:
    def hashed(signed: dict) -> None:
        signed["meta"]["targets.json"]["hashes"] = {"sha256": sha256(b"of another day").hexdigest()}

    changed(scene, "2.snapshot.json", "snapshot", hashed)


def targets_of_another_length(scene: Scene) -> None:
    def shorter(signed: dict) -> None:
        signed["meta"]["targets.json"]["length"] = len(scene.repository.files["2.targets.json"]) - 1

    changed(scene, "2.snapshot.json", "snapshot", shorter)


def targets_not_in_the_snapshot(scene: Scene) -> None:
    def emptied(signed: dict) -> None:
        signed["meta"] = {"other.json": MetaFile(1).to_dict()}

    changed(scene, "2.snapshot.json", "snapshot", emptied)


def one_role_for_another(scene: Scene) -> None:
    scene.repository.files["2.snapshot.json"] = scene.repository.files["2.targets.json"]


def signed_by_another_role(scene: Scene) -> None:
    document = json.loads(scene.repository.files["2.targets.json"])
    scene.repository.files["2.targets.json"] = resigned(scene.repository, document, "snapshot")


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (older_snapshot, "Expected snapshot version 2, got 1"),
        (older_targets, "Expected targets v2, got v1"),
        (snapshot_of_another_day, "does not match expected hash"),
        (targets_of_another_day, "does not match expected hash"),
        (targets_of_another_length, "exceeding the maximum allowed length"),
        (targets_not_in_the_snapshot, "missing info for 'targets.json'"),
        (one_role_for_another, "Expected 'snapshot', got 'targets'"),
        (signed_by_another_role, "targets was signed by 0/1 keys"),
    ],
)
def test_u04_roles_that_do_not_belong_together_are_refused(scene: Scene, lie: Callable[[Scene], None], message: str):
    scene.repository.publish({TARGET: NEW})
    lie(scene)
    refused(scene, f"does not verify: .*{message}")
    assert (scene.root, scene.kept("targets")) == (OLD, 1)


def test_u04_a_role_that_is_held_back_is_said_to_be_missing(scene: Scene):
    scene.repository.publish({TARGET: NEW})
    del scene.repository.files["2.targets.json"]
    with pytest.raises(Unavailable, match=r"2\.targets\.json answered 404"):
        refresh(scene.cache)
    assert (scene.root, scene.kept("targets")) == (OLD, 1)


@pytest.mark.parametrize(
    "given", [NEW[:-1], NEW + b"\n", NEW[:-2] + b"?\n", OLD, b""], ids=["short", "long", "other", "older", "empty"]
)
def test_u04_a_target_of_another_length_or_hash_is_refused(scene: Scene, given: bytes):
    scene.repository.publish({TARGET: NEW})
    scene.repository.files[f"targets/{sha256(NEW).hexdigest()}.{TARGET}"] = given
    refused(scene, "does not verify: .*(length|hash)")
    scene.repository.files[f"targets/{sha256(NEW).hexdigest()}.{TARGET}"] = NEW
    refresh(scene.cache)
    assert scene.root == NEW


def test_u04_targets_of_two_days_are_never_side_by_side(scene: Scene):
    """The mirror gives the trusted root of today, and holds back the signing config that goes with it."""
    days = [{TARGET: root, CONFIG: b'{"day": %d}' % day} for day, root in enumerate((OLD, NEW))]
    scene.repository.publish(days[0])
    refresh(scene.cache)
    scene.repository.publish(days[1])
    held_back = f"targets/{sha256(days[1][CONFIG]).hexdigest()}.{CONFIG}"
    there = scene.repository.files.pop(held_back)
    with pytest.raises(Unavailable, match="answered 404"):
        refresh(scene.cache)
    assert kept(scene) == days[0]
    scene.repository.files[held_back] = there
    refresh(scene.cache)
    assert kept(scene) == days[1]


def kept(scene: Scene) -> dict[str, bytes]:
    folder = Path(scene.cache.folder) / "targets"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- endless data ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json", "target"])
def test_u10_a_file_without_end_is_given_up_where_its_limit_is(scene: Scene, tmp_path: Path, file: str):
    """Each answer begins as it should and goes on with spaces, which JSON may have, and says no length."""
    repository, sent = scene.repository, [0]
    repository.next_root()
    repository.publish_root()
    repository.publish({TARGET: NEW})
    name = f"targets/{sha256(NEW).hexdigest()}.{TARGET}" if file == "target" else file
    wanted = repository.files[name]

    def endless(answer: bytes) -> Iterator[bytes]:
        head, _, body = answer.partition(b"\r\n\r\n")
        if body != wanted:
            yield answer
            return
        yield head.partition(b"\r\n")[0] + b"\r\n\r\n" + body
        while sent[0] < HUGE:
            sent[0] += 2**16
            yield b" " * 2**16

    with mirror_of(repository, [], endless) as mirror, within(60), pytest.raises(SigError):
        initialize(str(tmp_path / "new"), mirror, repository.files["1.root.json"], None)
    assert sent[0], "it was never asked for"
    assert sent[0] < HUGE, "it was read to its end"
    assert not (tmp_path / "new").exists()


# --- fast-forward ------------------------------------------------------------------------------------------
def test_u11_versions_far_ahead_end_with_the_keys_that_signed_them(scene: Scene):
    """Somebody has had the keys of timestamp, snapshot and targets for a day. With others in the root, the repository goes on."""
    repository = scene.repository
    repository.publish({TARGET: OLD}, version=FAR)
    refresh(scene.cache)
    assert {role: scene.kept(role) for role in BELOW} == dict.fromkeys(BELOW, FAR)
    repository.version = 1
    repository.publish({TARGET: NEW})
    refused(scene, "does not verify")

    root = repository.next_root()
    for role in BELOW:
        (stolen,), new = repository.keys[role], CryptoSigner.generate_ed25519()
        root.revoke_key(stolen.public_key.keyid, role)
        root.add_key(new.public_key, role)
        repository.keys[role] = [new]
    repository.publish_root()
    repository.publish({TARGET: NEW})
    refresh(scene.cache)
    assert scene.root == NEW
    assert {role: scene.kept(role) for role in BELOW} == dict.fromkeys(BELOW, 3)


def test_u11_with_the_keys_that_signed_them_versions_far_ahead_stay(scene: Scene):
    """A control: another key of the root alone brings nothing back."""
    repository = scene.repository
    repository.publish({TARGET: OLD}, version=FAR)
    refresh(scene.cache)
    repository.next_root()
    repository.publish_root()
    repository.publish({TARGET: NEW}, version=3)
    refused(scene, "does not verify")
    assert scene.kept("timestamp") == FAR
