# SPDX-License-Identifier: Apache-2.0
"""O12, O24: keys that are found by discovery, how often they are fetched, and from where they are not taken."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from ca import discovery
from ca.discovery import FRESH_S, NEW_PER_MINUTE, RETRY_S, STALE_S, DiscoveredKeys, MatchedKeys
from ca.jwks import parse_fetched_jwks
from ca.ports import TokenKey
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from tests.unit.ca.test_jwks import BAD, KEYS, jwk, key_set

URL = "https://idp.example/realms/a"
WELL_KNOWN = f"{URL}/.well-known/openid-configuration"
JWKS = "https://idp.example/keys"


class World:
    """Documents by URL, a clock, and what was asked for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[str] = []
        self.documents = {
            WELL_KNOWN: json.dumps({"issuer": URL, "jwks_uri": JWKS}).encode(),
            JWKS: key_set(jwk("ES256"), jwk("RS256")),
        }

    async def fetch(self, url, *, limit):
        self.asked.append(url)
        await asyncio.sleep(0)
        found = self.documents.get(url)
        if found is None:
            raise Unavailable(f"{url} has an internal address 10.0.0.7")
        assert len(found) <= limit
        return found

    def discovered(self, **members):
        self.documents[WELL_KNOWN] = json.dumps({"issuer": URL, "jwks_uri": JWKS} | members).encode()

    def keys(self, url=URL, **options):
        return DiscoveredKeys(url, self.fetch, monotonic=lambda: self.now, **options)


@pytest.fixture
def world():
    return World()


async def test_keys_are_found_and_kept(world):
    keys = world.keys()
    for _ in range(10):
        assert await keys.find("ES256") == TokenKey(KEYS["ES256"].public_key(), "ES256")
    assert (await keys.find("RS256")).algorithm == "RS256"
    assert world.asked == [WELL_KNOWN, JWKS]


async def test_a_slash_at_the_end_of_the_issuer_is_not_doubled(world):
    world.documents["https://idp.example/.well-known/openid-configuration"] = json.dumps(
        {"issuer": "https://idp.example/", "jwks_uri": JWKS}
    ).encode()
    await world.keys("https://idp.example/").find("ES256")


async def test_where_the_operator_says_the_keys_are_nothing_is_discovered(world):
    place = "https://10.0.0.1:6443/openid/v1/jwks"
    world.documents[place] = key_set(jwk("ES256"))
    await world.keys(jwks_uri=place).find("ES256")
    assert world.asked == [place]


# --- how often ---------------------------------------------------------------------------------------------------
async def test_ten_thousand_unknown_ids_are_two_fetches(world):
    keys = world.keys()
    await keys.find("ES256")
    world.now += RETRY_S + 1
    for number in range(10_000):
        with pytest.raises(Refused, match="no key with the id"):
            await keys.find(f"random-{number}")
    assert world.asked.count(JWKS) == 2


async def test_those_who_ask_at_once_wait_for_one_fetch(world):
    keys = world.keys()
    await asyncio.gather(*(keys.find("ES256") for _ in range(50)))
    assert world.asked == [WELL_KNOWN, JWKS]


async def test_a_new_key_is_found_and_a_withdrawn_one_is_forgotten(world):
    keys = world.keys()
    await keys.find("ES256")
    world.documents[JWKS] = key_set(jwk("ES384"))
    with pytest.raises(Refused):
        await keys.find("ES384")  # it was just asked
    world.now += RETRY_S + 1
    assert (await keys.find("ES384")).algorithm == "ES384"
    with pytest.raises(Refused):
        await keys.find("ES256")


async def test_a_withdrawn_key_is_not_taken_longer_than_a_set_is_fresh(world):
    keys = world.keys()
    await keys.find("ES256")
    world.documents[JWKS] = key_set(jwk("ES384"))
    world.now += FRESH_S - 1
    await keys.find("ES256")
    world.now += 2
    with pytest.raises(Refused):
        await keys.find("ES256")


async def test_an_issuer_that_is_away_is_served_from_what_is_known_for_a_day(world):
    keys = world.keys()
    await keys.find("ES256")
    world.documents.clear()
    world.now += STALE_S - 1
    assert (await keys.find("ES256")).algorithm == "ES256"
    world.now += 2
    for _ in range(100):
        with pytest.raises(Unavailable, match="cannot be read now"):
            await keys.find("ES256")
    assert world.asked.count(WELL_KNOWN) == 2
    assert not keys.empty


async def test_a_failure_is_tried_again_after_a_pause_and_not_before(world):
    world.documents.pop(JWKS)
    keys = world.keys()
    for _ in range(100):
        with pytest.raises(Unavailable, match="tried again in 30 s"):
            await keys.find("ES256")
    assert len(world.asked) == 2
    assert keys.empty
    world.documents[JWKS] = key_set(jwk("ES256"))
    world.now += RETRY_S + 1
    await keys.find("ES256")


