# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from datetime import UTC, datetime

import jwt
import pytest
from aiohttp import web

from oidc_dev.app import make_app
from oidc_dev.claims import Identity
from oidc_dev.http import Provider, make_routes
from oidc_dev.signing import SigningKey, generate_rsa
from sigcore.errors import Malformed

ISSUER = "http://localhost:7780/auth"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def provider():
    return Provider(ISSUER, (SigningKey.of(generate_rsa()),), lambda: NOW)


@pytest.fixture
async def http(provider, aiohttp_client):
    return await aiohttp_client(make_app(provider))


async def test_discovery_carries_the_exact_issuer_and_is_open_to_browsers(http):
    answer = await http.get("/auth/.well-known/openid-configuration", headers={"Origin": "https://elsewhere.example"})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    document = await answer.json()
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]


async def test_every_published_endpoint_exists_below_the_issuer(http):
    document = await (await http.get("/auth/.well-known/openid-configuration")).json()
    for name, method in (("authorization_endpoint", "GET"), ("token_endpoint", "POST"), ("jwks_uri", "GET")):
        assert document[name].startswith(ISSUER + "/")
        answer = await http.request(method, document[name].removeprefix("http://localhost:7780"))
        assert answer.status != 404, name


async def test_a_minted_token_verifies_against_the_published_keys(http, provider):
    answer = await http.get("/auth/keys")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    keys = jwt.PyJWKSet.from_dict(await answer.json())
    token = provider.token(Identity(email="alice@example.com"), lifetime_s=60)
    claims = jwt.decode(
        token,
        keys.keys[0],
        algorithms=["RS256"],
        audience="sigstore",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == ISSUER
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/auth/auth?response_type=code&redirect_uri=https://evil.example", "unsupported_response_type"),
        ("POST", "/auth/auth", "unsupported_response_type"),
        ("POST", "/auth/token", "unsupported_grant_type"),
    ],
)
async def test_login_is_refused_honestly_and_never_redirected(http, method, path, code):
    answer = await http.request(method, path, allow_redirects=False)
    assert answer.status == 400
    assert answer.headers["Cache-Control"] == "no-store"
    body = await answer.json()
    assert body["error"] == code
    assert "`sigbox token`" in body["error_description"]
    assert "not built yet" in body["error_description"]


async def test_rotation_publishes_all_keys_and_signs_with_the_first(aiohttp_client):
    keys = (SigningKey.of(generate_rsa()), SigningKey.of(generate_rsa()))
    provider = Provider(ISSUER, keys, lambda: NOW)
    app = web.Application()
    app.add_routes(make_routes(provider))
    http = await aiohttp_client(app)
    published = await (await http.get("/auth/keys")).json()
    assert [key["kid"] for key in published["keys"]] == [key.id for key in keys]
    assert jwt.get_unverified_header(provider.token(Identity(subject="x")))["kid"] == keys[0].id


@pytest.mark.parametrize(
    "issuer", ["", "localhost/auth", "ftp://h/auth", "http://h/auth/", "http://h/a?b", "http://h/#f"]
)
def test_an_issuer_that_clients_could_not_compare_is_refused(issuer, provider):
    with pytest.raises(Malformed, match="issuer"):
        Provider(issuer, provider.keys, provider.clock)


def test_a_provider_needs_a_key():
    with pytest.raises(Malformed, match="no signing key"):
        Provider(ISSUER, (), lambda: NOW)
