# SPDX-License-Identifier: Apache-2.0
"""First run: keys, chains, settings and trust documents; later runs: the same, loaded.

Each role has a folder of its own with its secrets (0700, files 0600), so that a split service mounts no more than it needs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import certify, keys, x509
from sigcore.errors import Malformed, Refused
from stack.config import Home, Settings, load_settings, save_settings
from stack.files import SECRET, load_file, load_secret, make_folder, save_file

ROLE_FOLDERS: Final = ("ca", "ct", "rekor", "tsa", "oidc", "tuf", "anchor")
TUF_ROLES: Final = ("root", "targets", "snapshot", "timestamp")
AUTHORITY_LIFE: Final = timedelta(days=3650)
"""A private root outlives the hardware; rotation is by validity windows, not by expiry."""
RSA_BITS: Final = 2048

_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class Material:
    """Every key and chain of the serving process. The TUF keys are not among them: only the publisher reads those."""

    ca_key: ec.EllipticCurvePrivateKey
    ca_chain: tuple[x509.Certificate, ...]
    """Intermediate, root."""
    ct_key: ec.EllipticCurvePrivateKey
    rekor_key: ed25519.Ed25519PrivateKey
    tsa_key: ec.EllipticCurvePrivateKey
    tsa_chain: tuple[x509.Certificate, ...]
    """Leaf, intermediate, root."""

    @property
    def ct_spki(self) -> bytes:
        """The CT log's public key."""
        return keys.encode_public_key(self.ct_key.public_key())


def prepare(home: Home, *, url: str | None, default_url: str, ephemeral: bool, now: datetime) -> Settings:
    """Bring ``home`` to a state that can be served, and say under which URL.

    1. An empty directory gets keys, chains and settings; the settings come last, so an interrupted first run starts over.
    2. The URL is the one given, else the one of the first run, else it follows the listening address.

    Raises:
        Refused: the directory belongs to an ephemeral stack, or holds something else than a stack.
    """
    if not home.settings_file.exists():  # (1)
        _refuse_foreign(home.path)
        created = now.replace(microsecond=0)
        settings = Settings(url or default_url, created, ephemeral, url_follows_listen=url is None)
        _create(home, settings)
        save_settings(home, settings)
        return settings
    settings = load_settings(home)
    if settings.ephemeral != ephemeral:
        raise Refused(f"{home.path} is the directory of an ephemeral stack", "give another --data")
    wanted = url or (default_url if settings.url_follows_listen else settings.url)  # (2)
    if wanted != settings.url:
        settings = replace(settings, url=wanted, url_follows_listen=url is None)
        save_settings(home, settings)
    return settings


def _refuse_foreign(folder: Path) -> None:
    if not folder.exists():
        return
    strangers = {path.name for path in folder.iterdir()} - {*ROLE_FOLDERS, "public", "lock"}
    if strangers:
        raise Refused(f"{folder} holds no stack but other files, such as {min(strangers)}", "give an empty --data")


# --- create ----------------------------------------------------------------------------------------
def _create(home: Home, settings: Settings) -> None:
    """Make every key. RSA takes as long as the rest of a start, so it runs on the other core (OpenSSL frees the GIL)."""
    for name in ROLE_FOLDERS:
        make_folder(home.path / name)
    make_folder(home.public, 0o755)
    slow = threading.Thread(target=_create_oidc, args=(home, settings))
    slow.start()
    _create_ca(home, settings)
    _create_tsa(home, settings)
    _save_key(home.path / "ct" / "log.key", keys.generate_p256(), settings)
    _save_key(home.path / "rekor" / "log.key", ed25519.Ed25519PrivateKey.generate(), settings)
    for role in TUF_ROLES:
        _save_key(home.path / "tuf" / f"{role}.key", ed25519.Ed25519PrivateKey.generate(), settings)
    slow.join()


def _create_oidc(home: Home, settings: Settings) -> None:
    key = rsa.generate_private_key(keys.RSA_EXPONENT, RSA_BITS)
    _save_key(home.path / "oidc" / "signing.key", key, settings)


