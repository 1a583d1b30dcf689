# SPDX-License-Identifier: Apache-2.0
"""The TUF repository as a client sees it: python-tuf's own client walks over it, from the first root on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError
from tuf.ngclient import FetcherInterface, Updater
from tuf.ngclient._internal import trusted_metadata_set

from sigcore.errors import Malformed, Refused
from stack.trust.lifetimes import LIFETIME
from stack.trust.repository import Repository, Target
from stack.trust.versions import ROLES, Versions

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
TARGETS = {
    "trusted_root.json": Target(b"{}"),
    "signing_config.v0.2.json": Target(b"[]"),
    "rekor.pub": Target(b"key", "Rekor", "http://localhost"),
}
CONTENT = {name: target.data for name, target in TARGETS.items()}


class FolderFetcher(FetcherInterface):
    """The mirror, without a network; what is not there is 404."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _fetch(self, url: str):
        path = self.folder / url.removeprefix("http://mirror/")
        if not path.exists():
            raise DownloadHTTPError("absent", 404)
        yield path.read_bytes()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    keys = {role: ed25519.Ed25519PrivateKey.generate() for role in ROLES}
    return Repository(tmp_path / "tuf", keys, Versions(tmp_path / "versions.json", durable=False), durable=False)


def refreshed(folder: Path, cache: Path) -> Updater:
    """python-tuf's client of the mirror in ``folder``, with what it had before in ``cache``."""
    for name in ("metadata", "targets"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(cache / "metadata"),
        "http://mirror/",
        str(cache / "targets"),
        "http://mirror/targets/",
        fetcher=FolderFetcher(folder),
        bootstrap=(folder / "1.root.json").read_bytes(),
    )
    updater.refresh()
    return updater


def fetched(repository: Repository, cache: Path, now: datetime, monkeypatch) -> dict[str, bytes]:
    class Frozen(datetime):
        @classmethod
        def now(cls, _zone=None):
            return now

    monkeypatch.setattr(trusted_metadata_set, "datetime", type("module", (), {"datetime": Frozen, "timezone": UTC}))
    updater = refreshed(repository.folder, cache)
    infos = {name: updater.get_targetinfo(name) for name in TARGETS}
    return {name: Path(updater.download_target(info)).read_bytes() for name, info in infos.items()}


def test_a_client_gets_the_targets_from_the_first_root(repository, tmp_path, monkeypatch):
    assert repository.publish(TARGETS, NOW) == ROLES
    assert fetched(repository, tmp_path / "cache", NOW, monkeypatch) == CONTENT


def test_nothing_is_signed_when_nothing_changed(repository):
    repository.publish(TARGETS, NOW)
    before = {path: path.read_bytes() for path in repository.folder.rglob("*.json")}
    assert repository.publish(TARGETS, NOW + timedelta(days=1)) == ()
    assert {path: path.read_bytes() for path in repository.folder.rglob("*.json")} == before


def test_changed_targets_reach_a_client_that_has_the_old_ones(repository, tmp_path, monkeypatch):
    repository.publish(TARGETS, NOW)
    fetched(repository, tmp_path / "cache", NOW, monkeypatch)
    changed = {**TARGETS, "trusted_root.json": Target(b'{"new": 1}')}
    assert repository.publish(changed, NOW) == ("targets", "snapshot", "timestamp")
    assert fetched(repository, tmp_path / "cache", NOW, monkeypatch) == {
        **CONTENT,
        "trusted_root.json": b'{"new": 1}',
    }


def test_timestamp_is_renewed_at_half_of_its_life_and_snapshot_later(repository, tmp_path, monkeypatch):
    repository.publish(TARGETS, NOW)
    later = NOW + LIFETIME["timestamp"] * 0.6
    assert repository.publish(TARGETS, later) == ("timestamp",)
    much_later = NOW + LIFETIME["snapshot"] * 0.6
    assert repository.publish(TARGETS, much_later) == ("snapshot", "timestamp")
    assert fetched(repository, tmp_path / "cache", much_later, monkeypatch) == CONTENT


def test_a_repository_that_nobody_renewed_is_refused_by_the_client(repository, tmp_path, monkeypatch):
    repository.publish(TARGETS, NOW)
    with pytest.raises(ExpiredMetadataError):
        fetched(repository, tmp_path / "cache", NOW + LIFETIME["timestamp"] * 1.1, monkeypatch)


def test_only_sha256_is_published_because_go_tuf_names_files_by_any_hash(repository):
    repository.publish(TARGETS, NOW)
    targets = json.loads((repository.folder / "1.targets.json").read_bytes())["signed"]["targets"]
    assert {tuple(target["hashes"]) for target in targets.values()} == {("sha256",)}


