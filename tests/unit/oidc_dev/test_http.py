# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import jwt
import pytest

from oidc_dev import http as http_module
from oidc_dev.claims import Identity
from oidc_dev.clients import DEVICE
from oidc_dev.provider import Provider
from sigcore.errors import Malformed
from tests.unit.oidc_dev.visitor import ISSUER


async def discovered(http):
    return await (await http.get("/auth/.well-known/openid-configuration")).json()


async def test_discovery_carries_the_exact_issuer_and_is_open_to_browsers(http):
    answer = await http.get("/auth/.well-known/openid-configuration", headers={"Origin": "https://elsewhere.example"})
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    document = await answer.json()
    assert document["issuer"] == ISSUER
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]


async def test_every_published_endpoint_exists_below_the_issuer(http):
    document = await discovered(http)
    endpoints = [value for name, value in document.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) == 5
    for url in endpoints:
        assert url.startswith(ISSUER + "/")
        answer = await http.request(
            "POST" if url.endswith(("token", "code")) else "GET", url.removeprefix("http://localhost:7780")
        )
        assert answer.status not in (404, 405, 500), url


async def test_discovery_promises_nothing_that_is_not_there(http):
    document = await discovered(http)
    assert document["grant_types_supported"] == ["authorization_code", DEVICE]
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    for absent in (
        "registration_endpoint",
        "end_session_endpoint",
        "authorization_response_iss_parameter_supported",
    ):
        assert absent not in document
    # Leaving it out would promise it (Discovery 1.0 section 3).
    assert document["request_uri_parameter_supported"] is False


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
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert claims["iss"] == ISSUER
    assert claims["exp"] - claims["iat"] == 60


async def test_the_style_sheet_is_part_of_the_package(http):
    answer = await http.get("/auth/style.css")
    assert (answer.status, answer.content_type) == (200, "text/css")


@pytest.mark.parametrize(
    "issuer", ["", "localhost/auth", "ftp://h/auth", "http://h/auth/", "http://h/a?b", "http://h/#f"]
)
def test_an_issuer_that_clients_could_not_compare_is_refused(issuer, provider):
    with pytest.raises(Malformed, match="issuer"):
        Provider(issuer, provider.keys, provider.clock)


async def test_what_could_not_be_assembled_for_the_first_is_assembled_for_the_next(http, monkeypatch):
    """A moment without file descriptors or memory must not close the login until a restart."""
    whole, failures = http_module.assemble, [OSError("too many open files")]

    def assemble(*arguments):
        if failures:
            raise failures.pop()
        return whole(*arguments)

    monkeypatch.setattr(http_module, "assemble", assemble)
    statuses = [(await http.get("/auth/style.css")).status for _ in range(3)]
    assert statuses == [500, 200, 200]
