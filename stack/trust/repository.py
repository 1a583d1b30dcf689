# SPDX-License-Identifier: Apache-2.0
"""The TUF repository, written by python-tuf: four roles, consistent snapshots, every state whole.

Source: The Update Framework specification 1.0.31, sections 3 (repository layout) and 6 (consistent snapshots).

This module imports python-tuf, which takes longer than the rest of a start together; only :mod:`stack.trust.publish`
imports it, in a process of its own. So the serving process holds no TUF key and pays for none of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from sigcore.errors import Malformed
from stack.files import make_folder, save_file

ROLES: Final = (Root.type, Targets.type, Snapshot.type, Timestamp.type)
LIFETIME: Final = {
    Root.type: timedelta(days=3650),
    Targets.type: timedelta(days=3650),
    Snapshot.type: timedelta(days=90),
    Timestamp.type: timedelta(days=30),
}
"""Root and targets are long-lived so that a closed network never has to hurry; the running stack re-signs the others."""

_S = TypeVar("_S", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class Repository:
    """The folder that is served as ``/tuf``, and the keys of its four roles."""

    folder: Path
    keys: Mapping[str, ed25519.Ed25519PrivateKey]
    durable: bool

    def publish(self, targets: Mapping[str, bytes], now: datetime) -> tuple[str, ...]:
        """Bring the repository to ``targets``; the answer names the roles that were signed anew.

        1. There is no root yet: sign version 1.
        2. The targets differ from what is published: store them under their hashes, sign targets.
        3. Targets changed, or snapshot has less than half of its life left: sign snapshot.
        4. Snapshot changed, or timestamp has less than half of its life left: sign timestamp.

        The timestamp is replaced last, in one rename: a client sees the old state or the new one, both whole.
        """
        make_folder(self.folder, 0o755, durable=self.durable)
        make_folder(self.folder / "targets", 0o755, durable=self.durable)
        signed: list[str] = []
        if not (self.folder / "1.root.json").exists():  # (1)
            self._save("1.root.json", self._sign(self._root(now)))
            signed.append(Root.type)
        timestamp = self._load("timestamp.json", Timestamp)
        snapshot = self._load(f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot) if timestamp else None
        published = self._load(f"{snapshot.meta['targets.json'].version}.targets.json", Targets) if snapshot else None
        wanted = {name: TargetFile.from_data(name, data, ["sha256"]) for name, data in targets.items()}
        if published is None or published.targets != wanted:  # (2)
            self._save_targets(targets, wanted)
            version = 1 if published is None else published.version + 1
            published = Targets(version=version, expires=_expiry(Targets.type, now), targets=wanted)
            self._save(f"{version}.targets.json", self._sign(published))
            signed.append(Targets.type)
        if snapshot is None or Targets.type in signed or _half_spent(snapshot, now):  # (3)
            version = 1 if snapshot is None else snapshot.version + 1
            meta = {"targets.json": MetaFile(version=published.version)}
            snapshot = Snapshot(version=version, expires=_expiry(Snapshot.type, now), meta=meta)
            self._save(f"{version}.snapshot.json", self._sign(snapshot))
            signed.append(Snapshot.type)
        if timestamp is None or Snapshot.type in signed or _half_spent(timestamp, now):  # (4)
            version = 1 if timestamp is None else timestamp.version + 1
            fresh = Timestamp(
                version=version,
                expires=_expiry(Timestamp.type, now),
                snapshot_meta=MetaFile(version=snapshot.version),
            )
            self._save("timestamp.json", self._sign(fresh))
            signed.append(Timestamp.type)
        return tuple(signed)

    def _root(self, now: datetime) -> Root:
        root = Root(version=1, expires=_expiry(Root.type, now), consistent_snapshot=True)
        for role in ROLES:
            root.add_key(CryptoSigner(self.keys[role]).public_key, role)
        return root

    def _sign(self, payload: _S) -> bytes:
        metadata = Metadata(payload)
        metadata.sign(CryptoSigner(self.keys[payload.type]))
        return metadata.to_bytes()

    def _save(self, name: str, data: bytes) -> None:
        save_file(self.folder / name, data, durable=self.durable)

    def _save_targets(self, targets: Mapping[str, bytes], wanted: Mapping[str, TargetFile]) -> None:
        """Consistent snapshots: ``targets/<sha256>.<name>``. Old ones stay, old clients may be half-way."""
        for name, data in targets.items():
            self._save(f"targets/{wanted[name].hashes['sha256']}.{name}", data)

    def _load(self, name: str, kind: type[_S]) -> _S | None:
        path = self.folder / name
        try:
            metadata: Metadata[_S] = Metadata.from_bytes(path.read_bytes())
        except FileNotFoundError:
            return None
        except RepositoryError as error:
            raise Malformed(f"{path} is not TUF metadata: {error}", "restore the directory from a backup") from error
        if not isinstance(metadata.signed, kind):
            raise Malformed(f"{path} holds {metadata.signed.type}, expected {kind.type}", "restore it from a backup")
        return metadata.signed


def _expiry(role: str, now: datetime) -> datetime:
    return now.replace(microsecond=0) + LIFETIME[role]


def _half_spent(signed: Signed, now: datetime) -> bool:
    return signed.expires - now < LIFETIME[signed.type] / 2