def test_the_timestamp_stays_within_the_clients_size_limit(repository):
    repository.publish(TARGETS, NOW)
    assert (repository.folder / "timestamp.json").stat().st_size < 16384


def test_damaged_metadata_is_named(repository):
    repository.publish(TARGETS, NOW)
    (repository.folder / "timestamp.json").write_bytes(b"{}")
    with pytest.raises(Malformed, match=r"timestamp\.json is not TUF metadata"):
        repository.publish(TARGETS, NOW)


# --- what must never happen ------------------------------------------------------------------------------
def versions(repository: Repository) -> dict[str, int]:
    timestamp = json.loads((repository.folder / "timestamp.json").read_bytes())["signed"]
    snapshot_version = timestamp["meta"]["snapshot.json"]["version"]
    snapshot = json.loads((repository.folder / f"{snapshot_version}.snapshot.json").read_bytes())["signed"]
    targets = snapshot["meta"]["targets.json"]["version"]
    return {"targets": targets, "snapshot": snapshot_version, "timestamp": timestamp["version"]}


def test_a_stack_that_was_off_for_long_is_whole_again_at_its_next_start(repository, tmp_path, monkeypatch):
    repository.publish(TARGETS, NOW)
    late = NOW + LIFETIME["snapshot"] * 1.5
    assert repository.publish(TARGETS, late) == ("snapshot", "timestamp")
    assert fetched(repository, tmp_path / "cache", late, monkeypatch) == CONTENT


def test_a_clock_that_was_set_back_shortens_nothing(repository, tmp_path, monkeypatch):
    repository.publish(TARGETS, NOW)
    before = NOW - timedelta(days=400)
    assert repository.publish(TARGETS, before) == ()
    changed = {**TARGETS, "trusted_root.json": Target(b'{"new": 1}')}
    assert repository.publish(changed, before) == ("targets", "snapshot", "timestamp")
    assert fetched(repository, tmp_path / "cache", NOW, monkeypatch)["trusted_root.json"] == b'{"new": 1}'


def test_force_signs_all_but_the_root_and_mends_an_expiry_of_a_clock_that_was_ahead(repository):
    repository.publish(TARGETS, NOW + timedelta(days=4000))
    assert repository.publish(TARGETS, NOW) == ()
    assert repository.publish(TARGETS, NOW, force=True) == ("targets", "snapshot", "timestamp")
    expires = json.loads((repository.folder / "timestamp.json").read_bytes())["signed"]["expires"]
    assert datetime.fromisoformat(expires) == NOW + LIFETIME["timestamp"]


def test_a_repository_that_was_restored_from_an_older_copy_overtakes_what_clients_have(
    repository, tmp_path, monkeypatch
):
    repository.publish(TARGETS, NOW)
    shutil.copytree(repository.folder, tmp_path / "copy")
    for _ in range(3):
        repository.publish(TARGETS, NOW, force=True)
    fetched(repository, tmp_path / "cache", NOW, monkeypatch)
    shutil.rmtree(repository.folder)
    shutil.copytree(tmp_path / "copy", repository.folder)
    assert repository.publish(TARGETS, NOW) == ("targets", "snapshot", "timestamp")
    assert versions(repository) == {"targets": 5, "snapshot": 5, "timestamp": 5}
    assert fetched(repository, tmp_path / "cache", NOW, monkeypatch) == CONTENT


def test_a_lost_root_is_not_replaced_by_another_one(repository):
    repository.publish(TARGETS, NOW)
    shutil.rmtree(repository.folder)
    with pytest.raises(Refused, match=r"has lost its 1\.root\.json"):
        repository.publish(TARGETS, NOW)


def test_keys_that_the_root_does_not_name_sign_nothing(repository):
    repository.publish(TARGETS, NOW)
    before = (repository.folder / "timestamp.json").read_bytes()
    stranger = {**repository.keys, "timestamp": ed25519.Ed25519PrivateKey.generate()}
    with pytest.raises(Refused, match="the key of the TUF role timestamp is not the one"):
        replace(repository, keys=stranger).publish(TARGETS, NOW, force=True)
    assert (repository.folder / "timestamp.json").read_bytes() == before


@pytest.mark.parametrize("text", [b"", b"[]", b'{"timestamp": 0}', b'{"timestamp": "1"}', b'{"other": 1}'])
def test_a_damaged_memory_of_versions_stops_the_publication(repository, text):
    repository.publish(TARGETS, NOW)
    repository.versions.path.write_bytes(text)
    with pytest.raises(Malformed):
        repository.publish(TARGETS, NOW, force=True)


