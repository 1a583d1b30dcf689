# SPDX-License-Identifier: Apache-2.0
"""First run: keys, chains, settings and trust documents; later runs: the same, loaded.

Each role has a folder of its own with its secrets (0700, files 0600), so that a split service mounts no more than it needs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import keys, x509
from sigcore.device_key import in_device
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.values import dataclass
from stack.authorities import CHAIN, Keep, is_issued, make_ca, make_log_key, make_tsa, save_issued
from stack.config import Home, Settings, check_no_restore, load_settings, save_settings
from stack.files import check_folder, leftover_of, load_file, load_secret, make_folder
from stack.generations import current_folder, load_generations
from stack.seed import CREATED, KeySource
from stack.shards import shards_of

if TYPE_CHECKING:
    from concurrent.futures import Future

ROLE_FOLDERS: Final = ("ca", "ct", "rekor", "rekor-v1", "tsa", "oidc", "tuf", "tls", "anchor", "console")
LOG_FOLDERS: Final = ("ct", "rekor", "rekor-v1")
TUF_ROLES: Final = ("root", "targets", "snapshot", "timestamp")
ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
"""How such a PEM file begins (RFC 7468 section 11)."""
UNLOCK_HINT: Final = "give --passphrase-file FILE, or set SIGBOX_PASSPHRASE_FILE"

_log = logging.getLogger(__name__)


Chained = tuple[ec.EllipticCurvePrivateKey, tuple[x509.Certificate, ...]]
"""The key of an authority, and its chain."""


@dataclass(frozen=True, slots=True)
class Material:
    """Every key and chain of the serving process that signs what is new. The TUF keys are not among them: only the publisher reads those."""

    ca_key: ec.EllipticCurvePrivateKey
    ca_chain: tuple[x509.Certificate, ...]
    """What signs, root; between them whatever a corporate PKI has there."""
    ct_key: ec.EllipticCurvePrivateKey
    rekor_key: keys.PrivateKey
    """Ed25519, or ECDSA P-256 where it is in a token."""
    rekor_v1_key: ec.EllipticCurvePrivateKey
    tsa_key: ec.EllipticCurvePrivateKey
    tsa_chain: tuple[x509.Certificate, ...]
    """Leaf, root; between them an intermediate of ours, or whatever a corporate PKI has there."""

    @property
    def secrets(self) -> tuple[keys.PrivateKey, ...]:
        """The private keys."""
        return (self.ca_key, self.ct_key, self.rekor_key, self.rekor_v1_key, self.tsa_key)

    @property
    def public(self) -> PublicMaterial:
        """What of it anybody may know."""
        return PublicMaterial(
            ca_chain=self.ca_chain,
            tsa_chain=self.tsa_chain,
            ct_key=self.ct_key.public_key(),
            rekor_key=self.rekor_key.public_key(),
            rekor_v1_key=self.rekor_v1_key.public_key(),
        )


@dataclass(frozen=True, slots=True)
class PublicMaterial:
    """What trust documents are made of: chains as in :class:`Material`, and the public keys of the logs."""

    ca_chain: tuple[x509.Certificate, ...]
    tsa_chain: tuple[x509.Certificate, ...]
    ct_key: keys.PublicKey
    rekor_key: keys.PublicKey
    rekor_v1_key: keys.PublicKey


def prepare(
    home: Home,
    *,
    url: str | None,
    default_url: str,
    ephemeral: bool,
    now: datetime,
    organization: str = "",
    seed: int | None = None,
    services: Mapping[str, str] | None = None,
    in_token: Mapping[str, str] | None = None,
    authority: Chained | None = None,
) -> Settings:
    """Bring ``home`` to a state that can be served, and say under which URL.

    1. An empty directory gets keys, chains and settings; the settings come last, so an interrupted first run starts over.
    2. A directory from before a role was there gets that role's keys, and says so.
    3. The URL is the one given, else the one of the first run, else it follows the listening address.

    ``organization`` is what a new stack's certificates name; empty for a name that follows from the host. ``services`` are the
    URLs of its roles that are not reached at ``url``, ``in_token`` the URIs of its keys that are in tokens, ``authority`` the key and chain
    of its certificate authority, judged, where they were made elsewhere.

    Raises:
        Refused: the directory belongs to an ephemeral stack, or lost a log's key. NotFound: it holds something else than a stack.
    """
    refuse_foreign(home)
    if not home.settings_file.exists():  # (1)
        created = now.replace(microsecond=0) if seed is None else CREATED
        settings = Settings(
            url or default_url,
            created,
            ephemeral,
            url_follows_listen=url is None,
            name=organization,
            seed=seed,
            services=services or {},
            keys=in_token or {},
        )
        _create(home, settings, authority)
        save_settings(home, settings)
        return settings
    settings = load_settings(home)
    if settings.ephemeral != ephemeral:
        raise Refused(f"{home.path} is the directory of an ephemeral stack", "give another --data")
    _add_rekor_v1(home, settings)  # (2)
    wanted = url or (default_url if settings.url_follows_listen else settings.url)  # (3)
    if wanted != settings.url:
        settings = replace(settings, url=wanted, url_follows_listen=url is None)
        save_settings(home, settings)
    return settings


def refuse_foreign(home: Home) -> None:
    """That ``home`` holds a stack, or one may be made there. NotFound: something else is there, or what is left of a stack or a restore."""
    if home.settings_file.exists():
        return
    check_no_restore(home)
    folder = home.path
    if not folder.exists():
        return
    for log in sorted(folder.glob("*/*.db")):
        if home.settings_file.exists():
            return  # another process has made it meanwhile
        hint = "restore sigbox.toml from a backup: new keys would not be those of its logs"
        raise NotFound(f"{folder} has lost its sigbox.toml, but {log.relative_to(folder)} is there", hint)
    ours = {*ROLE_FOLDERS, "audit", "public", "lock", home.settings_file.name}
    found = (path for path in folder.iterdir() if (leftover_of(path) or path.name) not in ours)
    strangers = {path.name for path in found if path.exists() or path.is_symlink()}
    if strangers:
        hint = "name a folder that is empty, or that does not exist yet: --data DIR"
        raise NotFound(f"{folder} holds no stack but other files, such as {min(strangers)}", hint)


# --- create ----------------------------------------------------------------------------------------
def _create(home: Home, settings: Settings, authority: Chained | None) -> None:
    """Make every key but the provider's, which :func:`oidc_key` makes when it is first asked for."""
    durable = not settings.ephemeral
    make_folder(home.path, durable=durable)
    for folder, _, names in os.walk(home.path):
        for cut in (path for name in names if leftover_of(path := Path(folder, name))):
            cut.unlink()  # may be half a key of a first run that was interrupted
    for name in ROLE_FOLDERS:
        make_folder(home.path / name, durable=durable)
    make_folder(home.public, 0o755, durable=durable)
    keep = keep_for(home, settings)
    if authority is None:
        make_ca(home.path / "ca", settings, keep, settings.created)
    else:
        save_issued(home.path / "ca", "ca", keep, *authority)
    make_tsa(home.path / "tsa", settings, keep, settings.created)
    for role in LOG_FOLDERS:
        _save_keys(home, role, {"log": make_log_key(role, settings)}, settings)
    source = KeySource(settings.seed)
    _save_keys(home, "tuf", {role: source.ed25519(f"tuf/{role}") for role in TUF_ROLES}, settings)


