# SPDX-License-Identifier: Apache-2.0
"""The TUF repository, written by python-tuf: four roles, consistent snapshots, every state whole.

Source: The Update Framework specification 1.0.31, sections 3 (repository layout) and 6 (consistent snapshots).

This module imports python-tuf, which takes longer than the rest of a start together; only :mod:`stack.trust.publish`
imports it, in a process of its own. So the serving process holds no TUF key and pays for none of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Delegations, Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp

from sigcore.errors import Malformed, Refused
from stack.files import make_folder, save_file
from stack.trust.delegated import DelegatedPolicy
from stack.trust.lifetimes import LIFETIME
from stack.trust.versions import POLICY, ROLES, Versions

_S = TypeVar("_S", Root, Targets, Snapshot, Timestamp)
_NUMBERED: Final = re.compile(r"([1-9][0-9]{0,8})\.(root|targets|snapshot|policy)\.json\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Target:
    """One file to publish. ``usage`` and ``uri`` tell clients of the first generation what it is for."""

    data: bytes
    usage: str = ""
    """``Fulcio``, ``Rekor``, ``CTFE`` or ``TSA``; empty for a file that is asked for by name."""
    uri: str = ""

    def describe(self, name: str) -> TargetFile:
        """Length and SHA-256 (and nothing else: go-tuf names files by any hash that it finds), and the usage."""
        described = TargetFile.from_data(name, self.data, ["sha256"])
        if self.usage:
            custom = {"sigstore": {"usage": self.usage, "status": "Active", "uri": self.uri}}
            described.unrecognized_fields["custom"] = custom
        return described


@dataclass(frozen=True, slots=True)
class Published:
    """What a client finds now; None for a role that is not there."""

    root: Root | None
    targets: Targets | None
    snapshot: Snapshot | None
    timestamp: Timestamp | None
    policy: Targets | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the role ``targets`` shall say: the targets, and who may sign the policy."""

    targets: Mapping[str, TargetFile]
    delegations: Delegations | None


