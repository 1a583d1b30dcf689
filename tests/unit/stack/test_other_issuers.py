# SPDX-License-Identifier: Apache-2.0
"""Other issuers of a stack for tests: files that come and go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import jwt
import pytest
from aiohttp import web

from ca.issuers import Issuer, IssuerTable
from ca.principal import make_principal
from ca.token import verify_token
from oidc_dev.claims import Identity
from oidc_dev.signing import generate_rsa
from sigcore.errors import Malformed, NotFound, Refused
from stack import bootstrap, other_issuers
from stack.config import Home
from stack.other_issuers import OtherIssuers, WithOthers, make_routes

URL, NOW = "http://localhost:7780", datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OWN = Issuer(f"{URL}/auth")


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "data")


@pytest.fixture
def settings(home):
    return bootstrap.prepare(home, url=URL, default_url=URL, ephemeral=True, now=NOW)


@pytest.fixture
def others(home, settings):
    return OtherIssuers(home, settings, lambda: NOW)


@pytest.fixture
def table(others):
    return WithOthers(IssuerTable([OWN]), others)


@pytest.mark.parametrize(
    "identity", [Identity(email="alice@example.com"), Identity(subject="https://ci.example.com/7")]
)
async def test_its_tokens_speak_of_people_and_of_machines_in_its_name(others, table, identity):
    provider = others.create("one")
    assert provider.issuer == f"{URL}/_ctl/issuers/one"
    claims = await verify_token(provider.token(identity), table, now=NOW)
    principal = make_principal(claims)
    assert (principal.san.value, principal.extensions.issuer) == (identity.email or identity.subject, provider.issuer)


async def test_the_key_of_one_is_no_good_under_the_name_of_another(others, table):
    one, two = others.create("one"), others.create("two")
    claims = jwt.decode(one.token(Identity(email="a@b.example")), options={"verify_signature": False})
    key = one.keys.signing
    for kid, reason in ((key.id, "no key with the id"), (two.keys.signing.id, "signature does not verify")):
        token = jwt.encode(claims | {"iss": two.issuer}, key.key, "RS256", {"kid": kid})
        with pytest.raises(Refused, match=reason):
            await verify_token(token, table, now=NOW)


def test_the_table_is_as_they_are_at_each_moment(others, table):
    assert [row.url for row in table] == [OWN.url]
    others.create("two")
    others.create("one")
    assert [row.url for row in table] == [OWN.url, f"{URL}/_ctl/issuers/one", f"{URL}/_ctl/issuers/two"]
    others.remove("two")
    assert [row.url for row in table] == [OWN.url, f"{URL}/_ctl/issuers/one"]
    assert table.find(OWN.url) is OWN
    for url in (
        f"{URL}/_ctl/issuers/two",
        f"{URL}/_ctl/issuers/",
        f"{URL}/_ctl/issuers/one/",
        f"{URL}/_ctl/issuers/../one",
    ):
        with pytest.raises(Refused, match="is not accepted here"):
            table.find(url)


def test_another_process_of_the_stack_knows_them_too(others, home, settings):
    elsewhere = OtherIssuers(home, settings, lambda: NOW)
    first = others.create("one").keys.signing.id
    assert elsewhere.provider("one").keys.signing.id == first
    others.remove("one")
    with pytest.raises(NotFound, match="PUT /_ctl/issuers/NAME"):
        elsewhere.provider("one")
    again = others.create("one").keys.signing.id
    assert elsewhere.provider("one").keys.signing.id == again != first


def test_who_asks_for_one_twice_at_once_gets_one(others):
    with ThreadPoolExecutor(4) as pool:
        assert len({made.keys.signing.id for made in pool.map(others.create, ["one"] * 8)}) == 1


def test_there_is_an_end_to_them(others, monkeypatch):
    key = generate_rsa()
    monkeypatch.setattr(other_issuers, "generate_rsa", lambda: key)
    monkeypatch.setattr(other_issuers, "MOST", 3)
    for name in ("one", "two", "three"):
        others.create(name)
    with pytest.raises(Refused, match="there are 3 other issuers"):
        others.create("four")
    others.create("three")
    others.remove("one")
    others.create("four")


@pytest.mark.parametrize("name", ["", "A", "a_b", "a.b", "-a", "a-", "a/b", "..", "a" * 64, "\u00e9", "a\n"])
def test_what_is_no_name_makes_none(others, name, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Malformed, match="the issuer's name is"):
        others.create(name)
    with pytest.raises(NotFound):
        others.remove(name)
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_relying_party_finds_its_key(others, aiohttp_client):
    app = web.Application()
    app.add_routes(make_routes(others))
    http = await aiohttp_client(app)
    provider = others.create("one")
    answer = await http.get("/_ctl/issuers/one/.well-known/openid-configuration")
    document = await answer.json()
    assert (document["issuer"], answer.headers["Cache-Control"]) == (provider.issuer, "no-store")
    keys = await (await http.get(document["jwks_uri"].removeprefix(URL))).json()
    token = provider.token(Identity(email="a@b.example"), now=datetime.now(UTC))
    assert jwt.decode(token, jwt.PyJWK(keys["keys"][0]), audience="sigstore")["iss"] == provider.issuer
    assert (await http.get("/_ctl/issuers/two/keys")).status == 404
