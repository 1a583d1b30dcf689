# SPDX-License-Identifier: Apache-2.0
"""What the TUF repository says of itself, read without python-tuf: versions, expiries, key ids, targets.

For showing, not for trusting: no signature is checked here. Clients do that, and so did the publisher before it wrote.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import NotFound
from sigcore.strict import Fields
from sigcore.values import dataclass
from stack.config import Home
from stack.files import load_file
from stack.trust.lifetimes import LIFETIME
from stack.trust.versions import ROLES

ONLINE: Final = ("snapshot", "timestamp")
"""The running stack signs these anew when half of their life is spent; the others wait for somebody to do it."""
WARNING: Final = timedelta(days=90)
"""This long before root or targets expire, it is said."""
NAME: Final = "x-sigbox-name"
"""In the key of a person who signs the root: whose it is. The keys of a server have none."""


@dataclass(frozen=True, slots=True)
class RoleState:
    """One TUF role as clients find it now."""

    role: str
    version: int
    expires: datetime
    key_ids: tuple[str, ...]
    threshold: int
    names: tuple[str, ...] = ()
    """Whose the keys are, in their order; empty for those of the server."""

    @property
    def by_people(self) -> bool:
        """Whether the server alone cannot sign the next one, so that people must."""
        return self.threshold > 1 or (bool(self.names) and all(self.names))

    def signers(self) -> str:
        """How many of whom must sign."""
        known = dict(zip(self.key_ids, self.names, strict=False))
        return f"{self.threshold} of {', '.join(known.get(one) or f'server ({one[:16]})' for one in self.key_ids)}"

    def next_root(self) -> str:
        """Of the root: how it is followed by another one."""
        if not self.by_people:
            return "sigbox trust rotate tuf"
        return f"sigbox trust root propose; {self.signers()}: sigbox trust root sign; then sigbox trust root accept"

    def left(self, now: datetime) -> timedelta:
        """How long it is still good for; negative when it is not any more."""
        return self.expires - now

    def verdict(self, now: datetime) -> str:
        """``good``, ``due`` (somebody should sign it), ``expired`` (clients refuse it) or ``ahead`` (see below).

        ``ahead``: it expires later than it ever could, so the clock was ahead when it was signed, or is behind now.
        """
        left = self.left(now)
        if left < timedelta():
            return "expired"
        if left > LIFETIME[self.role] + timedelta(days=1):
            return "ahead"
        return "due" if left < (LIFETIME[self.role] / 2 if self.role in ONLINE else WARNING) else "good"


@dataclass(frozen=True, slots=True)
class TargetState:
    """One target: its name, size in bytes, SHA-256 in hex, and what older clients are told that it is for."""

    name: str
    size: int
    sha256: str
    usage: str


@dataclass(frozen=True, slots=True)
class TrustState:
    """The repository as clients find it now."""

    roles: tuple[RoleState, ...]
    targets: tuple[TargetState, ...]


def load_state(home: Home) -> TrustState:
    """Read the repository of ``home``. Errors: as :func:`load_roles`."""
    documents = _documents(home.tuf_repository)
    targets = documents["targets"].object("targets")
    return TrustState(
        roles=_roles(documents),
        targets=tuple(_target(name, targets.object(name)) for name in targets.names()),
    )


def load_roles(folder: Path) -> tuple[RoleState, ...]:
    """The four roles in ``folder`` as a client would be given them now.

    1. The timestamp names the snapshot's version, the snapshot the targets' version.
    2. The root is the last of an unbroken chain from 1 on, as clients walk it.

    Raises:
        NotFound: the repository is not published, or not whole. Malformed: a file is not TUF metadata.
    """
    return _roles(_documents(folder))


def check_roles(folder: Path, now: datetime) -> None:
    """Whether clients can use the repository at ``now``.

    Raises:
        NotFound, Malformed: as :func:`load_roles`. NotFound also when a role has expired.
    """
    for role in load_roles(folder):
        if role.left(now) <= timedelta():
            message = f"the TUF {role.role} expired on {role.expires:%Y-%m-%d}"
            raise NotFound(message, "see the log for why it was not signed anew")


def _documents(folder: Path) -> dict[str, Fields]:
    """What is signed, by role."""
    timestamp = _signed(folder / "timestamp.json")  # (1)
    snapshot = _signed(folder / f"{_version(timestamp, 'snapshot.json')}.snapshot.json")
    targets = _signed(folder / f"{_version(snapshot, 'targets.json')}.targets.json")
    number = 1  # (2)
    while (folder / f"{number + 1}.root.json").exists():
        number += 1
    root = _signed(folder / f"{number}.root.json")
    return dict(zip(ROLES, (root, targets, snapshot, timestamp), strict=True))


def _signed(path: Path) -> Fields:
    data = load_file(path, what="the TUF metadata", limit=limits.TRUSTED_ROOT)
    return Fields.parse(data, what=str(path), limit=limits.TRUSTED_ROOT).object("signed")


def _version(document: Fields, name: str) -> int:
    return document.object("meta").object(name).integer("version")


def root_state(root: Fields) -> RoleState:
    """What a root says of itself; ``root`` is what is signed.

    Raises:
        Malformed: it is no root.
    """
    return _role(ROLES[0], root, root)


def _roles(documents: dict[str, Fields]) -> tuple[RoleState, ...]:
    return tuple(_role(name, document, documents[ROLES[0]]) for name, document in documents.items())


def _role(name: str, document: Fields, root: Fields) -> RoleState:
    trusted, keys = root.object("roles").object(name), root.object("keys")
    ids = trusted.texts("keyids", limit=limits.TRUST_INSTANCES)
    return RoleState(
        role=name,
        version=document.integer("version"),
        expires=document.time("expires"),
        key_ids=ids,
        threshold=trusted.integer("threshold"),
        names=tuple(ascii(keys.object(one).optional_text(NAME))[1:-1] for one in ids),
    )


def _target(name: str, fields: Fields) -> TargetState:
    custom = fields.optional_object("custom")
    usage = custom.object("sigstore").optional_text("usage") if custom else ""
    return TargetState(name, fields.integer("length"), fields.object("hashes").text("sha256"), usage)