def prepare_role(home: Home, settings: Settings, role: str) -> bool:
    """Make the keys of one role where it has none, and no others; the answer says whether they were made.

    Raises:
        Refused: a log without its key is there. NotFound: something else than a stack is.
    """
    refuse_foreign(home)
    if not home.settings_file.exists():
        make_folder(home.path)
    folder, keep = home.folder_of(role), keep_for(home, settings)
    if any(folder.glob("*.key")) or any(folder.glob("*.pub")):
        return False
    for name in (folder, *([home.path / "rekor-v1"] if role == "log" else []), home.path / "anchor"):
        make_folder(name)
    make_folder(home.public, 0o755)
    if role == "oidc":
        oidc_key(home, settings)
    elif role in ("ca", "tsa"):
        (make_ca if role == "ca" else make_tsa)(folder, settings, keep, settings.created)
    elif role == "trust":
        _save_keys(home, "tuf", {name: KeySource(None).ed25519(f"tuf/{name}") for name in TUF_ROLES}, settings)
    else:
        for log in ("ct",) if role == "ct" else ("rekor-v1", "rekor"):
            _save_keys(home, log, {"log": make_log_key(log, settings)}, settings)
    return True


def _add_rekor_v1(home: Home, settings: Settings) -> None:
    """Only where that log never was: a log that has entries and no key lost it, and a new one would not be its key."""
    folder = home.path / "rekor-v1"
    if (folder / "log.key").exists() or (folder / "log.pub").exists():
        return
    anchors = [home.path / "anchor" / f"rekor-v1.{ending}" for ending in ("checkpoint", "db")]
    for trace in (folder / "log.db", *anchors):
        if trace.exists():
            raise Refused(f"{folder} has no log.key, but {trace} exists", "restore the key from a backup")
    make_folder(folder, durable=not settings.ephemeral)
    _save_keys(home, "rekor-v1", {"log": make_log_key("rekor-v1", settings)}, settings)
    _log.warning("%s is from before the Rekor v1 log: made a key for that log in %s", home.path, folder)


