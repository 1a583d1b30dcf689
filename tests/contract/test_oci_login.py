# SPDX-License-Identifier: Apache-2.0
"""A real registry that wants credentials: by password or by token, over TLS of an authority of its own."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from base64 import b64encode
from contextlib import asynccontextmanager
from pathlib import Path

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from client.oci.http import HttpRegistry
from client.oci.options import Credential, RegistryOptions
from client.oci.reference import parse_reference
from client.transport import ServiceRefused
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from tests.registries import PASSWORD, USER, certified, docker_registry, htpasswd
from tests.registry_images import push_image, push_note

ALICE = Credential(USER, PASSWORD)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory, tls):
    """TLS and passwords."""
    folder = tmp_path_factory.mktemp("secured")
    with docker_registry(folder, auth=htpasswd(folder), tls=tls) as running:
        yield running


def client(tls, home: Path | None = None, **options) -> HttpRegistry:
    options = {"ca_file": str(tls.published), "backoff_s": 0.01, **options}
    return HttpRegistry(RegistryOptions(**options), environment={"HOME": str(home or "/nonexistent")})


def docker_config(home: Path, **members) -> Path:
    (home / ".docker").mkdir()
    (home / ".docker" / "config.json").write_text(json.dumps(members))
    return home


def entry(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"auth": b64encode(f"{user}:{password}".encode()).decode()}


async def round_trip(registry: HttpRegistry, image: str, running) -> None:
    ref = running.image(image)
    pushed = await push_image(registry, ref)
    await push_note(registry, pushed)
    assert len(await registry.referrers(pushed)) == 1
    assert (await registry.resolve(ref)).digest == pushed.digest


async def test_user_and_password_given_by_the_user(secured, tls):
    async with client(tls, credential=ALICE) as registry:
        await round_trip(registry, "team/given", secured)


async def test_user_and_password_from_dockers_configuration(secured, tls, tmp_path):
    home = docker_config(tmp_path, auths={secured.address: entry()})
    async with client(tls, home) as registry:
        await round_trip(registry, "team/configured", secured)


async def test_user_and_password_from_a_credential_helper(secured, tls, tmp_path, monkeypatch):
    helper = tmp_path / "docker-credential-tests"
    answer = json.dumps({"ServerURL": secured.address, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\nread server\n[ \"$1 $server\" = 'get {secured.address}' ] && echo '{answer}'\n")
    helper.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    home = docker_config(tmp_path, credHelpers={secured.address: "tests"})
    async with HttpRegistry(
        RegistryOptions(ca_file=str(tls.published)),
        environment={"HOME": str(home), "PATH": f"{tmp_path}:/bin:/usr/bin"},
    ) as registry:
        await round_trip(registry, "team/helped", secured)


async def test_without_credentials_the_message_says_how_to_give_some(secured, tls):
    async with client(tls) as registry:
        with pytest.raises(ServiceRefused, match="UNAUTHORIZED") as refused:
            await registry.resolve(secured.image("team/app"))
    assert (
        refused.value.hint
        == f"it wants credentials and none are here: docker login {secured.address}, or --registry-username"
    )


async def test_a_wrong_password_is_refused_and_not_shown(secured, tls):
    async with client(tls, credential=Credential(USER, "wrong password")) as registry:
        with pytest.raises(ServiceRefused, match="401") as refused:
            await registry.resolve(secured.image("team/app"))
    assert refused.value.hint == "the credentials were not accepted"
    assert "wrong password" not in str(refused.value)


async def test_a_password_for_another_port_of_the_host_is_not_for_this_registry(secured, tls, tmp_path):
    host, _, port = secured.address.partition(":")
    others = (host, f"{host}:{int(port) + 1}", f"{secured.address}.example", f"x{secured.address}")
    home = docker_config(tmp_path, auths={other: entry() for other in others})
    async with client(tls, home) as registry:
        with pytest.raises(ServiceRefused, match="401"):
            await registry.resolve(secured.image("team/app"))


async def test_an_authority_that_is_not_known_is_named(secured, tls):
    async with HttpRegistry(RegistryOptions(credential=ALICE)) as registry:
        with pytest.raises(
            Unavailable, match=r"shows a TLS certificate by .* which is not trusted here"
        ) as unavailable:
            await registry.resolve(secured.image("team/app"))
    assert "--registry-cacert" in unavailable.value.hint


@pytest.mark.parametrize("option", ["ca_file", "client_cert"])
async def test_a_file_of_certificates_that_is_missing_or_damaged_is_named_before_any_request(tmp_path, option):
    damaged = tmp_path / "damaged.pem"
    damaged.write_text("nonsense")
    for path, kind in ((tmp_path / "missing.pem", NotFound), (damaged, Malformed)):
        with pytest.raises(kind, match=path.name):
            async with HttpRegistry(RegistryOptions(**{option: str(path)})):
                pass


async def test_no_certificate_is_checked_when_the_user_says_so(secured):
    options = RegistryOptions(allow_insecure=True, credential=ALICE)
    async with HttpRegistry(options) as registry:
        await round_trip(registry, "team/insecure", secured)


# --- tokens ------------------------------------------------------------------------------------------
class TokenService:
    """What docker-registry's documentation describes: a signed list of what a user may do."""

    def __init__(self, tls) -> None:
        self.tls = tls
        self.asked: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        wanted = dict(request.query) or dict(await request.post())
        self.asked.append(wanted)
        user = request.headers.get("Authorization", "") == f"Basic {entry()['auth']}"
        if not (user or wanted.get("refresh_token") == "refresh"):
            return web.json_response({"errors": [{"code": "UNAUTHORIZED", "message": "who is it"}]}, status=401)
        kind, name, actions = wanted["scope"].split(":")
        now = int(time.time())
        claims = {"iss": "tests", "sub": USER, "aud": wanted["service"], "exp": now + 60, "nbf": now - 60, "iat": now}
        claims |= {"jti": str(len(self.asked)), "access": [{"type": kind, "name": name, "actions": actions.split(",")}]}
        der = x509.load_pem_x509_certificate(self.tls.certificate.read_bytes()).public_bytes(serialization.Encoding.DER)
        headers = {"x5c": [b64encode(der).decode()]}
        return web.json_response({"token": jwt.encode(claims, self.tls.key.read_bytes(), "ES256", headers)})


