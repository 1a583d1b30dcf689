# SPDX-License-Identifier: Apache-2.0
"""Imitated token sources of a stack for tests, and the personas that they speak for."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import jwt
import pytest
from aiohttp import web

from ca.issuers import Issuer, PinnedKeys
from ca.principal import make_principal
from ca.token import Claims
from client.packages.provenance import github_provenance
from oidc_dev.provider import Provider
from oidc_dev.signing import KeyRing, SigningKey, generate_rsa
from sigcore.errors import Malformed, NotFound
from sigcore.strict import Fields
from stack.ambient import Sources, make_routes
from stack.personas import ISSUERS, Persona, issuer_rows, load_shipped, parse_persona, parse_toml

KEY = SigningKey.of(generate_rsa())
OWN = Issuer("http://localhost:7780/auth", PinnedKeys([(KEY.id, KEY.key.public_key())]))
SANS = {
    "github-workflow": "https://github.com/octo-org/octo-app/.github/workflows/release.yml@refs/heads/main",
    "gitlab-pipeline": "https://gitlab.com/octo-group/octo-app//.gitlab-ci.yml@refs/heads/main",
    "buildkite-job": "https://buildkite.com/octo-org/octo-app",
    "circleci-job": (
        "https://circleci.com/api/v2/projects/1c2d3e4f-aaaa-4bbb-8ccc-0d0e0f101112"
        "/pipeline-definitions/5d6e7f80-9999-4888-8777-666655554444"
    ),
    "codefresh-workflow": (
        "https://g.codefresh.io/octo-org/octo-app/release:628a80b693a15c0f9c13ab75/65e5a53e52853dc51a5b0cc1"
    ),
    "kubernetes": "https://kubernetes.io/namespaces/build/serviceaccounts/signer",
    "spiffe": "spiffe://example.org/ns/build/sa/signer",
    "google-account": "signer@octo-app.iam.gserviceaccount.com",
}


@pytest.fixture
def provider():
    return Provider(OWN.url, KeyRing(KEY), lambda: datetime(2026, 11, 23, 12, 0, tzinfo=UTC))


# --- personas --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ISSUERS)
def test_a_shipped_persona_gets_the_certificate_of_its_kind(provider, name):
    row = {issuer.url: issuer for issuer in issuer_rows(OWN)}[ISSUERS[name].url]
    said = jwt.decode(load_shipped(name).token(provider), options={"verify_signature": False})
    assert (said["iss"], said["aud"]) == (row.url, "sigstore")
    principal = make_principal(Claims(row, said["sub"], Fields.of(said, "token")))
    assert principal.san.value == SANS[name]
    assert principal.extensions.issuer == row.url
    assert principal.subject == (said["email"] if name == "google-account" else said["sub"])


@pytest.mark.parametrize("name", ISSUERS)
def test_a_persona_is_told_to_others_without_loss(name):
    persona = load_shipped(name)
    assert parse_persona(Fields.of(json.loads(json.dumps(persona.document())), "persona")) == persona


@pytest.mark.parametrize("name", ["", "nobody", "../claims", "github-workflow.toml"])
def test_there_are_no_other_shipped_ones(name):
    with pytest.raises(NotFound, match="one of github-workflow"):
        load_shipped(name)


@pytest.mark.parametrize(
    "text",
    [
        "kind =",
        "claims = { x = 2026-01-01 }",
        "claims = { x = nan }",
        'kind = "other"',
        'iss = "x"',
        "claims = 1",
        "subject = 7",
    ],
)
def test_what_is_no_persona_is_malformed(text):
    with pytest.raises(Malformed):
        parse_toml(text.encode(), what="the persona")


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "email"])
def test_a_persona_cannot_restate_what_the_provider_says(provider, claim):
    with pytest.raises(Malformed, match=f"restate {claim}"):
        Persona(subject="x", claims={claim: "y"}, kind="github-workflow").token(provider)


# --- sources ---------------------------------------------------------------------------------------------------
@pytest.fixture
def sources(provider):
    return Sources(provider, "http://localhost:7780")


@pytest.fixture
async def http(aiohttp_client, sources):
    app = web.Application()
    app.add_routes(make_routes(sources))
    return await aiohttp_client(app)


@pytest.fixture
def github(sources):
    found = sources.add("github", load_shipped("github-workflow"))
    path = str(found["ACTIONS_ID_TOKEN_REQUEST_URL"]).removeprefix("http://localhost:7780")
    return path, str(found["ACTIONS_ID_TOKEN_REQUEST_TOKEN"])


async def test_a_job_asks_for_another_audience_and_gets_it(http, github):
    path, secret = github
    answer = await http.get(f"{path}&audience=other", headers={"Authorization": f"bearer {secret}"})
    token = (await answer.json())["value"]
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == "other"


@pytest.mark.parametrize("header", ["", "bearer", "bearer x", "Token {}", "Basic {}", "bearer {}x", "bearer \u00ff"])
async def test_without_the_sources_own_secret_nobody_gets_a_token(http, github, header):
    path, secret = github
    answer = await http.get(f"{path}&audience=sigstore", headers={"Authorization": header.format(secret)})
    assert (answer.status, answer.content_type) == (401, "text/plain")


async def test_the_secret_of_one_source_is_no_good_at_another(http, sources, github):
    path, _ = github
    other = sources.add("github", load_shipped("github-workflow"))["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    assert (await http.get(path, headers={"Authorization": f"bearer {other}"})).status == 401


async def test_a_source_that_is_not_there_is_not_found(http, github):
    answer = await http.get("/_ctl/ambient/0/github", headers={"Authorization": f"bearer {github[1]}"})
    assert answer.status == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"audience": 7}'])
async def test_an_agent_that_sends_no_request_is_told_so(http, sources, body):
    found = sources.add("buildkite", load_shipped("buildkite-job"))
    endpoint = str(found["BUILDKITE_AGENT_ENDPOINT"]).removeprefix("http://localhost:7780")
    headers = {"Authorization": f"Token {found['BUILDKITE_AGENT_ACCESS_TOKEN']}"}
    answer = await http.post(f"{endpoint}/jobs/1/oidc/tokens", data=body, headers=headers)
    assert answer.status == 400


def test_a_persona_that_makes_no_token_makes_no_source(sources):
    with pytest.raises(Malformed, match="neither an email nor a subject"):
        sources.add("github", Persona())
    with pytest.raises(NotFound, match="known: github, buildkite"):
        sources.add("jenkins", load_shipped("github-workflow"))


def test_a_job_of_github_is_told_of_itself_what_its_token_says(sources):
    persona = load_shipped("github-workflow")
    found = sources.add("github", persona)
    told = github_provenance({name: str(value) for name, value in found.items()})
    assert found["GITHUB_SHA"] == persona.claims["sha"]
    assert found["GITHUB_WORKFLOW_REF"] == persona.claims["workflow_ref"]
    assert str(persona.claims["repository"]) in json.dumps(told)
    assert not any(name.startswith("GITHUB_") for name in sources.add("buildkite", load_shipped("buildkite-job")))


async def test_sources_are_bounded_and_the_oldest_goes_first(http, sources, github, monkeypatch):
    monkeypatch.setattr("stack.ambient.MOST", 2)
    for _ in range(2):
        sources.add("github", load_shipped("github-workflow"))
    answer = await http.get(github[0], headers={"Authorization": f"bearer {github[1]}"})
    assert answer.status == 404
