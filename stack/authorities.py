# SPDX-License-Identifier: Apache-2.0
"""The keys and chains of the two authorities, made: at first, and again for each later generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import certify, keys, x509
from sigcore.device_key import in_device
from sigcore.values import dataclass
from stack.config import Settings
from stack.files import PUBLIC, SECRET, save_file
from stack.seed import LIFE, KeySource

AUTHORITY_LIFE: Final = timedelta(days=3650)
"""A private root outlives the hardware; rotation is by validity windows, not by expiry."""
COMMON_NAME_LIMIT: Final = 64
"""RFC 5280 appendix A.1."""
SIGNERS: Final = {"ca": "intermediate", "tsa": "leaf"}
"""What signs for others, of each authority: the name of its key and certificate."""
CHAIN: Final = "chain.pem"
"""In the folder of a generation that was issued elsewhere: its certificates, what signs first, the root last."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How keys and certificates are written: encrypted with ``passphrase`` where there is one."""

    passphrase: bytes | None
    durable: bool

    def save_keys(self, folder: Path, secrets: Mapping[str, keys.PrivateKey]) -> None:
        """Private keys, by name; of a key that is in a token the public half, as ``NAME.pub``."""
        for name, key in secrets.items():
            if in_device(key):
                pem = keys.encode_public_key_pem(key.public_key()).encode("ascii")
                save_file(folder / f"{name}.pub", pem, mode=PUBLIC, durable=self.durable)
                continue
            data = keys.encode_private_key(key, self.passphrase)
            save_file(folder / f"{name}.key", data, mode=SECRET, durable=self.durable)

    def save_chain(self, folder: Path, certificates: Mapping[str, bytes]) -> None:
        """Certificates (DER), by name."""
        for name, certificate in certificates.items():
            pem = x509.encode_certificate_pem(certificate).encode("ascii")
            save_file(folder / f"{name}.pem", pem, durable=self.durable)


def make_signer(role: str, settings: Settings, number: int) -> ec.EllipticCurvePrivateKey:
    """The key alone that signs for an authority in generation ``number``; in the token that ``[keys]`` names, else in memory."""
    return _made(role, SIGNERS[role], number, settings)


def save_issued(folder: Path, role: str, keep: Keep, key: keys.PrivateKey, chain: Sequence[x509.Certificate]) -> None:
    """A key of ``role`` and the chain that was issued for it elsewhere, in ``folder``."""
    keep.save_keys(folder, {SIGNERS[role]: key})
    keep.save_chain(folder, {SIGNERS[role]: chain[0].der})
    pem = "".join(x509.encode_certificate_pem(one.der) for one in chain).encode("ascii")
    save_file(folder / CHAIN, pem, durable=keep.durable)


def is_issued(folder: Path) -> bool:
    """Whether the generation in ``folder`` was issued elsewhere."""
    return (folder / CHAIN).exists()


def make_ca(folder: Path, settings: Settings, keep: Keep, since: datetime, number: int = 1) -> None:
    """The authority's keys and chain in ``folder``; ``number`` is its generation, ``since`` the first moment of its certificates."""
    root_key, key = (_made("ca", name, number, settings) for name in ("root", "intermediate"))
    root = certify.make_root(root_key, _subject("certificate authority root", settings, since, number))
    intermediate = certify.make_intermediate(
        x509.parse_certificate(root),
        root_key,
        keys.encode_public_key(key.public_key()),
        _subject("certificate authority", settings, since, number),
        eku=x509.EKU_CODE_SIGNING,
    )
    keep.save_keys(folder, {"root": root_key, "intermediate": key})
    keep.save_chain(folder, {"root": root, "intermediate": intermediate})


def make_tsa(folder: Path, settings: Settings, keep: Keep, since: datetime, number: int = 1) -> None:
    """The timestamp authority's keys and chain, as :func:`make_ca`."""
    eku, names = x509.EKU_TIME_STAMPING, ("root", "intermediate", "leaf")
    root_key, middle_key, key = (_made("tsa", name, number, settings) for name in names)
    middle_spki, spki = (keys.encode_public_key(one.public_key()) for one in (middle_key, key))

    def subject(role: str) -> certify.Subject:
        return _subject(role, settings, since, number)

    root = certify.make_root(root_key, subject("timestamp authority root"))
    middle = certify.make_intermediate(
        x509.parse_certificate(root), root_key, middle_spki, subject("timestamp intermediate"), eku=eku
    )
    leaf = certify.make_leaf(x509.parse_certificate(middle), middle_key, spki, subject("timestamp authority"), eku=eku)
    keep.save_keys(folder, {"root": root_key, "intermediate": middle_key, "leaf": key})
    keep.save_chain(folder, {"root": root, "intermediate": middle, "leaf": leaf})


def make_log_key(role: str, settings: Settings, number: int = 1) -> keys.PrivateKey:
    """The key of a log's tree ``number``: in the token that ``[keys]`` names for it, else in memory; there Ed25519 for Rekor v2, else ECDSA P-256."""
    if role == "rekor" and role not in settings.keys:
        return KeySource(settings.seed).ed25519(_named(role, number))
    return _made(role, "log", number, settings)


def _made(role: str, name: str, number: int, settings: Settings) -> ec.EllipticCurvePrivateKey:
    if role in settings.keys:
        # Deferred: it is for keys that are kept outside of files.
        from stack.key_places import source_of  # noqa: PLC0415 - see the line above

        return source_of(role, settings.keys[role]).signing_key(name, number)
    named = role if name == "log" else f"{role}/{name}"
    return KeySource(settings.seed).p256(_named(named, number))


def _named(name: str, number: int) -> str:
    return name if number == 1 else f"{name}/{number}"


def name_of(role: str, settings: Settings, number: int) -> str:
    """The common name of what has this ``role`` in generation ``number``."""
    named = role if number == 1 else f"{role} {number}"
    return f"{(settings.name or 'sigbox')[: COMMON_NAME_LIMIT - len(named) - 1]} {named}"


def _subject(role: str, settings: Settings, since: datetime, number: int) -> certify.Subject:
    """Each generation has names of its own: readers that look an issuer up by name find one."""
    named = role if number == 1 else f"{role} {number}"
    life = AUTHORITY_LIFE if settings.seed is None else LIFE
    serial = KeySource(settings.seed).serial(named)
    return certify.Subject(name_of(role, settings, number), settings.organization, since, since + life, serial)