async def test_who_has_a_known_key_does_not_wait_for_an_issuer_that_hangs(world, monkeypatch):
    monkeypatch.setattr(discovery, "PATIENCE_S", 0.05)
    keys = world.keys()
    await keys.find("ES256")
    answers, hang = asyncio.Event(), world.fetch

    async def hangs(url, *, limit):
        await answers.wait()
        return await hang(url, limit=limit)

    keys._fetch = hangs
    world.now += FRESH_S + 1
    assert (await asyncio.wait_for(keys.find("ES256"), 60)).algorithm == "ES256"
    unknown = asyncio.create_task(keys.find("ES384"))
    await asyncio.sleep(0.1)
    assert not unknown.done()  # who asks for a new key waits, and for the same fetch
    world.documents[JWKS] = key_set(jwk("ES384"))
    answers.set()
    assert (await unknown).algorithm == "ES384"
    assert world.asked.count(JWKS) == 2


async def test_who_goes_away_takes_the_fetch_from_nobody(world):
    keys = world.keys()
    impatient = asyncio.create_task(keys.find("ES256"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await keys.find("ES256")).algorithm == "ES256"
    assert world.asked == [WELL_KNOWN, JWKS]
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_fault_of_ours_is_logged_and_stops_nobody_for_good(world, caplog):
    keys = world.keys()

    async def broken(url, *, limit):
        raise RuntimeError("secret detail")

    good, keys._fetch = keys._fetch, broken
    with pytest.raises(Unavailable) as caught:
        await keys.find("ES256")
    assert "secret detail" not in str(caught.value)
    assert "secret detail" in caplog.text
    keys._fetch = good
    world.now += RETRY_S + 1
    await keys.find("ES256")


# --- from where ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "issuer",
    [
        "https://idp.example/realms/b",
        "https://idp.example/realms/a/",
        "https://IDP.example/realms/a",
        "",
        7,
        None,
        [URL],
    ],
)
async def test_the_discovery_document_must_be_that_of_the_issuer(world, issuer, caplog):
    world.discovered(issuer=issuer)
    with pytest.raises(Unavailable):
        await world.keys().find("ES256")
    assert JWKS not in world.asked
    assert "issuer" in caplog.text


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/keys",
        "https://idp.example.evil.example/keys",
        "https://idp.example:8443/keys",
        "https://u@idp.example/keys",
        "https://idp.example@evil.example/keys",
        "http://idp.example/keys",
        "file:///etc/passwd",
        "data:application/json,{}",
        "//idp.example/keys",
        "/keys",
        "https://idp.example/ keys",
        "https://idp.example\\@evil.example/",
        "",
        None,
        7,
    ],
)
async def test_keys_are_on_the_issuers_own_host(world, place):
    world.discovered(jwks_uri=place)
    with pytest.raises(Unavailable):
        await world.keys().find("ES256")
    assert world.asked == [WELL_KNOWN]


async def test_or_on_the_one_host_that_the_operator_allows(world, caplog):
    world.discovered(jwks_uri="https://keys.example/idp")
    world.documents["https://keys.example/idp"] = key_set(jwk("ES256"))
    with pytest.raises(Unavailable):
        await world.keys().find("ES256")
    assert "add jwks-host: keys.example" in caplog.text
    assert (await world.keys(jwks_host="keys.example").find("ES256")).algorithm == "ES256"


async def test_googles_keys_are_where_google_has_them(world):
    google = "https://accounts.google.com"
    place = "https://www.googleapis.com/oauth2/v3/certs"
    world.documents = {
        f"{google}/.well-known/openid-configuration": json.dumps({"issuer": google, "jwks_uri": place}).encode(),
        place: key_set(jwk("RS256")),
    }
    assert (await world.keys(google).find("RS256")).algorithm == "RS256"


@pytest.mark.parametrize("url", ["http://idp.example", "http://10.0.0.1/dex", "http://localhost.example/"])
def test_keys_do_not_come_over_plain_http_but_from_this_machine(world, url):
    with pytest.raises(Refused, match="over plain HTTP"):
        world.keys(url)
    with pytest.raises(Refused, match="over plain HTTP"):
        world.keys(jwks_uri=url)
    for here in ("http://localhost:5556/dex", "http://127.0.0.1:5556/dex", "http://[::1]:1/", "http://dex.localhost/"):
        world.keys(here)


async def test_the_requester_is_not_told_what_the_operator_is(world, caplog):
    world.documents.pop(WELL_KNOWN)
    with pytest.raises(Unavailable) as caught:
        await world.keys().find("ES256")
    assert "10.0.0.7" not in str(caught.value)
    assert "the CA's log says why" in str(caught.value)
    assert "10.0.0.7" in caplog.text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b"\xff", b'{"issuer":1,"issuer":2}', b" " * limits.DISCOVERY]
)
async def test_a_document_that_is_none(world, body):
    for place in (WELL_KNOWN, JWKS):
        world = World()
        world.documents[place] = body
        with pytest.raises(Unavailable):
            await world.keys().find("ES256")


