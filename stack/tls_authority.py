# SPDX-License-Identifier: Apache-2.0
"""``--tls auto``: a certificate authority for this stack's own HTTPS, and its server certificates: one, or one for each role.

The authority goes into clients' trust stores, so it can vouch for nothing but this stack: its certificate carries critical
name constraints (RFC 5280 section 4.2.1.10) with the hosts of its URLs, ``localhost`` and the loopback addresses. docs/adr/0012.
Built with cryptography's builder: once a year is no hot path, and no log ever sees these certificates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sigcore import keys, limits
from sigcore.errors import Malformed, SigError
from stack.config import ROLES, Home, Settings
from stack.files import SECRET, load_file, load_secret, make_folder, save_file
from stack.tls import TlsFiles, names_of

AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVER_LIFE: Final = timedelta(days=397)
"""The longest that browsers and Apple's libraries take."""
RENEW: Final = timedelta(days=130)
"""A third of its life before its end a server certificate is made anew."""
BACKDATED: Final = timedelta(hours=1)
"""For clients whose clock is behind."""


def prepare(home: Home, settings: Settings, now: datetime) -> TlsFiles:
    """The files of a server certificate that is good for the hosts of all URLs, made anew where the old ones are not.

    1. An authority that is missing, about to end, or may not vouch for the hosts is made (with a fresh key).
    2. A server certificate that is missing, near its end, for other names or of another authority is made.
    3. The authority's certificate is published as ``public/tls_ca.pem``.

    Raises:
        Malformed, Refused: a file is damaged, or readable by others.
    """
    files = TlsFiles.own(home)
    make_folder(files.folder)
    names = _names(settings.host, *map(settings.host_of, settings.services))
    authority = _load(files.authority)
    if authority is None or authority.not_valid_after_utc - now < SERVER_LIFE or _permitted(authority) != names:  # (1)
        authority = _make_authority(files, names, settings, now)
    _keep_server(files, authority, names, settings, now)  # (2)
    save_file(files.published, _pem(authority), durable=not settings.ephemeral)  # (3)
    return files


def prepare_roles(home: Home, settings: Settings, now: datetime) -> tuple[str, ...]:
    """:func:`prepare`, and in the folder of each role a certificate for that role's host: its process needs no more.

    The answer names the roles that got another certificate. Errors: as :func:`prepare`.
    """
    issued = []
    authority = _load(prepare(home, settings, now).authority)
    assert authority is not None  # noqa: S101 - it was just prepared
    for role in ROLES:
        files = TlsFiles.of_role(home, role)
        make_folder(files.certificate.parent, durable=not settings.ephemeral)
        if _keep_server(files, authority, _names(settings.host_of(role)), settings, now):
            issued.append(role)
    return tuple(issued)


def _keep_server(
    files: TlsFiles, authority: x509.Certificate, names: Sequence[str], settings: Settings, now: datetime
) -> bool:
    """Make the server certificate, unless there is one that is not near its end, for ``names``, of ``authority`` and with its key.

    The answer says whether it was made.
    """
    leaf = _load(files.certificate)
    good = leaf and leaf.not_valid_after_utc - now >= RENEW and names_of(leaf) == names and _issued(leaf, authority)
    if leaf and good and _has_key(leaf, files):
        return False
    _make_server(files, authority, names, settings, now)
    return True


def _issued(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _has_key(leaf: x509.Certificate, files: TlsFiles) -> bool:
    """Whether the key beside it is that of ``leaf``: whoever made both may have been killed between the two."""
    if not files.key.exists():
        return False
    secret = load_secret(files.key, what="the TLS key")
    try:
        key = keys.parse_private_key(secret, files.passphrase, what=str(files.key), ours=True)
    except SigError:  # none of ours, or none that can be read now
        return False
    return key.public_key() == leaf.public_key()


def _names(*hosts: str) -> tuple[str, ...]:
    """What a certificate is for: the hosts of URLs, and this machine."""
    return tuple(dict.fromkeys((*hosts, "localhost", "127.0.0.1", "::1")))


def _general(names: Sequence[str]) -> list[x509.GeneralName]:
    return [x509.DNSName(name) if _address(name) is None else x509.IPAddress(ip_address(name)) for name in names]


def _address(name: str) -> str | None:
    try:
        return str(ip_address(name))
    except ValueError:
        return None


def _permitted(authority: x509.Certificate) -> tuple[str, ...]:
    """The names that an authority of ours may vouch for."""
    try:
        found = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value).partition("/")[0] for name in found)


def _make_authority(files: TlsFiles, names: Sequence[str], settings: Settings, now: datetime) -> x509.Certificate:
    key = keys.generate_p256()
    subject = _subject(f"sigbox TLS authority of {settings.host}"[:64], settings)
    subtrees = [x509.DNSName(name) if _address(name) is None else x509.IPAddress(ip_network(name)) for name in names]
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = (
        _builder(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.NameConstraints(subtrees, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _save_key(files.authority_key, key, files, settings)
    save_file(files.authority, _pem(certificate), durable=not settings.ephemeral)
    return certificate


def _make_server(
    files: TlsFiles, authority: x509.Certificate, names: Sequence[str], settings: Settings, now: datetime
) -> None:
    secret = load_secret(files.authority_key, what="the key of the TLS authority")
    issuer_key = keys.parse_private_key(secret, files.passphrase, what=str(files.authority_key), ours=True)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise Malformed(
            f"{files.authority_key} is not an ECDSA key", "remove the folder; clients must then trust a new CA"
        )
    key = keys.generate_p256()
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = (
        _builder(_subject(names[0][:64], settings), authority.subject, key.public_key(), now, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    certificate = builder.sign(issuer_key, hashes.SHA256())
    _save_key(files.key, key, files, settings)
    save_file(files.certificate, _pem(certificate), durable=not settings.ephemeral)


def _save_key(path: Path, key: ec.EllipticCurvePrivateKey, files: TlsFiles, settings: Settings) -> None:
    data = keys.encode_private_key(key, files.passphrase)
    save_file(path, data, mode=SECRET, durable=not settings.ephemeral)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _subject(common_name: str, settings: Settings) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, settings.organization[:64]),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _load(path: Path) -> x509.Certificate | None:
    if not path.exists():
        return None
    try:
        return x509.load_pem_x509_certificate(load_file(path, what="the TLS certificate", limit=limits.CERTIFICATE))
    except ValueError as error:
        raise Malformed(
            f"{path} is not a certificate", "remove its folder; clients must then trust a new CA"
        ) from error


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
