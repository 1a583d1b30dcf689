# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from ca.issuers import CHALLENGE_CLAIMS, Issuer, IssuerTable, PinnedKeys
from ca.principal import SANS
from sigcore import keys
from sigcore.errors import Malformed, Refused

KEYS = PinnedKeys((("a", keys.generate_p256().public_key()),))


async def test_a_key_is_found_by_its_exact_id():
    assert await KEYS.find("a") is KEYS.keys[0][1]
    with pytest.raises(Refused, match="no key with the id 'A'"):
        await KEYS.find("A")


def test_a_pinned_set_has_keys_and_unique_ids():
    for pairs in ((), KEYS.keys * 2):
        with pytest.raises(Malformed, match="empty or has one key id twice"):
            PinnedKeys(pairs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "localhost"}, "expected an http"),
        ({"url": "https://a b"}, "expected an http"),
        ({"url": "https://a\n"}, "expected an http"),
        ({"audience": ""}, "no audience"),
        ({"algorithm": "HS256"}, "HS256"),
        ({"algorithm": "none"}, "none"),
        ({"kind": "spiffe"}, "kind 'spiffe'"),
        ({"kind": "uri"}, "subject domain"),
        ({"subject_domain": "https://a"}, "subject domain"),
        ({"kind": "uri", "subject_domain": "a.example"}, "expected https://host"),
        ({"kind": "uri", "subject_domain": "https://a.example/"}, "expected https://host"),
        ({"kind": "uri", "subject_domain": "https://u@a.example"}, "expected https://host"),
    ],
)
def test_an_issuer_that_could_not_be_meant_is_refused(changes, message):
    with pytest.raises(Malformed, match=message):
        Issuer(**{"url": "https://a.example", "keys": KEYS} | changes)


def test_the_table_is_exact_and_without_duplicates():
    issuer = Issuer("https://a.example", KEYS)
    table = IssuerTable([issuer])
    assert table.find("https://a.example") is issuer
    assert list(table) == [issuer]
    for url in ("https://a.example/", "https://A.example", "https://a.exampl", "https://a.example?x=https://a.example"):
        with pytest.raises(Refused, match="not accepted here"):
            table.find(url)
    with pytest.raises(Malformed, match="twice"):
        IssuerTable([issuer, issuer])


def test_every_kind_has_a_challenge_and_a_name():
    assert set(CHALLENGE_CLAIMS) == set(SANS)
