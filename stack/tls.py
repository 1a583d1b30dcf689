# SPDX-License-Identifier: Apache-2.0
"""HTTPS: the server's files, checked before anybody connects, and the context that they are served with.

Source: RFC 9325 (recommendations for TLS): 1.2 and 1.3, forward secrecy and authenticated encryption only.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509

from sigcore import limits
from sigcore.errors import Malformed, Refused
from stack.config import Home
from stack.files import load_file

AUTO: Final = "auto"
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all good."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate and key are; the other paths exist for a certificate of our own authority only."""

    certificate: Path
    """PEM: the server's, then intermediates."""
    key: Path
    authority: Path = Path()
    authority_key: Path = Path()
    published: Path = Path()
    passphrase: bytes | None = field(default=None, repr=False)
    """What our own keys are encrypted with."""

    @classmethod
    def own(cls, home: Home) -> TlsFiles:
        """Those of ``--tls auto``."""
        folder = home.path / "tls"
        return cls(
            folder / "server.pem",
            folder / "server.key",
            folder / "ca.pem",
            folder / "ca.key",
            home.tls_ca,
            home.passphrase,
        )

    @classmethod
    def of_role(cls, home: Home, role: str) -> TlsFiles:
        """Those of ``--tls auto`` in the folder of one role, made by ``sigbox init --tls auto``."""
        whole, folder = cls.own(home), home.folder_of(role)
        return replace(whole, certificate=folder / "tls.pem", key=folder / "tls.key")

    @classmethod
    def given(cls, text: str) -> TlsFiles:
        """Those of ``--tls CERT,KEY``. Malformed when the text is something else."""
        certificate, comma, key = text.partition(",")
        if not comma or not certificate or not key or "," in key:
            raise Malformed("--tls is neither 'auto' nor two files", "write --tls auto, or --tls CERT.pem,KEY.pem")
        return cls(Path(certificate).absolute(), Path(key).absolute())

    @property
    def folder(self) -> Path:
        """Of our own authority."""
        return self.authority.parent

    def left(self, now: datetime) -> timedelta:
        """For how long the certificate is good. NotFound and Malformed: see :func:`check_certificate`."""
        return _load(self.certificate).not_valid_after_utc - now


def make_context(files: TlsFiles, host: str, now: datetime) -> ssl.SSLContext:
    """A server context for ``files``, which fit each other, ``host`` and ``now``.

    Raises:
        NotFound, Malformed, Refused: they do not; the message says which of these and what was found.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    _give(context, files, host, now)
    return context


def load_files(context: ssl.SSLContext, files: TlsFiles, host: str, now: datetime) -> None:
    """Give the files to a ``context`` in use, whose next handshakes then use them. Errors: as above; it stays as it was then.

    They are tried on another one before: OpenSSL would take the certificate, and lose the key, before it sees that the two differ.
    """
    make_context(files, host, now)
    _give(context, files, host, now)


def _give(context: ssl.SSLContext, files: TlsFiles, host: str, now: datetime) -> None:
    check_certificate(files.certificate, host, now)
    load_file(files.key, what="the TLS key")  # for its message when it is not there
    try:
        context.load_cert_chain(files.certificate, files.key, files.passphrase or _no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Refused(
                f"{files.key} is not the key of {files.certificate}", "give the pair that belongs together"
            ) from error
        raise Malformed(
            f"{files.key} or {files.certificate} cannot be used: {error.reason}", "both must be PEM"
        ) from error


def _no_passphrase() -> NoReturn:
    raise Refused("the TLS key is encrypted, and nobody can be asked for its passphrase", "decrypt it: openssl pkey")


def trusting_own(home: Home) -> ssl.SSLContext:
    """For connections to roles of the same stack: the system's authorities or ``SSL_CERT_FILE``'s, and the stack's own.

    Raises:
        Malformed: ``public/tls_ca.pem`` holds no certificate.
    """
    context = ssl.create_default_context()
    if home.tls_ca.exists():
        try:
            context.load_verify_locations(home.tls_ca)
        except ssl.SSLError as error:
            raise Malformed(f"{home.tls_ca} holds no certificate in PEM", "sigbox init writes it anew") from error
    return context


def check_certificate(path: Path, host: str, now: datetime) -> None:
    """Whether the first certificate in ``path`` is valid now and for ``host``.

    Raises:
        NotFound, Malformed, Refused: what it is instead.
    """
    certificate = _load(path)
    names = names_of(certificate)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        when = f"expired on {last:%Y-%m-%d}" if now > last else f"is valid from {first:%Y-%m-%d %H:%M} UTC on"
        raise Refused(f"the TLS certificate {path} {when}", "renew it, or check this machine's clock")
    if not any(_matches(name, host) for name in names):
        found = ", ".join(names) or "no name at all"
        raise Refused(
            f"the TLS certificate {path} is for {found}; the URL's host is {host}", "change --url, or the certificate"
        )


def _load(path: Path) -> x509.Certificate:
    data = load_file(path, what="the TLS certificate", limit=limits.CHAIN_CERTIFICATES * limits.CERTIFICATE)
    try:
        certificate = x509.load_pem_x509_certificates(data)[0]
        _ = certificate.extensions  # read when they are asked for
    except ValueError as error:
        raise Malformed(f"{path} holds no PEM certificate", "give the server's certificate, then its chain") from error
    return certificate


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses of the subject alternative name; the common name counts for no client."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(name.value) for name in extension.value if isinstance(name, x509.DNSName | x509.IPAddress))


def _matches(name: str, host: str) -> bool:
    """RFC 9525 section 6.3: a wildcard stands for one whole leftmost label."""
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        pass
    if name.startswith("*."):
        label, dot, rest = host.partition(".")
        return bool(label and dot) and rest.lower() == name[2:].lower()
    return name.lower() == host.lower()