# --- sets with keys that are no good ------------------------------------------------------------------------------
ONE_KEY = {
    case: json.loads(data)["keys"][0]
    for case, (data, _, _) in BAD.items()
    if data.startswith(b'{"keys": [{') and case not in ("too many", "only for encryption", "one id twice")
}


@pytest.mark.parametrize("case", ONE_KEY)
async def test_a_bad_key_does_not_take_the_good_one_with_it(case):
    good = jwk("RS256", kid="good")
    found, left_out = parse_fetched_jwks(key_set(ONE_KEY[case], good))
    assert (await found.find("good")).algorithm == "RS256"
    assert len(left_out) == 1
    with pytest.raises(Refused):
        await found.find(str(ONE_KEY[case].get("kid")))


async def test_of_two_keys_with_one_id_neither_is_taken():
    found, left_out = parse_fetched_jwks(
        key_set(jwk("RS256", kid="a"), jwk("ES256", kid="a"), jwk("ES256", kid="b"), jwk("ES384", kid="a"))
    )
    with pytest.raises(Refused):
        await found.find("a")
    assert (await found.find("b")).algorithm == "ES256"
    assert left_out == ("the key set has the id 'a' more than once",) * 2


@pytest.mark.parametrize("data", [key_set(), key_set(jwk("RS256", use="enc")), key_set({"kty": "oct", "kid": "a"})])
def test_a_set_without_any_good_key_is_none(data):
    with pytest.raises(Malformed, match="no key that can be used"):
        parse_fetched_jwks(data)


@pytest.mark.parametrize(
    "case", ["too many", "too long", "no JSON", "a list", "no keys", "keys null", "duplicate member"]
)
def test_the_whole_set_has_the_same_bounds(case):
    with pytest.raises(SigError):
        parse_fetched_jwks(BAD[case][0])


# --- the issuers of a pattern --------------------------------------------------------------------------------------
def matched(world, urls):
    for url in urls:
        world.documents[f"{url}/.well-known/openid-configuration"] = json.dumps(
            {"issuer": url, "jwks_uri": f"{url}/keys"}
        ).encode()
        world.documents[f"{url}/keys"] = key_set(jwk("ES256"))
    return MatchedKeys(world.keys, monotonic=lambda: world.now)


async def test_each_issuer_of_a_pattern_has_keys_of_its_own(world):
    sets = matched(world, ["https://a.example", "https://b.example"])
    for url in ("https://a.example", "https://b.example"):
        await sets.of(url).find("ES256")
        await sets.of(url).find("ES256")
    assert len(world.asked) == 4


async def test_no_more_new_issuers_a_minute_than_are_allowed(world, caplog):
    caplog.set_level(logging.CRITICAL)
    sets = matched(world, ["https://good.example"])
    await sets.of("https://good.example").find("ES256")
    refused = 0
    for number in range(1000):
        with pytest.raises(Unavailable) as caught:
            await sets.of(f"https://x{number}.example").find("a")
        refused += "first time" in str(caught.value)
    assert refused == 1000 - (NEW_PER_MINUTE - 1)
    assert len(world.asked) == 2 + NEW_PER_MINUTE - 1
    assert (await sets.of("https://good.example").find("ES256")).algorithm == "ES256"


async def test_issuers_that_nobody_ever_had_keys_of_do_not_push_out_the_others(world, caplog):
    caplog.set_level(logging.CRITICAL)
    sets = matched(world, ["https://good.example"])
    await sets.of("https://good.example").find("ES256")
    asked = len(world.asked)
    for number in range(limits.ISSUERS + 50):
        world.now += 3
        with pytest.raises(Unavailable):
            await sets.of(f"https://x{number}.example").find("a")
    assert len(sets._sets) == limits.ISSUERS
    world.asked.clear()
    world.now += FRESH_S
    await sets.of("https://good.example").find("ES256")
    assert len(world.asked) == asked


async def test_a_key_that_is_unknown_while_its_issuer_is_away_is_no_fault_of_the_token(world):
    """The token may be signed with a key that was published meanwhile: come back, not go away."""
    keys = world.keys()
    await keys.find("ES256")
    document = world.documents.pop(JWKS)
    world.now += RETRY_S + 1
    with pytest.raises(Unavailable, match="no such key"):
        await keys.find("fresh")
    assert await keys.find("ES256")
    world.documents[JWKS] = document
    world.now += RETRY_S + 1
    with pytest.raises(Refused):
        await keys.find("fresh")