def _create_ca(home: Home, settings: Settings) -> None:
    folder = home.path / "ca"
    root_key, key = keys.generate_p256(), keys.generate_p256()
    root = _root(root_key, "certificate authority root", settings)
    intermediate = _intermediate(root, root_key, key, "certificate authority", x509.EKU_CODE_SIGNING, settings)
    _save_key(folder / "root.key", root_key, settings)
    _save_key(folder / "intermediate.key", key, settings)
    _save_chain(folder, {"root": root, "intermediate": intermediate}, settings)


def _create_tsa(home: Home, settings: Settings) -> None:
    folder = home.path / "tsa"
    root_key, middle_key, key = (keys.generate_p256() for _ in range(3))
    root = _root(root_key, "timestamp authority root", settings)
    middle = _intermediate(root, root_key, middle_key, "timestamp intermediate", x509.EKU_TIME_STAMPING, settings)
    leaf = certify.make_timestamp_leaf(
        middle, middle_key, key.public_key(), subject=_name("timestamp authority", settings), **_life(settings)
    )
    for name, secret in (("root", root_key), ("intermediate", middle_key), ("leaf", key)):
        _save_key(folder / f"{name}.key", secret, settings)
    _save_chain(folder, {"root": root, "intermediate": middle, "leaf": leaf}, settings)


def _name(role: str, settings: Settings) -> bytes:
    return x509.encode_name(f"sigbox {role}", settings.organization)


def _life(settings: Settings) -> dict[str, datetime]:
    return {"not_before": settings.created, "not_after": settings.created + AUTHORITY_LIFE}


def _root(key: ec.EllipticCurvePrivateKey, role: str, settings: Settings) -> x509.Certificate:
    return certify.make_root(key, subject=_name(role, settings), **_life(settings))


def _intermediate(
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    role: str,
    eku: str,
    settings: Settings,
) -> x509.Certificate:
    subject = _name(role, settings)
    return certify.make_intermediate(issuer, issuer_key, key.public_key(), subject=subject, eku=eku, **_life(settings))


def _save_key(path: Path, key: keys.PrivateKey, settings: Settings) -> None:
    save_file(path, keys.encode_private_key(key), mode=SECRET, durable=not settings.ephemeral)


def _save_chain(folder: Path, chain: dict[str, x509.Certificate], settings: Settings) -> None:
    for name, certificate in chain.items():
        pem = x509.encode_certificate_pem(certificate.der).encode("ascii")
        save_file(folder / f"{name}.pem", pem, durable=not settings.ephemeral)


# --- load ------------------------------------------------------------------------------------------
def load_material(home: Home) -> Material:
    """The keys and chains of ``home``.

    Raises:
        NotFound, Malformed, Refused: a file is missing, damaged, of another kind, or readable by others.
    """
    material = Material(
        ca_key=_load_key(home.path / "ca" / "intermediate.key", ec.EllipticCurvePrivateKey),
        ca_chain=_load_chain(home.path / "ca", ("intermediate", "root")),
        ct_key=_load_key(home.path / "ct" / "log.key", ec.EllipticCurvePrivateKey),
        rekor_key=_load_key(home.path / "rekor" / "log.key", ed25519.Ed25519PrivateKey),
        tsa_key=_load_key(home.path / "tsa" / "leaf.key", ec.EllipticCurvePrivateKey),
        tsa_chain=_load_chain(home.path / "tsa", ("leaf", "intermediate", "root")),
    )
    for key, chain in ((material.ca_key, material.ca_chain), (material.tsa_key, material.tsa_chain)):
        if keys.encode_public_key(key.public_key()) != chain[0].spki:
            raise Refused(f"a key in {home.path} does not belong to its certificate", "restore both from one backup")
    return material


def load_oidc_key(home: Home) -> rsa.RSAPrivateKey:
    """The provider's signing key, for the serving process and for ``sigbox token``."""
    return _load_key(home.path / "oidc" / "signing.key", rsa.RSAPrivateKey)


def _load_key(path: Path, kind: type[_K]) -> _K:
    key = keys.parse_private_key(load_secret(path, what="the key"), what=str(path))
    if not isinstance(key, kind):
        raise Malformed(f"{path} holds a key of another kind, expected {kind.__name__}", "restore it from a backup")
    return key


def _load_chain(folder: Path, names: Iterable[str]) -> tuple[x509.Certificate, ...]:
    files = (load_file(folder / f"{name}.pem", what="the certificate") for name in names)
    return tuple(x509.parse_certificate_pem(data) for data in files)
