# SPDX-License-Identifier: Apache-2.0
"""HTTPS: with an authority of our own that can vouch for nothing else, or with files that are checked at the start."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sigcore.errors import Refused
from sigcore.keys import encode_private_key, generate_p256
from stack.config import Home, Settings
from stack.tls import TlsFiles, load_files, make_context, names_of
from stack.tls_authority import prepare
from tests.missing import needs
from tests.stack_process import running_stack, sigbox

PATIENCE_S = 60


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("tls"), "--ephemeral", "--control", "--tls", "auto") as running:
        yield running


def ready(stack) -> dict[str, str]:
    return json.loads((stack.log.parent / "ready.json").read_bytes())


def port(stack) -> int:
    return urlsplit(stack.url).port


def trusting(stack) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ready(stack)["tls_ca"])


def secured(stack, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port(stack)), PATIENCE_S)
    return context.wrap_socket(plain, server_hostname=name)


def get(stack, path: str, context: ssl.SSLContext) -> bytes:
    with urllib.request.urlopen(stack.url + path, timeout=PATIENCE_S, context=context) as answer:
        return answer.read()


# --- auto ------------------------------------------------------------------------------------------------
def test_every_url_is_https_and_the_authority_is_where_the_ready_file_says(stack):
    content = ready(stack)
    for name in ("url", "tuf_mirror", "oidc_issuer", "timestamp_url"):
        assert content[name].startswith("https://localhost:"), name
    assert Path(content["tls_ca"]).is_absolute()
    document = json.loads(get(stack, "/auth/.well-known/openid-configuration", trusting(stack)))
    assert document["issuer"] == content["oidc_issuer"]
    assert json.loads(get(stack, "/readyz", trusting(stack)))["roles"]["tls"] == "ok"


def test_what_is_printed_makes_each_client_trust_it(stack):
    path = ready(stack)["tls_ca"]
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert f"export {variable}={path}" in stack.output()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_certificate_is_for_this_machine_by_name_and_by_address(stack, name):
    with secured(stack, name, trusting(stack)) as connection:
        names = connection.getpeercert()["subjectAltName"]
        assert connection.version() == "TLSv1.3"
    assert set(names) == {("DNS", "localhost"), ("IP Address", "127.0.0.1"), ("IP Address", "0:0:0:0:0:0:0:1")}


def test_who_does_not_know_the_authority_refuses_it(stack):
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        get(stack, "/", ssl.create_default_context())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
@pytest.mark.parametrize(
    ("last", "ciphers", "reason"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL", "UNSUPPORTED_PROTOCOL"),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA", "NO_SHARED_CIPHER"),
    ],
)
def test_tls_1_1_and_weak_ciphers_are_refused_and_the_log_says_why(stack, last, ciphers, reason):
    context = trusting(stack)
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, last
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with pytest.raises(urllib.error.URLError):
        get(stack, "/", context)
    deadline = time.monotonic() + PATIENCE_S
    while reason not in stack.output():
        assert time.monotonic() < deadline, stack.output()
        time.sleep(0.02)


def test_tls_1_2_is_spoken_with_an_authenticated_cipher(stack):
    context = trusting(stack)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with secured(stack, "localhost", context) as connection:
        name, version, _ = connection.cipher()
    assert (version, name.startswith("ECDHE-ECDSA-")) == ("TLSv1.2", True)
    assert "GCM" in name or "CHACHA20" in name


@needs("openssl", "openssl")
def test_openssl_verifies_the_chain_and_the_name(stack):
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port(stack)}", "-CAfile", ready(stack)["tls_ca"],
         "-verify_return_error", "-verify_hostname", "localhost", "-x509_strict", "-servername", "localhost"],
        input=b"GET /healthz HTTP/1.0\r\n\r\n", capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert b"Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr


def test_plain_http_on_the_port_is_told_what_is_wrong(stack):
    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        urllib.request.urlopen(f"http://localhost:{port(stack)}/healthz", timeout=PATIENCE_S)
    assert "https://" in json.loads(refused.value.read())["message"]


def test_silence_garbage_and_half_a_handshake_are_cut_off_and_nobody_else_notices(stack):
    began = time.monotonic()
    openings = (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0\0\0\0", b"\x16garbage" * 100)
    sockets = [socket.create_connection(("127.0.0.1", port(stack)), PATIENCE_S) for _ in range(40) for _ in openings]
    for number, one in enumerate(sockets):
        one.sendall(openings[number % len(openings)])
    context = trusting(stack)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: get(stack, "/healthz", context), range(40)))
    assert len(answers) == 40
    for one in sockets:
        one.settimeout(PATIENCE_S)
        while read(one):
            pass
        one.close()
    assert time.monotonic() - began < PATIENCE_S


def read(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except ConnectionError:
        return b""


def test_our_own_client_signs_and_verifies_over_https(stack, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", ready(stack)["tls_ca"])
    (tmp_path / "file").write_bytes(b"content")
    trust = ("--trust-config", stack.trust_config)
    token = sigbox("token", "--url", stack.url, "--email", "alice@example.com")
    assert token.returncode == 0, token.stderr
    signed = sigbox("sign-blob", tmp_path / "file", *trust, "--identity-token", token.stdout.strip(), cwd=tmp_path)
    assert signed.returncode == 0, signed.stderr
    identity = ("--certificate-identity", "alice@example.com", "--certificate-oidc-issuer", stack.oidc_issuer)
    verified = sigbox("verify-blob", tmp_path / "file", *trust, *identity, cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr


# --- the authority over time ---------------------------------------------------------------------------------
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def files(home: Home) -> tuple[bytes, bytes]:
    return (home.path / "tls/ca.pem").read_bytes(), (home.path / "tls/server.pem").read_bytes()


@pytest.fixture
def home(tmp_path):
    (tmp_path / "public").mkdir()
    return Home(tmp_path)


def named(host: str) -> Settings:
    return Settings(f"https://{host}:7780", NOW, ephemeral=True, url_follows_listen=False)


def test_the_server_certificate_is_kept_until_a_third_of_its_life_is_left(home):
    prepare(home, named("sigstore.example"), NOW)
    first = files(home)
    prepare(home, named("sigstore.example"), NOW + timedelta(days=200))
    assert files(home) == first
    prepare(home, named("sigstore.example"), NOW + timedelta(days=300))
    authority, server = files(home)
    assert authority == first[0]
    assert server != first[1]
    assert (home.path / "public/tls_ca.pem").read_bytes() == authority


@pytest.mark.parametrize("left", [encode_private_key(generate_p256()), b"", None], ids=["another", "damaged", "none"])
def test_a_server_key_that_an_interrupted_renewal_left_is_made_anew_with_its_certificate(home, left):
    made = prepare(home, named("sigstore.example"), NOW)
    made.key.unlink()
    if left is not None:
        made.key.write_bytes(left)
        made.key.chmod(0o600)
    assert prepare(home, named("sigstore.example"), NOW) == made
    make_context(made, "sigstore.example", NOW)


def test_an_authority_is_replaced_before_it_can_no_longer_cover_a_server_certificate(home):
    prepare(home, named("sigstore.example"), NOW)
    first = files(home)
    prepare(home, named("sigstore.example"), NOW + timedelta(days=3300))
    assert files(home)[0] != first[0]


def test_another_host_gets_another_authority_because_the_old_one_may_not_vouch_for_it(home):
    prepare(home, named("sigstore.example"), NOW)
    first = files(home)
    prepare(home, named("other.example"), NOW)
    assert files(home)[0] != first[0]
    server = x509.load_pem_x509_certificate(files(home)[1])
    assert names_of(server) == ("other.example", "localhost", "127.0.0.1", "::1")


def test_the_authority_vouches_for_no_other_host(home, tmp_path):
    """Signed with the authority's stolen key, a certificate for another host is refused by OpenSSL's verifier."""
    prepare(home, named("sigstore.example"), NOW)
    authority = x509.load_pem_x509_certificate(files(home)[0])
    key = serialization.load_pem_private_key((home.path / "tls/ca.key").read_bytes(), None)
    verdicts = {}
    for host in ("bank.example", "sigstore.example"):
        write_pair(tmp_path, host, issuer=(authority, key))
        verdicts[host] = handshake(tmp_path, host, home.path / "tls/ca.pem")
    assert "permitted subtree violation" in verdicts["bank.example"]
    assert verdicts["sigstore.example"] == "ok"


def handshake(folder: Path, host: str, authority: Path) -> str:
    """What a client that trusts ``authority`` says of the pair for ``host``; no socket is needed."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=authority)
    server.load_cert_chain(folder / f"{host}.pem", folder / f"{host}.key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there, server_hostname=host), server.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    return "stuck" if ends else "ok"


# --- files given ---------------------------------------------------------------------------------------------
def write_pair(folder: Path, name: str, *, issuer=None, days: tuple[int, int] = (-1, 30)) -> str:
    """A certificate and its key, self-signed unless an issuer is given; the answer is the value for ``--tls``."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer = issuer[1] if issuer else key
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return f"{folder / f'{name}.pem'},{folder / f'{name}.key'}"


def test_files_of_somebody_else_are_served(tmp_path):
    pair = write_pair(tmp_path, "localhost")
    with running_stack(tmp_path, "--ephemeral", "--tls", pair) as stack:
        assert "tls_ca" not in ready(stack)
        context = ssl.create_default_context(cafile=tmp_path / "localhost.pem")
        assert json.loads(get(stack, "/readyz", context))["ready"]


def test_a_certificate_that_ends_within_30_days_is_said_in_the_log_f12(tmp_path):
    pair = write_pair(tmp_path, "localhost", days=(-1, 10))
    with running_stack(tmp_path, "--data", tmp_path / "data", "--tls", pair) as stack:
        deadline = time.monotonic() + PATIENCE_S
        while "in 30 days the TLS certificate is no good" not in stack.output():
            assert time.monotonic() < deadline, stack.output()
            time.sleep(0.05)


def refused(tmp_path: Path, tls: str, *options: str) -> str:
    data = tmp_path / "data"
    done = sigbox("up", "--data", data, "--listen", "127.0.0.1:0", "--tls", tls, *options)
    assert done.returncode in (2, 3), done.stderr
    assert not data.exists(), "a start that failed left something behind"
    return done.stderr


def test_files_that_cannot_work_are_refused_with_the_reason_before_anything_is_made(tmp_path):
    good, other = write_pair(tmp_path, "localhost"), write_pair(tmp_path, "other.example")
    certificate, _, key = good.partition(",")
    assert "is not the key of" in refused(tmp_path, f"{certificate},{other.partition(',')[2]}")
    assert "is for other.example; the URL's host is localhost" in refused(tmp_path, other)
    assert "the URL's host is a.b.c" in refused(tmp_path, write_pair(tmp_path, "*.c"), "--url", "https://a.b.c")
    assert "does not exist" in refused(tmp_path, f"{tmp_path / 'none.pem'},{key}")
    assert "does not exist" in refused(tmp_path, f"{certificate},{tmp_path / 'none.key'}")
    assert "holds no PEM certificate" in refused(tmp_path, f"{key},{key}")
    assert "neither 'auto' nor two files" in refused(tmp_path, "yes")
    assert "expired on" in refused(tmp_path, write_pair(tmp_path, "localhost", days=(-9, -1)))
    assert "is valid from" in refused(tmp_path, write_pair(tmp_path, "localhost", days=(1, 9)))
    assert "give an https URL" in refused(tmp_path, "auto", "--url", "http://localhost:1")


def test_a_key_with_a_passphrase_is_refused_instead_of_asking_nobody(tmp_path):
    pair = write_pair(tmp_path, "localhost")
    path = tmp_path / "localhost.key"
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    cipher = serialization.BestAvailableEncryption(b"secret")
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher))
    assert "is encrypted" in refused(tmp_path, pair)


def shaken(
    server: ssl.SSLContext, authority: Path, last: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> str | None:
    """The version that a handshake in memory agrees on, with a client that knows all versions up to ``last``."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the old versions, which are meant
        trusting.minimum_version, trusting.maximum_version = ssl.TLSVersion.TLSv1, last
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for end in (client, serving):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return client.version()


def test_o23_no_reload_brings_old_versions_of_tls_back(tmp_path):
    """Tried before a reload, after one that was refused, and after one that worked."""
    (tmp_path / "old").mkdir()
    files, renewed = (
        TlsFiles.given(write_pair(tmp_path / "old", "localhost")),
        TlsFiles.given(write_pair(tmp_path, "localhost")),
    )
    authority = tmp_path / "authority.pem"
    authority.write_bytes(files.certificate.read_bytes())
    context = make_context(files, "localhost", datetime.now(UTC))

    def check(trusted: Path) -> None:
        for last in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
                shaken(context, trusted, last)
        assert shaken(context, trusted, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        assert shaken(context, trusted) == "TLSv1.3"

    check(authority)
    shutil.copy(renewed.certificate, files.certificate)
    with pytest.raises(Refused, match="is not the key of"):
        load_files(context, files, "localhost", datetime.now(UTC))
    check(authority)
    shutil.copy(renewed.key, files.key)
    load_files(context, files, "localhost", datetime.now(UTC))
    check(renewed.certificate)


def test_a_pair_that_does_not_fit_leaves_a_context_in_use_as_it_was(tmp_path):
    """Whoever renews a certificate writes one of the two files first."""
    (tmp_path / "old").mkdir()
    files = TlsFiles.given(write_pair(tmp_path / "old", "localhost"))
    authority = tmp_path / "authority.pem"
    authority.write_bytes(files.certificate.read_bytes())
    context = make_context(files, "localhost", datetime.now(UTC))
    renewed = TlsFiles.given(write_pair(tmp_path, "localhost"))
    shutil.copy(renewed.certificate, files.certificate)
    with pytest.raises(Refused, match="is not the key of"):
        load_files(context, files, "localhost", datetime.now(UTC))
    assert shaken(context, authority) == "TLSv1.3"
    shutil.copy(renewed.key, files.key)
    load_files(context, files, "localhost", datetime.now(UTC))
    assert shaken(context, renewed.certificate) == "TLSv1.3"
