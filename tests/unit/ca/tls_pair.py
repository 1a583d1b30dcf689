# SPDX-License-Identifier: Apache-2.0
"""A TLS authority of its own, and a server context with its certificate for one host."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """The authority's certificate, and a context for servers that it vouches for."""

    pem: str
    server: ssl.SSLContext


def make_tls_authority(host: str = "localhost") -> Authority:
    now = datetime.now(UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("issuer's CA", host)]

    def builder(number):
        made = x509.CertificateBuilder().subject_name(names[number]).issuer_name(names[0])
        made = made.public_key(keys[number].public_key()).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))

    usage = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
    root = builder(0).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    root = root.add_extension(usage, critical=True)  # Python 3.13 and newer verify as RFC 5280 has it
    root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key()), critical=False)
    leaf = builder(1).add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
    leaf = leaf.add_extension(issuer, critical=False)
    pem = [made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM) for made in (root, leaf)]
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem[1] + key)
        context.load_cert_chain(file.name)
    return Authority(pem[0].decode(), context)
