# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from oidc_dev.signing import OVERLAP, KeyRing, PublishedKey, SigningKey, generate_rsa, jwks, mint
from sigcore.strict import parse_base64url

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def key():
    return SigningKey.of(generate_rsa())


def test_the_id_is_the_rfc_7638_thumbprint_of_its_own_example():
    # RFC 7638 section 3.1 prints modulus and thumbprint; the private half does not enter.
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr"
        "n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    numbers = rsa.RSAPublicNumbers(65537, int.from_bytes(parse_base64url(modulus, what="n"), "big"))

    class Example:
        def public_key(self):
            return numbers.public_key()

    assert SigningKey.of(Example()).id == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_generated_key_is_rsa_2048_with_the_usual_exponent(key):
    assert key.key.key_size == 2048
    assert key.key.public_key().public_numbers().e == 65537


def test_the_published_set_verifies_what_the_key_signs(key):
    token = mint({"sub": "alice"}, key)
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": key.id}
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(jwks(KeyRing(key).published(NOW)))))
    assert jwt.decode(token, published[key.id], algorithms=["RS256"]) == {"sub": "alice"}


def test_another_key_does_not_verify(key):
    other = jwt.PyJWKSet.from_dict(jwks(KeyRing.of(generate_rsa()).published(NOW)))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(mint({"sub": "alice"}, key), other.keys[0], algorithms=["RS256"])


def test_the_set_holds_public_members_only(key):
    (published,) = jwks(KeyRing(key).published(NOW))["keys"]
    assert set(published) == {"kty", "use", "alg", "kid", "n", "e"}


# --- rotation ----------------------------------------------------------------------------------------------
def test_a_ring_publishes_the_key_that_signs_first_and_the_next_one_beside_it(key):
    coming = PublishedKey.of(generate_rsa().public_key())
    assert list(KeyRing(key, [coming]).published(NOW)) == [key.id, coming.id]


def test_the_key_before_is_published_until_its_last_token_has_ended_and_not_a_moment_longer_o12(key):
    ring, after = KeyRing(key), SigningKey.of(generate_rsa())
    ring.replace(after, [], now=NOW)
    assert ring.signing is after
    last = NOW + OVERLAP - timedelta(microseconds=1)
    assert list(ring.published(last)) == [after.id, key.id]
    assert list(ring.published(NOW + OVERLAP)) == [after.id]


def test_two_rotations_within_one_life_keep_both_keys_before(key):
    ring, second, third = KeyRing(key), *(SigningKey.of(generate_rsa()) for _ in range(2))
    ring.replace(second, [], now=NOW)
    ring.replace(third, [], now=NOW + timedelta(seconds=1))
    assert set(ring.published(NOW + timedelta(seconds=2))) == {key.id, second.id, third.id}


def test_reading_the_same_keys_anew_retires_none(key):
    ring = KeyRing(key)
    ring.replace(key, [], now=NOW)
    assert list(ring.published(NOW)) == [key.id]
