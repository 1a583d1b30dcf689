# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca.issuers import ALGORITHMS, CHALLENGE_CLAIMS, Issuer, IssuerTable, PinnedKeys, token_key
from ca.ports import TokenKey
from ca.principal import SANS
from sigcore import keys
from sigcore.errors import Malformed, Refused

KEY = keys.generate_p256().public_key()
KEYS = PinnedKeys([("a", KEY)])


async def test_a_key_is_found_by_its_exact_id():
    assert await KEYS.find("a") == TokenKey(KEY, "ES256")
    with pytest.raises(Refused, match="no key with the id 'A'"):
        await KEYS.find("A")


def test_a_pinned_set_has_keys_and_unique_ids():
    for pairs in ((), [("a", KEY)] * 2):
        with pytest.raises(Malformed, match="empty or has one key id twice"):
            PinnedKeys(pairs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "localhost"}, "expected an http"),
        ({"url": "https://a b"}, "expected an http"),
        ({"url": "https://a\n"}, "expected an http"),
        ({"audience": ""}, "no audience"),
        ({"kind": "saml"}, "kind 'saml'"),
        ({"kind": "spiffe"}, "has no trust domain"),
        ({"kind": "uri"}, "subject domain"),
        ({"subject_domain": "https://a"}, "subject domain"),
        ({"kind": "uri", "subject_domain": "a.example"}, "expected https://host"),
        ({"kind": "uri", "subject_domain": "https://a.example/"}, "expected https://host"),
        ({"kind": "uri", "subject_domain": "https://u@a.example"}, "expected https://host"),
        ({"kind": "own", "subject_domain": "https://a.example"}, "subject domain"),
    ],
)
def test_an_issuer_that_could_not_be_meant_is_refused(changes, message):
    with pytest.raises(Malformed, match=message):
        Issuer(**{"url": "https://a.example", "keys": KEYS} | changes)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (KEY, "ES256"),
        (ec.generate_private_key(ec.SECP384R1()).public_key(), "ES384"),
        (ed25519.Ed25519PrivateKey.generate().public_key(), "EdDSA"),
        (rsa.generate_private_key(65537, 2048).public_key(), "RS256"),
    ],
)
def test_each_key_has_one_algorithm(key, algorithm):
    assert token_key(key) == TokenKey(key, algorithm)
    assert algorithm in ALGORITHMS


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - refused, that is the test
        rsa.generate_private_key(3, 2048),
    ],
)
def test_a_key_that_tokens_are_not_checked_with(key):
    with pytest.raises(Refused, match="the issuer's key is"):
        PinnedKeys([("a", key.public_key())])


# The pairs are those of Fulcio's own rule (pkg/config: isURISubjectAllowed).
@pytest.mark.parametrize(
    ("url", "domain", "good"),
    [
        ("https://accounts.example.com", "https://example.com", True),
        ("https://accounts.example.com", "https://accounts.example.com", True),
        ("https://accounts.example.com/realms/a", "https://users.example.com:8443", True),
        ("http://localhost:7780/auth", "http://localhost", True),
        ("https://accounts.example.com", "http://example.com", False),
        ("https://accounts.example.com", "https://example.org", False),
        ("https://accounts.example.com", "https://com", False),
        ("https://com", "https://example.com", False),
        ("https://10.0.0.1", "https://192.168.0.1", False),
        ("https://10.0.0.1", "https://10.0.0.1", True),
        ("https://example.com.evil.example", "https://example.com", False),
        ("https://evil.example?x=example.com", "https://example.com", False),
        ("https://u@example.com", "https://example.com", False),
    ],
)
def test_an_issuer_answers_for_its_own_domain_only(url, domain, good):
    if good:
        Issuer(url, KEYS, kind="uri", subject_domain=domain)
        return
    with pytest.raises(Malformed, match="cannot answer for subjects of"):
        Issuer(url, KEYS, kind="uri", subject_domain=domain)


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
