# SPDX-License-Identifier: Apache-2.0
"""A timestamp chain, built by the library's certificate builder and so independent of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sigcore.x509 import Certificate, parse_certificate
from tsa.authority import TimestampAuthority
from tsa.timekeeper import TimeKeeper

NOW = datetime(2026, 5, 4, 3, 2, 1, 987654, tzinfo=UTC)
START, END = NOW - timedelta(days=30), NOW + timedelta(days=3000)
KEYS = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
TIMESTAMPING = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
LEAF_USAGE = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
CA_USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
Extensions = list[tuple[x509.ExtensionType, bool]]


def name(text: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sigbox"), x509.NameAttribute(NameOID.COMMON_NAME, text)]
    )


def issue(subject: str, key, issuer: str, issuer_key, extensions: Extensions, end: datetime = END) -> Certificate:
    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(START).not_valid_after(end)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    for extension, critical in [*extensions, (own, False), (identifier, False)]:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    return parse_certificate(certificate.public_bytes(serialization.Encoding.DER))


@dataclass(frozen=True)
class Chain:
    """Leaf key, and leaf to root."""

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificates: tuple[Certificate, ...]

    @property
    def leaf(self) -> Certificate:
        return self.certificates[0]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """(root, leaf and intermediates) in PEM, for openssl."""
        pems = [
            x509.load_der_x509_certificate(c.der).public_bytes(serialization.Encoding.PEM) for c in self.certificates
        ]
        (folder / "root.pem").write_bytes(pems[-1])
        (folder / "rest.pem").write_bytes(b"".join(pems[:-1]))
        return folder / "root.pem", folder / "rest.pem"


def make_chain(kind: str = "p256", *, leaf: Extensions | None = None, end: datetime = END) -> Chain:
    key, middle_key, root_key = KEYS[kind](), KEYS["p256"](), KEYS["p256"]()
    leaf = leaf if leaf is not None else [(LEAF_USAGE, True), (TIMESTAMPING, True)]
    middle = [(x509.BasicConstraints(True, 0), True), (CA_USAGE, True), (TIMESTAMPING, False)]
    root = [(x509.BasicConstraints(True, 1), True), (CA_USAGE, True)]
    certificates = (
        issue("timestamps", key, "timestamps intermediate", middle_key, leaf, end),
        issue("timestamps intermediate", middle_key, "timestamps root", root_key, middle),
        issue("timestamps root", root_key, "timestamps root", root_key, root),
    )
    return Chain(key, certificates)


@pytest.fixture(scope="session")
def chains() -> dict[str, Chain]:
    """One chain per kind of leaf key."""
    return {kind: make_chain(kind) for kind in KEYS}


@pytest.fixture(scope="session")
def chain(chains: dict[str, Chain]) -> Chain:
    return chains["p256"]


@pytest.fixture(scope="session")
def build_chain() -> Callable[..., Chain]:
    return make_chain


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def authority(chain: Chain, now: datetime) -> TimestampAuthority:
    return TimestampAuthority.of(chain.key, chain.certificates, now=now, timekeeper=TimeKeeper())