@asynccontextmanager
async def token_registry(folder: Path, tls):
    """docker-registry and the service that it sends its clients to."""
    service = TokenService(tls)
    app = web.Application()
    app.router.add_route("*", "/token", service.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        realm = str(server.make_url("/token"))
        auth = {"realm": realm, "service": "registry", "issuer": "tests", "rootcertbundle": str(tls.published)}
        with docker_registry(folder, auth={"token": auth}) as running:
            yield running, service, f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "credential", [ALICE, Credential(identity_token="refresh")], ids=["password", "identity token"]
)
async def test_a_token_is_got_for_what_is_done_and_used_again(tmp_path, tls, credential):
    async with token_registry(tmp_path, tls) as (running, service, host):
        options = RegistryOptions(credential=credential, token_hosts=(host,))
        async with HttpRegistry(options) as registry:
            await round_trip(registry, "team/app", running)
    scopes = [asked["scope"].rpartition(":") for asked in service.asked]
    assert [(name, sorted(actions.split(","))) for name, _, actions in scopes] == [
        ("repository:team/app", ["pull"]),
        ("repository:team/app", ["pull", "push"]),
    ]
    assert {asked["service"] for asked in service.asked} == {"registry"}


async def test_a_token_service_that_does_not_belong_to_the_registry_gets_no_password(tmp_path, tls):
    async with token_registry(tmp_path, tls) as (running, service, _):
        async with HttpRegistry(RegistryOptions(credential=ALICE)) as registry:
            with pytest.raises(Refused, match="a host that does not belong to it by its name") as refused:
                await registry.resolve(running.image("team/app"))
        assert "--registry-token-host 127.0.0.1" in refused.value.hint
        assert service.asked == []


async def test_a_token_service_that_says_no_is_quoted(tmp_path, tls):
    async with token_registry(tmp_path, tls) as (running, _, host):
        options = RegistryOptions(credential=Credential(USER, "wrong password"), token_hosts=(host,))
        async with HttpRegistry(options) as registry:
            with pytest.raises(ServiceRefused, match=r"the token service .*/token' answered 401"):
                await registry.resolve(running.image("team/app"))


async def test_a_server_that_waits_for_a_line_is_one_of_plain_http(monkeypatch):
    monkeypatch.setattr("client.oci.transport.TLS_PATIENCE_S", 0.1)

    async def patient(reader, writer):
        asked = await reader.readline()
        if asked.startswith(b"GET "):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(patient, "127.0.0.1", 0)
    async with server, HttpRegistry(RegistryOptions(), environment={"HOME": "/nonexistent"}) as registry:
        with pytest.raises(NotFound, match="http://127"):
            await registry.resolve(parse_reference(f"127.0.0.1:{server.sockets[0].getsockname()[1]}/team/app"))
