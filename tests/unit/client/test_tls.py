# SPDX-License-Identifier: Apache-2.0
"""https services: whom the transport trusts, and what a user is told when it does not."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from client.transport import AiohttpTransport, tls_context
from sigcore.errors import Malformed, NotFound, Unavailable

AUTHORITY = "Corporate TLS CA"


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certify(subject: str, key, issuer: str, issuer_key, *extensions) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority():
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    basic = x509.BasicConstraints(ca=True, path_length=None)
    return key, certify(AUTHORITY, key, AUTHORITY, key, (basic, True), (usage, True))


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(pem(authority[1]))
    return str(path)


@asynccontextmanager
async def serving(authority, folder, host, *, tls=True):
    """An https server on loopback whose certificate is for ``host``."""
    key = ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
    certificate = certify("service", key, AUTHORITY, authority[0], (address, False))
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(secret + pem(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")

    async def hello(_request):
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    server = TestServer(app, scheme="https", host="127.0.0.1")
    await server.start_server(ssl=context if tls else None)
    try:
        yield f"https://127.0.0.1:{server.port}/"
    finally:
        await server.close()


async def get(url, tls=None):
    async with AiohttpTransport(tls=tls, timeout_s=10) as transport:
        return (await transport.request("GET", url, headers={}, body=None, limit=100)).body


async def test_the_authorities_of_a_file_are_trusted(authority, ca_file, tmp_path):
    async with serving(authority, tmp_path, "127.0.0.1") as url:
        assert await get(url, tls_context(ca_file)) == b"hello"


async def test_the_variable_of_openssl_is_followed(authority, ca_file, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with serving(authority, tmp_path, "127.0.0.1") as url:
        assert await get(url) == b"hello"


async def test_an_authority_that_is_not_trusted_is_named_with_the_way_to_trust_it(authority, tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    async with serving(authority, tmp_path, "127.0.0.1") as url:
        with pytest.raises(Unavailable, match=f"a TLS certificate by '{AUTHORITY}', which is not trusted") as caught:
            await get(url)
    assert "--ca-file" in caught.value.hint
    assert "SSL_CERT_FILE" in caught.value.hint


async def test_a_certificate_for_another_host_is_refused_as_such(authority, ca_file, tmp_path):
    async with serving(authority, tmp_path, "127.0.0.2") as url:
        with pytest.raises(Unavailable, match="not its own") as caught:
            await get(url, tls_context(ca_file))
    assert "host name" in caught.value.hint


async def test_a_service_without_tls_at_an_https_url(authority, tmp_path):
    async with serving(authority, tmp_path, "127.0.0.1", tls=False) as url:
        with pytest.raises(Unavailable, match="TLS failed") as caught:
            await get(url)
    assert "http:" in caught.value.hint


def test_a_file_without_authorities(tmp_path):
    (tmp_path / "empty.pem").write_bytes(b"no certificate\n")
    with pytest.raises(Malformed, match="holds no certificate authority"):
        tls_context(str(tmp_path / "empty.pem"))
    with pytest.raises(NotFound, match="cannot be read"):
        tls_context(str(tmp_path / "none.pem"))
