# SPDX-License-Identifier: Apache-2.0
"""Each wrong token differs from the right one in the one place that it is named after."""

from __future__ import annotations

import hashlib
import hmac
import json

import jwt
import pytest

from oidc_dev.signing import mint
from oidc_dev.wrong_tokens import WRONG, mint_wrong
from sigcore.errors import Malformed
from sigcore.keys import encode_public_key_pem
from sigcore.strict import parse_base64url

CLAIMS = {"iss": "http://localhost:7780/auth", "sub": "alice@example.com", "aud": "sigstore", "exp": 4_000_000_000}


def parts(token: str) -> tuple[dict[str, object], dict[str, object], bytes]:
    header, payload, signature = token.split(".")
    decoded = (parse_base64url(part, what="a part") for part in (header, payload))
    return (*map(json.loads, decoded), parse_base64url(signature, what="the signature"))


@pytest.mark.parametrize("kind", WRONG)
def test_header_and_claims_are_right_but_for_what_it_is_named_after(signing_key, kind):
    header, claims, _ = parts(mint(CLAIMS, signing_key))
    other = {
        "kid": ({"kid": "a-key-that-is-not-published"}, {}),
        "algorithm-none": ({"alg": "none"}, {}),
        "algorithm-hs256": ({"alg": "HS256"}, {}),
        "audience": ({}, {"aud": "not-sigstore"}),
        "issuer": ({}, {"iss": "http://localhost:7780/auth/nobody"}),
    }.get(kind, ({}, {}))
    assert parts(mint_wrong(kind, CLAIMS, signing_key))[:2] == (header | other[0], claims | other[1])


@pytest.mark.parametrize("kind", ["kid", "audience", "issuer"])
def test_where_the_signature_is_not_what_is_wrong_it_verifies(signing_key, kind):
    token, options = mint_wrong(kind, CLAIMS, signing_key), {"verify_aud": False}
    assert jwt.decode(token, signing_key.key.public_key(), ["RS256"], options=options)["sub"] == "alice@example.com"


def test_one_bit_of_the_signature_is_another_one(signing_key):
    right, wrong = parts(mint(CLAIMS, signing_key))[2], parts(mint_wrong("signature", CLAIMS, signing_key))[2]
    assert (int.from_bytes(right, "big") ^ int.from_bytes(wrong, "big")).bit_count() == 1


def test_another_keys_signature_has_the_right_shape_and_does_not_verify(signing_key):
    token = mint_wrong("key", CLAIMS, signing_key)
    assert len(parts(token)[2]) == 256
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, signing_key.key.public_key(), ["RS256"], audience="sigstore")


def test_a_reader_that_lets_the_header_choose_would_take_the_shared_secret(signing_key):
    token = mint_wrong("algorithm-hs256", CLAIMS, signing_key)
    signed, _, _ = token.rpartition(".")
    pem = encode_public_key_pem(signing_key.key.public_key()).encode()
    assert parts(token)[2] == hmac.digest(pem, signed.encode(), hashlib.sha256)


def test_without_a_signature_nothing_stands_behind_the_last_dot(signing_key):
    assert mint_wrong("algorithm-none", CLAIMS, signing_key).endswith(".")


@pytest.mark.parametrize("kind", ["", "none", "Signature", "algorithm"])
def test_there_is_no_other_way_to_be_wrong(signing_key, kind):
    with pytest.raises(Malformed, match="known: signature, key, kid, algorithm-none"):
        mint_wrong(kind, CLAIMS, signing_key)
