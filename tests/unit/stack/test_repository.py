# SPDX-License-Identifier: Apache-2.0
"""The TUF repository as a client sees it: python-tuf's own client walks over it, from the first root on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError
from tuf.ngclient import FetcherInterface, Updater
from tuf.ngclient._internal import trusted_metadata_set

from sigcore.errors import Malformed
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


def fetched(repository: Repository, cache: Path, now: datetime, monkeypatch) -> dict[str, bytes]:
    class Frozen(datetime):
        @classmethod
        def now(cls, _zone=None):
            return now

    monkeypatch.setattr(trusted_metadata_set, "datetime", type("module", (), {"datetime": Frozen, "timezone": UTC}))
    for name in ("metadata", "targets"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    updater = Updater(
        str(cache / "metadata"),
        "http://mirror/",
        str(cache / "targets"),
        "http://mirror/targets/",
        fetcher=FolderFetcher(repository.folder),
        bootstrap=(repository.folder / "1.root.json").read_bytes(),
    )
    updater.refresh()
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
