# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from oidc_dev.signing import SigningKey, generate_rsa, jwks, mint
from sigcore.strict import parse_base64url


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
    published = jwt.PyJWKSet.from_dict(json.loads(json.dumps(jwks([key]))))
    assert jwt.decode(token, published[key.id], algorithms=["RS256"]) == {"sub": "alice"}


def test_another_key_does_not_verify(key):
    other = jwt.PyJWKSet.from_dict(jwks([SigningKey.of(generate_rsa())]))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(mint({"sub": "alice"}, key), other.keys[0], algorithms=["RS256"])


def test_the_set_holds_public_members_only(key):
    (published,) = jwks([key])["keys"]
    assert set(published) == {"kty", "use", "alg", "kid", "n", "e"}