CHANGED = {**TARGETS, "rekor.pub": Target(b"another", "Rekor", "http://localhost")}


class Interrupted(BaseException):
    """The process is gone: nothing catches this."""


def writes_of(
    repository: Repository, targets, monkeypatch, stop_at: int, error: BaseException, now: datetime = NOW
) -> int:
    """Publish ``targets``; the write number ``stop_at`` (temporary file written, not yet renamed) fails with ``error``."""
    count, rename = 0, os.replace

    def counting(source, destination):
        nonlocal count
        count += 1
        if count == stop_at:
            if isinstance(error, Interrupted):
                patched.setattr(Path, "unlink", lambda *_args, **_kwargs: None)  # a dead process tidies nothing
            raise error
        rename(source, destination)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", counting)
        with contextlib.suppress(type(error)):
            repository.publish(targets, now)
    return count


@pytest.mark.parametrize("error", [Interrupted(), OSError(28, "No space left on device")], ids=["killed", "disk full"])
def test_u13_a_publication_that_ends_at_any_write_leaves_the_old_state_or_the_new_one(
    repository, tmp_path, monkeypatch, error
):
    """U13: whatever write is the last, a client gets one of the two states; afterwards no version has two contents."""
    repository.publish(TARGETS, NOW)
    fetched(repository, tmp_path / "cache", NOW, monkeypatch)
    seen: dict[str, bytes] = {path.name: path.read_bytes() for path in repository.folder.glob("*.json")}
    old, new = CONTENT, {**CONTENT, "rekor.pub": b"another"}
    for stop_at in range(1, 100):
        done = writes_of(repository, CHANGED, monkeypatch, stop_at, error)
        assert fetched(repository, tmp_path / "cache", NOW, monkeypatch) in (old, new)
        for path in repository.folder.glob("[1-9]*.json"):
            assert seen.setdefault(path.name, path.read_bytes()) == path.read_bytes(), path.name
        if done < stop_at:
            break
    else:
        pytest.fail("the publication never came to its end")
    assert stop_at > 5
    assert fetched(repository, tmp_path / "cache", NOW, monkeypatch) == new
    assert not list(repository.folder.rglob(".*"))


# --- what the Go clients ask of the form ------------------------------------------------------------------
def test_the_metadata_keeps_the_rules_of_go_tuf(repository):
    """Key types, key ids over canonical JSON, hex signatures, whole seconds, sizes; only what these clients know."""
    repository.publish(TARGETS, NOW)
    limits = {
        "1.root.json": 512_000,
        "timestamp.json": 16_384,
        "1.snapshot.json": 2_000_000,
        "1.targets.json": 5_000_000,
    }
    assert {path.name for path in repository.folder.glob("*.json")} == set(limits)
    root = json.loads((repository.folder / "1.root.json").read_bytes())["signed"]
    assert root["consistent_snapshot"] is True
    for identifier, key in root["keys"].items():
        assert (key["keytype"], key["scheme"], set(key)) == ("ed25519", "ed25519", {"keytype", "scheme", "keyval"})
        assert re.fullmatch("[0-9a-f]{64}", key["keyval"]["public"])
        canonical = json.dumps(key, sort_keys=True, separators=(",", ":")).encode()
        assert identifier == hashlib.sha256(canonical).hexdigest()
    for name, limit in limits.items():
        data = (repository.folder / name).read_bytes()
        document = json.loads(data)
        signed, role = document["signed"], document["signed"]["_type"]
        assert len(data) < limit
        assert signed["spec_version"] == "1.0.31"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", signed["expires"])
        assert root["roles"][role]["threshold"] == 1
        assert [s["keyid"] for s in document["signatures"]] == root["roles"][role]["keyids"]
        key = ed25519.Ed25519PublicKey.from_public_bytes(
            bytes.fromhex(root["keys"][document["signatures"][0]["keyid"]]["keyval"]["public"])
        )
        canonical = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        key.verify(bytes.fromhex(document["signatures"][0]["sig"]), canonical)


def test_keys_for_older_clients_say_what_they_are_for(repository):
    repository.publish(TARGETS, NOW)
    targets = json.loads((repository.folder / "1.targets.json").read_bytes())["signed"]["targets"]
    usage = {"usage": "Rekor", "status": "Active", "uri": "http://localhost"}
    assert targets["rekor.pub"]["custom"] == {"sigstore": usage}
    assert "custom" not in targets["trusted_root.json"]
