# SPDX-License-Identifier: Apache-2.0
"""The keys of the TUF roles: those in ``tuf/``, and while they are rotated those that are coming, in ``tuf/coming/``.

Which of the two a role has is for the newest root to say, key by key: so a rotation that was interrupted, at whatever step, is
finished or forgotten by the next publication. Those in ``tuf/proposed/`` wait for people to sign a root that names them
(:mod:`stack.trust.ceremony`), for days if need be. Imported by the publisher alone, as python-tuf is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from stack.bootstrap import keep_for, load_ed25519
from stack.config import Home, Settings
from stack.files import SECRET, load_secret, make_folder, save_file, sync_folder
from stack.trust.versions import ROLES

Keys = dict[str, ed25519.Ed25519PrivateKey]
COMING = "coming"
PROPOSED = "proposed"


def load_keys(home: Home) -> Keys:
    """The key of each role; that of the root may be kept elsewhere once there is a root. Errors: as ``load_material``."""
    away = home.tuf_root.exists() and not (home.path / "tuf" / f"{Root.type}.key").exists()
    return {role: load_ed25519(home, f"tuf/{role}.key") for role in ROLES if not (away and role == Root.type)}


def load_coming(home: Home) -> Keys:
    """The keys that :func:`make_coming` has made."""
    return _load(home, COMING, ROLES)


def load_proposed(home: Home) -> Keys:
    """The keys of the online roles that :func:`make_proposed` has made, if it has."""
    return _load(home, PROPOSED, ROLES[1:]) if (home.path / "tuf" / PROPOSED).exists() else {}


def make_coming(home: Home, settings: Settings) -> None:
    """Make a key for each role; the folder gets its name when they are all there."""
    _make(home, settings, COMING, ROLES)


def make_proposed(home: Home, settings: Settings) -> None:
    """Make a key for each online role, in the place of those of a proposal before."""
    _make(home, settings, PROPOSED, ROLES[1:])


def stage_proposed(home: Home, settings: Settings) -> None:
    """The proposed keys are coming, too: a copy, so that an acceptance that is interrupted can be repeated."""
    tuf = home.path / "tuf"
    draft = tuf / f"{COMING}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    make_folder(draft, durable=not settings.ephemeral)
    for role in ROLES[1:]:
        data = load_secret(tuf / PROPOSED / f"{role}.key", what="the key")
        save_file(draft / f"{role}.key", data, mode=SECRET, durable=not settings.ephemeral)
    draft.rename(tuf / COMING)
    make_folder(tuf / COMING, durable=not settings.ephemeral)


def forget_proposed(home: Home) -> None:
    """After a root was accepted: whatever was proposed does not follow it."""
    shutil.rmtree(home.path / "tuf" / PROPOSED, ignore_errors=True)


def _load(home: Home, name: str, roles: tuple[str, ...]) -> Keys:
    return {role: load_ed25519(home, f"tuf/{name}/{role}.key") for role in roles}


def _make(home: Home, settings: Settings, name: str, roles: tuple[str, ...]) -> None:
    folder = home.path / "tuf" / name
    draft = folder.with_name(f"{name}.draft")
    for leftover in (draft, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    make_folder(draft, durable=not settings.ephemeral)
    keep_for(home, settings).save_keys(draft, {role: ed25519.Ed25519PrivateKey.generate() for role in roles})
    draft.rename(folder)
    make_folder(folder, durable=not settings.ephemeral)


def settle(home: Home) -> None:
    """Coming keys that the newest root names take their place; others were never published, and are forgotten.

    Raises:
        Malformed, Refused: a key cannot be read.
    """
    folder = home.path / "tuf" / COMING
    if not folder.exists():
        return
    newest = _newest_root(home.tuf_repository)
    for role in ROLES:
        if (folder / f"{role}.key").exists() and newest is not None:
            key = CryptoSigner(load_ed25519(home, f"tuf/{COMING}/{role}.key")).public_key
            if key.keyid in newest.roles[role].keyids:
                (folder / f"{role}.key").replace(home.path / "tuf" / f"{role}.key")
    sync_folder(folder.parent)  # else a power cut could leave a key in neither
    shutil.rmtree(folder)


def _newest_root(repository: Path) -> Root | None:
    """The last of the chain that clients walk."""
    number = 0
    while (repository / f"{number + 1}.root.json").exists():
        number += 1
    return Metadata[Root].from_file(str(repository / f"{number}.root.json")).signed if number else None
