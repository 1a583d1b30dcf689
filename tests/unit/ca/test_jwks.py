# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca.jwks import parse_jwks
from ca.ports import TokenKey
from sigcore.errors import Malformed, Refused, SigError
from tests.unit.ca.tokens import b64

P256, P384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
WRITERS = {"RS256": jwt.algorithms.RSAAlgorithm, "EdDSA": jwt.algorithms.OKPAlgorithm}
KEYS = {"ES256": P256, "ES384": P384, "EdDSA": ED, "RS256": RSA}


def jwk(algorithm, key=None, **changes):
    """A key as PyJWT writes it."""
    key = (key or KEYS[algorithm]).public_key()
    made = json.loads(WRITERS.get(algorithm, jwt.algorithms.ECAlgorithm).to_jwk(key)) | {"kid": algorithm}
    return {name: value for name, value in (made | changes).items() if value is not None and name != "key_ops"}


def key_set(*keys):
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize("algorithm", KEYS)
async def test_keys_that_another_library_wrote(algorithm):
    found = parse_jwks(key_set(*map(jwk, KEYS)))
    assert await found.find(algorithm) == TokenKey(KEYS[algorithm].public_key(), algorithm)


async def test_what_providers_add_is_passed_over():
    """As Keycloak publishes it: a key for encryption, certificate chains, thumbprints."""
    chain = {"x5c": ["MIIB"], "x5t": "abc", "x5t#S256": "abc", "alg": "RS256", "use": "sig"}
    encryption = {"kid": "enc", "kty": "RSA", "alg": "RSA-OAEP", "use": "enc", "n": "?", "e": "?"}
    found = parse_jwks(key_set(encryption, jwk("RS256", **chain)))
    assert (await found.find("RS256")).algorithm == "RS256"
    with pytest.raises(Refused, match="no key with the id 'enc'"):
        await found.find("enc")


ON_CURVE = P256.public_key().public_numbers()
BAD = {
    "no JSON": (b"", Malformed, "not JSON"),
    "a list": (b"[]", Malformed, "an array"),
    "no keys": (b"{}", Malformed, "no member keys"),
    "keys null": (b'{"keys":null}', Malformed, "null"),
    "empty": (key_set(), Malformed, "empty"),
    "only for encryption": (key_set(jwk("RS256", use="enc")), Malformed, "empty"),
    "duplicate member": (b'{"keys":[],"keys":[]}', Malformed, "duplicate"),
    "too many": (key_set(*(jwk("ES256", kid=str(n)) for n in range(51))), Malformed, "the limit is 50"),
    "too long": (b" " * 300_000, Malformed, "the limit is 262144"),
    "one id twice": (key_set(jwk("ES256"), jwk("RS256", kid="ES256")), Malformed, "one key id twice"),
    "no id": (key_set(jwk("ES256", kid=None)), Malformed, r"keys\[0\].kid is missing"),
    "id a number": (key_set(jwk("ES256", kid=7)), Malformed, "kid is a number"),
    "private": (key_set(jwk("ES256", d="AAAA")), Refused, "private member d"),
    "private RSA": (key_set(json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA)) | {"kid": "a"}), Refused, "private"),
    "shared secret": (key_set({"kty": "oct", "k": "AAAA", "kid": "a"}), Refused, "private member k"),
    "HMAC without key": (key_set({"kty": "oct", "kid": "a"}), Refused, "kty 'oct'"),
    "no kind": (key_set({"kid": "a"}), Malformed, "kty is missing"),
    "another algorithm": (key_set(jwk("RS256", alg="PS256")), Refused, "used with RS256"),
    "algorithm none": (key_set(jwk("ES256", alg="none")), Refused, "used with ES256"),
    "HS256 with a public key": (key_set(jwk("RS256", alg="HS256")), Refused, "used with RS256"),
    "P-521": (key_set(jwk("ES256", crv="P-521")), Refused, "crv 'P-521'"),
    "secp256k1": (key_set(jwk("ES256", crv="secp256k1")), Refused, "crv 'secp256k1'"),
    "Ed448": (key_set(jwk("EdDSA", crv="Ed448")), Refused, "crv 'Ed448'"),
    "X25519": (key_set(jwk("EdDSA", crv="X25519")), Refused, "crv 'X25519'"),
    "x one octet short": (key_set(jwk("ES256", x=b64(b"\x01" * 31))), Malformed, "31 octets, expected 32"),
    "x one octet long": (key_set(jwk("ES256", x=b64(b"\x00" + b"\x01" * 32))), Malformed, "33 octets, expected 32"),
    "off the curve": (key_set(jwk("ES256", y=b64((ON_CURVE.y ^ 1).to_bytes(32, "big")))), Malformed, "no valid EC key"),
    "infinity": (key_set(jwk("ES256", x=b64(bytes(32)), y=b64(bytes(32)))), Malformed, "no valid EC key"),
    "padded": (key_set(jwk("ES256", x=jwk("ES256")["x"] + "=")), Malformed, "base64url"),
    "Ed25519 short": (key_set(jwk("EdDSA", x=b64(b"\x01" * 31))), Malformed, "31 octets"),
    "no modulus": (key_set(jwk("RS256", n=None)), Malformed, "n is missing"),
    "empty modulus": (key_set(jwk("RS256", n="")), Malformed, "0 octets"),
    "leading zero": (key_set(jwk("RS256", e=b64(b"\x00\x01\x00\x01"))), Malformed, "leading zero"),
    "e=1": (key_set(jwk("RS256", e=b64(b"\x01"))), Malformed, "no valid RSA key"),
    "e=3": (key_set(jwk("RS256", e=b64(b"\x03"))), Refused, "unusual exponent"),
    "e even": (key_set(jwk("RS256", e=b64(b"\x01\x00\x00"))), Malformed, "no valid RSA key"),
    "RSA-1024": (key_set(jwk("RS256", n=b64(b"\xff" * 128))), Refused, "1024 bits"),
    "huge modulus": (key_set(jwk("RS256", n=b64(b"\xff" * 4096))), Malformed, "the limit is"),
    "members are lists": (key_set(jwk("ES256", x=["a"])), Malformed, "an array"),
    "a key is text": (key_set("key"), Malformed, "a string"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_key_set_that_is_refused_says_where(case):
    data, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        parse_jwks(data)


def test_one_good_key_does_not_excuse_a_bad_one():
    with pytest.raises(SigError, match=r"keys\[1\]"):
        parse_jwks(key_set(jwk("RS256"), jwk("ES256", crv="P-192")))