def make_policy_key(home: Home, settings: Settings) -> None:
    """The key of the TUF role that the policy is signed in; one that is there stays.

    Raises:
        Refused: a policy was published, and its key is not here.
    """
    if home.policy_key.exists():
        return
    if home.policy.exists():
        hint = f"put it back to {home.policy_key}; remove {home.policy} to begin with another key"
        raise Refused("the key of the published policy is not here", hint)
    _save_keys(home, "tuf", {"policy": KeySource(settings.seed).ed25519("tuf/policy")}, settings)


def _save_keys(home: Home, role: str, secrets: Mapping[str, keys.PrivateKey], settings: Settings) -> None:
    keep_for(home, settings).save_keys(home.path / role, secrets)


def keep_for(home: Home, settings: Settings) -> Keep:
    """As the stack in ``home`` keeps its keys."""
    return Keep(home.passphrase, durable=not settings.ephemeral)


def prove(*secrets: keys.PrivateKey) -> None:
    """That what is in a token signs, before anything is promised that needs it. Errors: as :meth:`DeviceKey.prove`."""
    for key in secrets:
        if in_device(key):
            key.prove()


# --- load ------------------------------------------------------------------------------------------
def load_material(home: Home) -> Material:
    """The keys and chains of ``home``.

    Raises:
        NotFound, Malformed, Refused: a file is missing, damaged, of another kind, or readable by others.
    """
    ca_key, ca_chain = load_ca(home)
    tsa_key, tsa_chain = load_tsa(home)
    rotated = load_generations(home)
    return Material(
        ca_key=ca_key,
        ca_chain=ca_chain,
        ct_key=load_ecdsa(home, shards_of(rotated, "ct")[-1].key_file),
        rekor_key=load_rekor(home, shards_of(rotated, "rekor")[-1].key_file),
        rekor_v1_key=load_ecdsa(home, shards_of(rotated, "rekor-v1")[-1].key_file),
        tsa_key=tsa_key,
        tsa_chain=tsa_chain,
    )


def load_ca(home: Home, folder: Path | None = None) -> Chained:
    """The authority's key and chain, of the generation that signs or in ``folder``; errors as :func:`load_material`."""
    return _chained(home, folder or current_folder(home, "ca"), ("intermediate", "root"))


def load_tsa(home: Home, folder: Path | None = None) -> Chained:
    """The timestamp authority's key and chain, as :func:`load_ca`."""
    return _chained(home, folder or current_folder(home, "tsa"), ("leaf", "intermediate", "root"))


