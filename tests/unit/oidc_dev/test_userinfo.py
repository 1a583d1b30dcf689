# SPDX-License-Identifier: Apache-2.0
"""Userinfo takes our tokens and nothing that resembles them (O01 to O10: the JOSE confusions)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from oidc_dev.claims import Identity, make_claims
from oidc_dev.signing import SigningKey, generate_rsa, mint
from tests.unit.oidc_dev.visitor import ALICE, ISSUER

PERSON = Identity(email=ALICE)


def encoded(value) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
def claims(clock):
    return make_claims(PERSON, issuer=ISSUER, audience="sigstore", now=clock())


@pytest.fixture
def ask(http):
    async def ask(token: str, scheme: str = "Bearer"):
        return await http.get("/auth/userinfo", headers={"Authorization": f"{scheme} {token}"})

    return ask


async def refused(answer, because: str = "") -> None:
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    body = await answer.json()
    assert body["error"] == "invalid_token"
    assert because in body["error_description"]


async def test_a_token_of_ours_is_answered(ask, provider):
    answer = await ask(provider.token(Identity(email=ALICE, extra=(("groups", [1.5]), ("nonce", "n")))))
    assert answer.status == 200, await answer.text()
    assert await answer.json() == {"sub": ALICE, "email": ALICE, "email_verified": True}


async def test_who_brings_no_token_is_told_how(http):
    for headers in ({}, {"Authorization": "Basic c2lnc3RvcmU6"}, {"Authorization": ""}):
        answer = await http.get("/auth/userinfo", headers=headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "nOnE", "", ["RS256"], None, 7, "HS256", "PS256", "ES256", "rs256"]
)
async def test_no_other_algorithm_is_listened_to_o01(ask, claims, signing_key, algorithm):
    header = {"alg": algorithm, "kid": signing_key.id, "typ": "JWT"}
    for signature in ("", "AA", mint(claims, signing_key).rpartition(".")[2]):
        await refused(await ask(f"{encoded(header)}.{encoded(claims)}.{signature}"))


async def test_the_public_key_is_no_shared_secret_o02(ask, claims, signing_key):
    public = signing_key.key.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).replace(b"\n", b"\r\n"),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    ):
        signed = f"{encoded({'alg': 'HS256', 'kid': signing_key.id, 'typ': 'JWT'})}.{encoded(claims)}"
        mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        await refused(await ask(f"{signed}.{encoded(mac)}"), "HS256")


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["bork"]}, {"crit": []}, {"b64": False}, {"jwk": {"kty": "RSA"}}, {"jku": "http://127.0.0.1:1/"},
        {"x5u": "file:///etc/passwd"}, {"x5c": ["AA"]}, {"zip": "DEF"}, {"enc": "A128GCM"}, {"cty": "JWT"},
    ],
)  # fmt: skip
async def test_a_header_says_no_more_than_ours_do_o03_o04_o07(ask, claims, signing_key, extra):
    token = jwt.encode(claims, signing_key.key, "RS256", {"kid": signing_key.id} | extra)
    await refused(await ask(token), "unknown member")


@pytest.mark.parametrize("kid", ["", "other", "../../etc/passwd", "http://127.0.0.1:1/", "' OR 1=1 --", None, 1])
async def test_the_key_id_names_one_of_our_keys_or_nothing_o04(ask, claims, signing_key, kid):
    header = encoded({"alg": "RS256", "kid": kid, "typ": "JWT"})
    await refused(await ask(f"{header}.{encoded(claims)}.AAAA"))


async def test_another_key_under_our_name_does_not_verify(ask, claims, signing_key):
    await refused(await ask(mint(claims, SigningKey(generate_rsa(), signing_key.id))), "verify")


async def test_a_changed_claim_or_signature_does_not_verify(ask, claims, signing_key):
    header, _, signature = mint(claims, signing_key).split(".")
    await refused(await ask(f"{header}.{encoded(claims | {'email': 'mallory@example.com'})}.{signature}"), "verify")
    flipped = signature[:-5] + ("A" if signature[-5] != "A" else "B") + signature[-4:]
    await refused(await ask(f"{header}.{encoded(claims)}.{flipped}"))


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "..", "!.!.!", "e30.e30.", "e30=.e30.AA", "\u00e9.b.c"]
)
async def test_only_the_compact_serialization_is_read_o05(http, token):
    answer = await http.get("/auth/userinfo", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 401
    assert "WWW-Authenticate" in answer.headers


async def test_json_serialization_is_not_read_o05(ask, claims, signing_key):
    header, payload, signature = mint(claims, signing_key).split(".")
    await refused(await ask(json.dumps({"payload": payload, "protected": header, "signature": signature})))


async def test_padding_and_stray_bits_make_another_token_o25(ask, claims, signing_key):
    token = mint(claims, signing_key)
    await refused(await ask(token + "=="))
    # 256 bytes end in a character of which four bits count: its neighbour spells the same bytes.
    await refused(await ask(token[:-1] + chr(ord(token[-1]) + 1)), "canonical")


async def test_a_token_has_a_longest_length_o06(provider):
    from oidc_dev.userinfo import userinfo  # noqa: PLC0415 - the server's own header limit stands before it
    from sigcore.errors import Malformed  # noqa: PLC0415 - the same

    with pytest.raises(Malformed, match="limit"):
        userinfo("A" * 20_000, provider, now=provider.clock())


@pytest.mark.parametrize(
    ("changed", "because"),
    [
        ({"iss": ISSUER + "/"}, "another issuer"),
        ({"iss": ISSUER[:-1]}, "another issuer"),
        ({"iss": [ISSUER]}, "expected a string"),
        ({"aud": "other"}, "nobody"),
        ({"aud": ["sigstore"]}, "expected a string"),
        ({"exp": 1e30}, ""),
        ({"exp": 10**30}, ""),
        ({"exp": -1}, "expired"),
        ({"exp": "9999999999"}, "expected an integer"),
        ({"exp": True}, "expected an integer"),
        ({"nbf": 9_999_999_999}, "not valid yet"),
        ({"nbf": None}, "expected an integer"),
    ],
)
async def test_issuer_audience_and_times_are_ours_o08_o10(ask, claims, signing_key, changed, because):
    payload = json.dumps(claims | changed).encode()
    token = jwt.PyJWS().encode(payload, signing_key.key, "RS256", {"kid": signing_key.id})
    await refused(await ask(token), because)


async def test_a_token_ends_when_it_says_so(ask, provider, clock):
    token = provider.token(PERSON)
    clock.turn(599)
    assert (await ask(token)).status == 200
    clock.turn(1)
    await refused(await ask(token), "expired")


async def test_two_authorization_headers_are_none(http, provider):
    token = provider.token(PERSON)
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    answer = await http.get("/auth/userinfo", headers=headers)
    await refused(answer, "more than one")
