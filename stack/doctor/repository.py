# SPDX-License-Identifier: Apache-2.0
"""The TUF repository on disk, verified as a client will: imported by the doctor alone, because python-tuf is slow to import."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError, StorageError
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from sigcore.errors import Refused
from stack.bootstrap import ENCRYPTED, load_ed25519
from stack.config import Home
from stack.trust.proposal import name_of
from stack.trust.versions import POLICY, ROLES

_S = TypeVar("_S", Root, Targets, Snapshot, Timestamp)
_HINT: Final = "restore public/tuf/ from a backup: sigbox restore"


def check_signatures(home: Home) -> None:
    """Walk from the first root to the targets; then the keys of ``tuf/`` are those that the newest root names.

    Raises:
        Refused: a signature does not hold, a file is damaged or missing, or a key is another role's.
    """
    folder = home.tuf_repository
    roots = sorted(int(path.name.partition(".")[0]) for path in folder.glob("[0-9]*.root.json"))
    if roots != list(range(1, len(roots) + 1)) or not roots:
        raise Refused(f"{folder} has the roots {roots}: their chain is broken", "restore them from a backup")
    root: Root | None = None
    for number in roots:
        path = folder / f"{number}.root.json"
        after = _read(path, Root)
        for judge in (root or after.signed, after.signed):
            _verify(path, judge, Root.type, after)
        root = after.signed
    assert root is not None  # noqa: S101 - there is one
    timestamp = _read(folder / "timestamp.json", Timestamp)
    _verify(folder / "timestamp.json", root, Timestamp.type, timestamp)
    path = folder / f"{timestamp.signed.snapshot_meta.version}.snapshot.json"
    snapshot = _read(path, Snapshot)
    _verify(path, root, Snapshot.type, snapshot)
    path = folder / f"{snapshot.signed.meta['targets.json'].version}.targets.json"
    targets = _read(path, Targets)
    _verify(path, root, Targets.type, targets)
    if carried := snapshot.signed.meta.get(f"{POLICY}.json"):
        path = folder / f"{carried.version}.{POLICY}.json"
        _verify(path, targets.signed, POLICY, _read(path, Targets))
    _check_keys(home, root)


def _read(path: Path, kind: type[_S]) -> Metadata[_S]:
    try:
        metadata: Metadata[_S] = Metadata.from_file(str(path))
    except (RepositoryError, StorageError) as error:
        raise Refused(f"{path} is damaged or missing: {error}", _HINT) from error
    if not isinstance(metadata.signed, kind):
        raise Refused(f"{path} holds {metadata.signed.type}, expected {kind.type}", _HINT)
    number = path.name.partition(".")[0]
    if number.isdigit() and int(number) != metadata.signed.version:
        raise Refused(f"{path} holds version {metadata.signed.version}", _HINT)
    return metadata


def _verify(path: Path, judge: Root | Targets, role: str, metadata: Metadata[_S]) -> None:
    try:
        judge.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise Refused(f"{path} is not signed by whom it must be: {error}", _HINT) from error


def _check_keys(home: Home, root: Root) -> None:
    for role in ROLES if any((home.path / "tuf").glob("*.key")) else ():
        path = home.path / "tuf" / f"{role}.key"
        if role != Root.type and not path.exists():
            raise Refused(f"{path} does not exist: {role} cannot be signed anew", "restore it from a backup")
        if role == Root.type and path.exists() and all(name_of(root.keys[one]) for one in root.roles[role].keyids):
            hint = "destroy it and each copy: who starts from an older root would follow what it signs"
            raise Refused(f"{path} is out, people sign the root", hint)
        if not path.exists() or (home.passphrase is None and path.read_bytes().startswith(ENCRYPTED)):
            continue
        if CryptoSigner(load_ed25519(home, f"tuf/{role}.key")).public_key.keyid not in root.roles[role].keyids:
            raise Refused(f"{path} is not a key that the root names for {role}", "restore it from a backup")