def _chained(home: Home, folder: Path, names: Sequence[str]) -> Chained:
    key, chain = load_ecdsa(home, f"{folder.relative_to(home.path)}/{names[0]}.key"), _load_chain(folder, names)
    if keys.encode_public_key(key.public_key()) != chain[0].spki:
        raise Refused(f"a key in {home.path} does not belong to its certificate", "restore both from one backup")
    return key, chain


def make_oidc_key(seed: int | None = None) -> rsa.RSAPrivateKey:
    """A key for the provider; the same for the same ``seed``.

    It takes 50 ms, now and then 150, in which OpenSSL leaves the interpreter to others: so the stack calls this in a thread while it
    makes the other keys and imports the rest of itself.
    """
    return KeySource(seed).rsa2048("oidc")


def oidc_key(home: Home, settings: Settings, made: Future[rsa.RSAPrivateKey] | None = None) -> rsa.RSAPrivateKey:
    """The provider's signing key; that which is ``made``, or a fresh one, where there is none.

    No history hangs on it: tokens live ten minutes.
    """
    if not (home.path / "oidc" / "signing.key").exists():
        _save_keys(home, "oidc", {"signing": made.result() if made else make_oidc_key(settings.seed)}, settings)
    return load_oidc_key(home)


def load_oidc_key(home: Home, name: str = "signing") -> rsa.RSAPrivateKey:
    """A key of the provider, that which signs or another one of its folder; errors as :func:`load_material`."""
    key = _load_key(home, f"oidc/{name}.key")
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _another_kind(home.path / "oidc" / f"{name}.key", "RSA")
    return key


def save_oidc_key(home: Home, name: str, key: keys.PrivateKey, settings: Settings) -> None:
    """Keep another key of the provider; see :mod:`stack.oidc_keys`."""
    _save_keys(home, "oidc", {name: key}, settings)


def load_rekor(home: Home, name: str = "rekor/log.key") -> keys.PrivateKey:
    """The key of a Rekor v2 log in the file ``name``; errors as :func:`load_material`."""
    key = _load_key(home, name)
    expected = isinstance(key, ed25519.Ed25519PrivateKey) or in_device(key)
    if not expected:
        raise _another_kind(home.path / name, "Ed25519")
    return key


def load_ed25519(home: Home, name: str) -> ed25519.Ed25519PrivateKey:
    """The Ed25519 key in the file ``name`` of ``home``; errors as :func:`load_material`."""
    key = _load_key(home, name)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _another_kind(home.path / name, "Ed25519")
    return key


def load_ecdsa(home: Home, name: str) -> ec.EllipticCurvePrivateKey:
    """The ECDSA key in the file ``name`` of ``home``; errors as :func:`load_material`."""
    key = _load_key(home, name)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _another_kind(home.path / name, "ECDSA")
    return key


def _load_key(home: Home, name: str) -> keys.PrivateKey:
    path = home.path / name
    for folder in Path(name).parents:  # the data directory is the last of them
        if (home.path / folder).exists():
            check_folder(home.path / folder)
    try:
        pem = load_secret(path, what="the key")
    except NotFound:
        if path.with_suffix(".pub").exists() and (uri := load_settings(home).keys.get(Path(name).parts[0])):
            # Deferred: it is for keys that are kept outside of files.
            from stack.key_places import source_of  # noqa: PLC0415 - see the line above

            return source_of(Path(name).parts[0], uri).load(path.parent, path.stem)
        raise
    if home.passphrase is None and pem.startswith(ENCRYPTED):
        raise Refused(f"{path} is encrypted", UNLOCK_HINT)
    return keys.parse_private_key(pem, home.passphrase, what=str(path), ours=True)


def _another_kind(path: Path, expected: str) -> Malformed:
    return Malformed(f"{path} holds a key of another kind, expected {expected}", "restore it from a backup")


def _load_chain(folder: Path, names: Iterable[str]) -> tuple[x509.Certificate, ...]:
    if is_issued(folder):
        return x509.parse_certificates_pem(load_file(folder / CHAIN, what="the certificate chain"))
    files = (load_file(folder / f"{name}.pem", what="the certificate") for name in names)
    return tuple(x509.parse_certificate_pem(data) for data in files)
