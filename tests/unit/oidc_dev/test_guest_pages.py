# SPDX-License-Identifier: Apache-2.0
"""There and back over HTTP: the links on our pages, what comes of them, and who else may use them."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest

from oidc_dev.app import make_app
from tests.unit.oidc_dev.abroad import IDP, Abroad
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import OOB, Html, Visitor, query_of


@pytest.fixture
def abroad(clock):
    return Abroad(clock)


@pytest.fixture
async def http(aiohttp_client, provider, directory, abroad):
    federation = abroad.federation(abroad.upstream(name="other", label="<Other>"), certified=True)
    return await aiohttp_client(make_app(provider, replace(directory, federation=federation)))


@pytest.fixture
def visitor(http):
    return Visitor(http)


def links(page: str) -> list[str]:
    """The links to other providers, in the order of the rows."""
    return [f"/auth/{a['href']}" for tag, a in Html(page).elements if tag == "a" and a.get("class") == "button"]


async def depart(http, abroad, link: str) -> dict[str, str]:
    """Go there; the query that the provider is sent."""
    answer = await http.get(link, allow_redirects=False)
    assert answer.status == 303, await answer.text()
    assert answer.headers["Location"].startswith(f"{IDP}/authorize?")
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    query = query_of(answer)
    abroad.nonce = query["nonce"]
    return query


async def arrive(http, query: dict[str, str], name: str = "corp", **more: str):
    """Come back with a code."""
    answer = {"state": query["state"], "code": "a code"} | more
    return await http.get(f"/auth/upstream/{name}/callback?{urlencode(answer)}", allow_redirects=False)


async def link_of(visitor, **changed: str | None) -> str:
    return links(await (await visitor.ask(**changed)).text())[0]


async def test_the_login_page_has_a_button_for_each_provider(visitor):
    page = await (await visitor.ask()).text()
    assert [urlsplit(link).path for link in links(page)] == ["/auth/upstream/corp", "/auth/upstream/other"]
    assert "Log in with Corp" in Html(page).text
    assert "Log in with <Other>" in Html(page).text


async def test_the_client_gets_a_code_and_its_token_speaks_of_the_guest(visitor, http, abroad):
    query = await depart(http, abroad, await link_of(visitor, nonce="n-1"))
    back = query_of(await arrive(http, query))
    assert back["state"] == "a state"
    body = await (await visitor.redeem(back["code"])).json()
    claims = jwt.decode(body["id_token"], options={"verify_signature": False})
    assert (claims["email"], claims["email_verified"], claims["sub"]) == ("bond@corp.example", True, "corp:007")
    assert (claims["nonce"], claims["federated_claims"]) == ("n-1", {"connector_id": IDP, "user_id": "007"})


async def test_out_of_band_the_code_is_shown(visitor, http, abroad):
    query = await depart(http, abroad, await link_of(visitor, redirect_uri=OOB))
    page = await arrive(http, query)
    assert page.status == 200
    assert "bond@corp.example" in await page.text()


async def test_no_session_begins(visitor, http, abroad):
    await arrive(http, await depart(http, abroad, await link_of(visitor)))
    assert "Go on as" not in await (await visitor.ask()).text()


async def test_a_program_on_another_device_gets_its_token(http, abroad):
    program = Program(http)
    begun = await program.begun()
    page = await http.get(f"/auth/device?{urlencode({'user_code': begun['user_code']})}")
    query = await depart(http, abroad, links(await page.text())[0])
    assert await program.error(begun["device_code"]) == "authorization_pending"
    done = await arrive(http, query)
    assert (done.status, "bond@corp.example" in await done.text()) == (200, True)
    assert "stay signed in" not in await done.text()
    body = await (await program.poll(begun["device_code"])).json()
    assert jwt.decode(body["id_token"], options={"verify_signature": False})["sub"] == "corp:007"


async def test_a_program_that_has_its_answer_gets_no_other(http, abroad):
    program = Program(http)
    begun = await program.begun()
    page = await http.get(f"/auth/device?{urlencode({'user_code': begun['user_code']})}")
    query = await depart(http, abroad, links(await page.text())[0])
    await program.decide(begun["user_code"], action="deny")
    assert (await arrive(http, query)).status == 404
    assert await program.error(begun["device_code"]) == "access_denied"


@pytest.mark.parametrize("value", ["", "x", "0" * 64])
@pytest.mark.parametrize("name", ["csrf", "request"])
async def test_a_link_that_was_not_shown_leads_nowhere(visitor, http, abroad, name, value):
    """O17."""
    parts = urlsplit(await link_of(visitor))
    query = {key: found for key, [found] in parse_qs(parts.query).items()} | {name: value}
    answer = await http.get(f"{parts.path}?{urlencode(query)}", allow_redirects=False)
    assert answer.status == 403
    assert abroad.asked == []


async def test_the_link_of_a_login_is_none_for_a_device(visitor, http, abroad):
    """What was shown about one thing is no good for another."""
    code = (await Program(http).begun())["user_code"].replace("-", "")
    csrf = parse_qs(urlsplit(await link_of(visitor)).query)["csrf"][0]
    link = f"/auth/upstream/corp?{urlencode({'user_code': code, 'csrf': csrf})}"
    assert (await http.get(link, allow_redirects=False)).status == 403
    assert abroad.asked == []


async def test_a_link_of_another_request_leads_nowhere(visitor, http):
    """The token of one link does not fit the request of another."""
    first, second = [urlsplit(await link_of(visitor, state=state)) for state in ("one", "two")]
    mixed = {"request": parse_qs(first.query)["request"][0], "csrf": parse_qs(second.query)["csrf"][0]}
    assert (await http.get(f"{first.path}?{urlencode(mixed)}", allow_redirects=False)).status == 403


async def test_another_browser_can_neither_go_nor_come_back(visitor, http, abroad, aiohttp_client):
    """O16."""
    link = await link_of(visitor)
    query = await depart(http, abroad, link)
    http.session.cookie_jar.clear()
    assert (await http.get(link, allow_redirects=False)).status == 403
    refused = await arrive(http, query)
    assert refused.status == 403
    assert "another browser" in await refused.text()


@pytest.mark.parametrize("path", ["nobody", "nobody/callback"])
async def test_a_provider_that_there_is_not(visitor, http, path):
    link = (await link_of(visitor)).replace("/corp", f"/{path}")
    assert (await http.get(link, allow_redirects=False)).status == 404


async def test_what_the_provider_says_is_shown_as_text(visitor, http, abroad):
    query = await depart(http, abroad, await link_of(visitor))
    refused = await arrive(http, query, error="<b>no</b>", error_description='"><script>alert(1)</script>')
    page = await refused.text()
    assert (refused.status, "<script>" in page, "<b>" in page) == (403, False, False)
    assert "refused the login" in page


async def test_without_other_providers_there_are_no_buttons_and_no_places(aiohttp_client, provider, directory):
    http = await aiohttp_client(make_app(provider, directory))
    assert links(await (await Visitor(http).ask()).text()) == []
    for path in ("corp", "corp/callback"):
        assert (await http.get(f"/auth/upstream/{path}")).status == 404