@dataclass(frozen=True, slots=True)
class Repository:
    """The folder that is served as ``/tuf``, the keys of its four roles, and the memory of their versions.

    The root's key is needed for a root alone, the first or the next one.
    """

    folder: Path
    keys: Mapping[str, ed25519.Ed25519PrivateKey]
    versions: Versions
    durable: bool
    root_expires: datetime | None = None
    """When the first root expires, if not a lifetime from now."""
    policy: DelegatedPolicy | None = None
    """The policy to carry; None leaves one that is published as it is."""
    coming: Mapping[str, ed25519.Ed25519PrivateKey] = field(default_factory=dict)
    """The keys of :meth:`rotate`, or of the online roles for :meth:`accept`."""
    last_look: Callable[[], None] = lambda: None
    """Called when all but the timestamp is in its place, the last file by which clients learn of the rest; it may raise."""

    def publish(self, targets: Mapping[str, Target], now: datetime, *, force: bool = False) -> tuple[str, ...]:
        """Bring the repository to ``targets``; the answer names the roles that were signed anew.

        1. Read what is published, and the newest version of each role that was ever begun.
        2. There is no root and never was: sign version 1.
        3. A role is due when it is missing; when a newer version of it was begun; when what it says differs; when it has
           less than half of its life left (targets and root: never by themselves); with ``force`` (root excepted); and
           when the role that it points at is due.
        4. Write the new versions down, then sign, check by the root, and save: target files, policy, targets, snapshot,
           timestamp.

        The timestamp is replaced last, in one rename: a client sees the old state or the new one, both whole. An expiry
        never comes earlier by itself, so a clock that was set back takes nothing away from clients whose clock is right.

        Raises:
            Malformed: what is there cannot be read. Refused: the root was lost, or the keys are not those of the root.
            OSError: it cannot be written; what was published before stays.
        """
        return self._publish(targets, now, force=force)

    def rotate(self, targets: Mapping[str, Target], now: datetime) -> tuple[str, ...]:
        """Hand all four roles over to the keys in ``coming``; the answer as of :meth:`publish`.

        1. Targets, snapshot and timestamp are signed anew, with the old keys and the coming ones: who knows the old root reads
           them, and who knows the new one does.
        2. The next root names the coming keys instead of ours, everybody else's as before, and the same thresholds. It is signed
           with the old root key and the coming one, and checked by the old root and by itself (specification section 5.3.4).
        3. It is saved. This is the moment: whoever is interrupted before has a repository of the old keys, after it one of the
           new keys.

        The caller then puts the coming keys into the place of the old ones (:mod:`stack.trust.tuf_keys`).

        Raises:
            As :meth:`publish`. Refused also when the root wants more signatures than there are keys here.
        """
        if Root.type not in self.keys:
            hint = "put root.key back for the rotation; or where people sign it: sigbox trust root propose"
            raise Refused("the root's key is not here, and the next root needs it", hint)
        self.publish(targets, now)
        before = self._read().root
        assert before is not None  # noqa: S101 - it was published
        after = self._next_root(before, now)
        signed = self._publish(targets, now, force=True, roots=(before, after))  # 1
        self._save(after, before, after)  # 2 3
        self.versions.save(self._begun())
        return (Root.type, *signed)

    def accept(self, proposed: Metadata[Root], targets: Mapping[str, Target], now: datetime) -> tuple[str, ...]:
        """Publish a root that others have signed; the answer as of :meth:`publish`.

        1. The root in force and the proposed one both accept it (specification section 5.3.4), and its version is the next.
        2. Where online roles have keys in ``coming``, all of them are signed anew as in step 1 of :meth:`rotate`.
        3. It is saved. This is the moment, as in :meth:`rotate`.

        Raises:
            As :meth:`publish`. Refused also when one of the two roots does not accept it; then nothing was changed.
        """
        before, after = self._read().root, proposed.signed
        if before is None or after.version != before.version + 1:
            raise Refused(f"root version {after.version} does not follow the one that is published", "propose it anew")
        for root in (before, after):  # 1
            _verify(root, proposed)
        self.publish(targets, now)
        signed: tuple[str, ...] = ()
        if self.coming:
            signed = self._publish(targets, now, force=True, roots=(before, after))  # 2
        save_file(self._path(after), proposed.to_bytes(), durable=self.durable)  # 3
        self.versions.save(self._begun())
        return (Root.type, *signed)

    def _next_root(self, before: Root, now: datetime) -> Root:
        after = deepcopy(before)
        after.version += 1
        after.expires = max(before.expires, now.replace(microsecond=0) + LIFETIME[Root.type])
        for role in ROLES:
            after.revoke_key(CryptoSigner(self.keys[role]).public_key.keyid, role)
            after.add_key(CryptoSigner(self.coming[role]).public_key, role)
        return after

    def _publish(
        self, targets: Mapping[str, Target], now: datetime, *, force: bool, roots: tuple[Root, ...] = ()
    ) -> tuple[str, ...]:
        """The steps of :meth:`publish`; ``roots`` must all accept what is signed, and are the published one if not given."""
        make_folder(self.folder, 0o755, durable=self.durable)
        make_folder(self.folder / "targets", 0o755, durable=self.durable)
        self._sweep()
        published, begun = self._read(), self._begun()  # (1)
        wanted = self._wanted(published, targets)
        due = self._due(published, begun, wanted, now, force=force)  # (2) (3)
        if not due:
            return ()
        root = published.root or self._root(now)  # (4)
        roots = roots or (root,)
        if Root.type in due:
            self._save(root, root)  # before it is written down that there was one: see (2)
        version = {role: begun.get(role, 0) + (role in due) for role in (*ROLES, *due)}
        self.versions.save(begun | version)
        if Targets.type in due:
            self._save_targets({name: target.data for name, target in targets.items()}, wanted.targets)
        if POLICY in due and self.policy is not None:
            self._save_policy(self.policy, version[POLICY], now)
        elif published.policy is not None:
            version[POLICY] = published.policy.version
        renewed, snapshot, timestamp = self._renew(published, version, wanted, now, force=force)
        if Targets.type in due:
            self._save(renewed, *roots)
        if Snapshot.type in due:
            self._save(snapshot, *roots)
        self.last_look()
        self._save(timestamp, *roots)
        return tuple(role for role in (*ROLES, POLICY) if role in due)

    def _wanted(self, published: Published, targets: Mapping[str, Target]) -> Wanted:
        before = published.targets.delegations if published.targets else None
        described = {name: target.describe(name) for name, target in targets.items()}
        return Wanted(described, before if self.policy is None else self.policy.delegations())

    def _due(
        self,
        published: Published,
        begun: Mapping[str, int],
        wanted: Wanted,
        now: datetime,
        *,
        force: bool,
    ) -> set[str]:
        if published.root is None and begun:
            raise Refused(f"{self.folder} has lost its 1.root.json", "restore it: with another root nobody is trusted")
        if published.root and published.root.version < begun.get(Root.type, 0):
            found = f"{published.root.version}.root.json is the newest root in {self.folder}"
            raise Refused(f"{found}, version {begun[Root.type]} was published", "restore the later ones from a backup")
        due = set() if published.root else {Root.type}
        below = False
        delegated_anew = published.targets is None or published.targets.delegations != wanted.delegations
        if self.policy is not None:
            anew = delegated_anew or force or self.policy.is_due(published.policy, begun.get(POLICY, 0))
            due |= {POLICY} if anew else set()
        for name in ROLES[1:]:
            role: Signed | None = getattr(published, name)
            below = below or force or role is None or role.version < begun.get(name, 0)
            if isinstance(role, Targets):
                below = below or role.targets != wanted.targets or delegated_anew
            elif role is not None:
                below = below or _half_spent(role, now)
            below = below or (name == Snapshot.type and POLICY in due)
            due |= {name} if below else set()
        return due

    def _renew(
        self,
        published: Published,
        version: Mapping[str, int],
        wanted: Wanted,
        now: datetime,
        *,
        force: bool,
    ) -> tuple[Targets, Snapshot, Timestamp]:
        """The three roles as a client shall find them, at the versions that were written down."""

        def expiry(role: str, before: Signed | None) -> datetime:
            fresh = now.replace(microsecond=0) + LIFETIME[role]
            return fresh if before is None or force else max(fresh, before.expires)

        policy = {f"{POLICY}.json": MetaFile(version=version[POLICY])} if POLICY in version else {}
        return (
            Targets(
                version=version[Targets.type],
                expires=expiry(Targets.type, published.targets),
                targets=dict(wanted.targets),
                delegations=wanted.delegations,
            ),
            Snapshot(
                version=version[Snapshot.type],
                expires=expiry(Snapshot.type, published.snapshot),
                meta={"targets.json": MetaFile(version=version[Targets.type])} | policy,
            ),
            Timestamp(
                version=version[Timestamp.type],
                expires=expiry(Timestamp.type, published.timestamp),
                snapshot_meta=MetaFile(version=version[Snapshot.type]),
            ),
        )

    def _root(self, now: datetime) -> Root:
        expires = self.root_expires or now.replace(microsecond=0) + LIFETIME[Root.type]
        root = Root(version=1, expires=expires, consistent_snapshot=True)
        for role in ROLES:
            root.add_key(CryptoSigner(self.keys[role]).public_key, role)
        return root

    # --- disk --------------------------------------------------------------------------------------
    def _begun(self) -> dict[str, int]:
        """The newest version of each role: that of the memory, or of a file where the memory is older."""
        begun, found = self.versions.load(), self._numbered()
        if timestamp := self._load("timestamp.json", Timestamp):
            found[Timestamp.type] = timestamp.version
        return begun | {role: max(version, begun.get(role, 0)) for role, version in found.items()}

    def _numbered(self) -> dict[str, int]:
        """The highest number among the files of each role that has numbered ones."""
        found: dict[str, int] = {}
        for path in self.folder.iterdir():
            if match := _NUMBERED.match(path.name):
                found[match[2]] = max(found.get(match[2], 0), int(match[1]))
        return found

    def _read(self) -> Published:
        """What is reachable from the timestamp; what is not is not published."""
        newest = self._numbered().get(Root.type)
        root = self._load(f"{newest}.root.json", Root) if newest else None
        timestamp = self._load("timestamp.json", Timestamp)
        snapshot = self._load(f"{timestamp.snapshot_meta.version}.snapshot.json", Snapshot) if timestamp else None
        targets = self._load(f"{snapshot.meta['targets.json'].version}.targets.json", Targets) if snapshot else None
        carried = snapshot.meta.get(f"{POLICY}.json") if snapshot else None
        policy = self._load(f"{carried.version}.{POLICY}.json", Targets) if carried else None
        return Published(root, targets, snapshot, timestamp, policy)

    def _save(self, payload: _S, *roots: Root) -> None:
        """Sign, check as clients that know one of ``roots`` will, and put it in its place."""
        metadata = Metadata(payload)
        metadata.sign(CryptoSigner(self.keys[payload.type]))
        if len(roots) > 1:
            metadata.sign(CryptoSigner(self.coming[payload.type]), append=True)
        for root in roots:
            _verify(root, metadata)
        save_file(self._path(payload), metadata.to_bytes(), durable=self.durable)

    def _path(self, payload: Signed) -> Path:
        name = "timestamp.json" if payload.type == Timestamp.type else f"{payload.version}.{payload.type}.json"
        return self.folder / name

    def _save_policy(self, policy: DelegatedPolicy, version: int, now: datetime) -> None:
        """The policy, and the delegated role in front of it. It lives as long as targets do."""
        described = policy.describe()
        self._save_targets(dict.fromkeys(described, policy.data), described)
        expires = now.replace(microsecond=0) + LIFETIME[Targets.type]
        metadata = Metadata(Targets(version=version, expires=expires, targets=described))
        metadata.sign(policy.signer())
        save_file(self.folder / f"{version}.{POLICY}.json", metadata.to_bytes(), durable=self.durable)

    def _save_targets(self, files: Mapping[str, bytes], wanted: Mapping[str, TargetFile]) -> None:
        """Consistent snapshots: ``targets/<sha256>.<name>``. Old ones stay, old clients may be half-way."""
        for name, data in files.items():
            path = self.folder / "targets" / f"{wanted[name].hashes['sha256']}.{name}"
            save_file(path, data, durable=self.durable)

    def _sweep(self) -> None:
        """Take away what an interrupted write left: such a file has a name that is never served."""
        for folder in (self.folder, self.folder / "targets"):
            for path in folder.glob(".*"):
                path.unlink(missing_ok=True)

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


def _verify(root: Root, metadata: Metadata[_S]) -> None:
    """As a client that knows ``root`` will."""
    role = metadata.signed.type
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except RepositoryError as error:
        wanted = root.roles[role].threshold
        message = f"the key of the TUF role {role} is not the one that the root names"
        hint = "restore the key and the root from one backup"
        if wanted > 1:
            message = f"the TUF role {role} needs {wanted} signatures, and fewer of its keys are here"
            hint = "let people sign it: sigbox trust root propose" if role == Root.type else hint
        raise Refused(message, hint) from error


def _half_spent(signed: Signed, now: datetime) -> bool:
    return signed.expires - now < LIFETIME[signed.type] / 2
