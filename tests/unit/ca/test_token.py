# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hmac
import json
import time
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca.issuers import Issuer, IssuerTable, PinnedKeys
from ca.token import verify_token
from sigcore import keys
from sigcore.errors import Malformed, SigError
from tests.unit.ca.tokens import ISSUER, MACHINES, NOW, OTHER, SECONDS, b64, claims, signed, unsigned


async def refusal(text, issuers, now=NOW):
    with pytest.raises(SigError) as caught:
        await verify_token(text, issuers, now=now)
    return str(caught.value)


# --- accepted --------------------------------------------------------------------------------------
async def test_a_good_token_gives_its_claims_and_its_issuer(issuer_key, issuers):
    verified = await verify_token(signed(issuer_key, claims()), issuers, now=NOW)
    assert verified.subject == "alice@example.com"
    assert verified.issuer is issuers.find(ISSUER)
    assert verified.fields.text("email") == "alice@example.com"


async def test_an_issuer_may_sign_with_es256(issuers, machine_key):
    token = jwt.encode(claims(iss=MACHINES), machine_key, "ES256", {"kid": "es"})
    assert (await verify_token(token, issuers, now=NOW)).issuer.url == MACHINES


@pytest.mark.parametrize(
    "changes",
    [
        {"nbf": None},
        {"aud": ["sigstore"]},
        {"exp": SECONDS - 4},
        {"iat": SECONDS + 5},
        {"nbf": SECONDS + 5},
        {"score": 0.5},
        {"groups": ["a", {"b": None}]},
    ],
)
async def test_what_a_good_token_may_look_like(issuer_key, issuers, changes):
    await verify_token(signed(issuer_key, claims(**changes)), issuers, now=NOW)


# --- A02 audience, A03 issuer, times, types -----------------------------------------------------------
BAD_CLAIMS = [
    ({"aud": None}, "aud is None, expected 'sigstore'"),
    ({"aud": ""}, "aud is '', expected 'sigstore'"),
    ({"aud": "Sigstore"}, "audience"),
    ({"aud": "sigstore2"}, "audience"),
    ({"aud": "sigstor"}, "audience"),
    ({"aud": "sigstore "}, "audience"),
    ({"aud": []}, "audience"),
    ({"aud": ["sigstore", "other"]}, "audience"),
    ({"aud": ["sigstore", "sigstore"]}, "audience"),
    ({"aud": [["sigstore"]]}, "audience"),
    ({"aud": {"sigstore": True}}, "audience"),
    ({"aud": True}, "audience"),
    ({"iss": None}, "token.iss is missing"),
    ({"iss": ISSUER + "/"}, "not accepted here"),
    ({"iss": ISSUER.upper()}, "not accepted here"),
    ({"iss": ISSUER[:-1]}, "not accepted here"),
    ({"iss": ISSUER + "\n"}, "not accepted here"),
    ({"iss": ""}, "not accepted here"),
    ({"exp": None}, "token.exp is missing"),
    ({"exp": SECONDS - 5}, "has expired"),
    ({"exp": str(SECONDS + 600)}, "expected an integer"),
    ({"exp": True}, "expected an integer"),
    ({"exp": -1}, "no moment of the calendar"),
    ({"exp": 10**12}, "no moment of the calendar"),
    ({"exp": 10**30}, "beyond 64 bits"),
    ({"exp": 1e30}, "expected an integer"),
    ({"iat": None}, "token.iat is missing"),
    ({"iat": SECONDS + 7}, "not valid yet: iat"),
    ({"nbf": SECONDS + 7}, "not valid yet: nbf"),
    ({"nbf": "now"}, "expected an integer"),
    ({"sub": None}, "token.sub is missing"),
    ({"sub": ""}, "token.sub is empty"),
    ({"sub": 17}, "expected a string"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CLAIMS)
async def test_claims_that_are_refused(issuer_key, issuers, changes, message):
    assert message in await refusal(signed(issuer_key, claims(**changes)), issuers)


async def test_a_token_ends_on_the_second_that_it_names_plus_the_leeway(issuer_key, issuers):
    whole = NOW.replace(microsecond=0)
    token = signed(issuer_key, claims(exp=SECONDS))
    await verify_token(token, issuers, now=whole + timedelta(seconds=4))
    assert "has expired" in await refusal(token, issuers, now=whole + timedelta(seconds=5))


async def test_a_token_of_one_issuer_signed_by_the_other_with_the_same_key_id(issuers, other_key):
    assert "does not verify" in await refusal(signed(other_key, claims()), issuers)
    assert (await verify_token(signed(other_key, claims(iss=OTHER)), issuers, now=NOW)).issuer.url == OTHER


async def test_a_key_id_of_another_issuer_is_unknown_here(issuer_key, issuers):
    assert "no key with the id 'es'" in await refusal(signed(issuer_key, claims(), kid="es"), issuers)


# --- O01-O07, O25: the JOSE battery ---------------------------------------------------------------------
@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", "", "HS256", "RS384", "PS256"])
async def test_an_algorithm_that_is_not_for_public_keys_here_is_refused(issuers, algorithm):
    token = f"{unsigned({'alg': algorithm, 'kid': 'key-1'}, claims())}.AAAA"
    assert "(expected RS256, ES256, ES384, EdDSA)" in await refusal(token, issuers)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
async def test_another_algorithm_in_the_header_is_refused(issuers, algorithm):
    token = f"{unsigned({'alg': algorithm, 'kid': 'key-1'}, claims())}.AAAA"
    assert "the issuer's key is for RS256" in await refusal(token, issuers)


@pytest.mark.parametrize(
    "header", [{"kid": "key-1"}, {"kid": "key-1", "alg": ["RS256"]}, {"kid": "key-1", "alg": None}]
)
async def test_a_header_without_an_algorithm_is_malformed(issuers, header):
    assert "header.alg" in await refusal(f"{unsigned(header, claims())}.AAAA", issuers)


@pytest.mark.parametrize("header", [{"alg": "RS256"}, {"alg": "RS256", "kid": 1}, {"alg": "RS256", "kid": ["key-1"]}])
async def test_a_header_without_a_key_id_is_malformed(issuers, header):
    assert "header.kid" in await refusal(f"{unsigned(header, claims())}.AAAA", issuers)


ENCODINGS = {
    "pem": ("PEM", "SubjectPublicKeyInfo"),
    "pkcs1": ("PEM", "PKCS1"),
    "der": ("DER", "SubjectPublicKeyInfo"),
    "pkcs1-der": ("DER", "PKCS1"),
    "ssh": ("OpenSSH", "OpenSSH"),
}


def encodings(key):
    """Every form in which somebody may have the public key."""
    public = key.public_key()
    for encoding, layout in ENCODINGS.values():
        yield public.public_bytes(
            getattr(serialization.Encoding, encoding), getattr(serialization.PublicFormat, layout)
        )
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(public)
    yield from (jwk.encode(), json.dumps({"keys": [json.loads(jwk)]}).encode())
    modulus = public.public_numbers().n
    yield from (modulus.to_bytes(256, "big"), str(modulus).encode(), b64(modulus.to_bytes(256, "big")).encode())


@pytest.mark.parametrize(
    "around", [(b"", b""), (b"", b"\r\n"), (b"", b"\n\n"), (b"", b" "), (b" ", b""), (b"key: ", b"")]
)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_o02_hmac_keyed_with_the_public_key(issuers, issuer_key, algorithm, around):
    """CVE-2024-37568, CVE-2022-29217 and their kin. Also under the name of an algorithm that is allowed."""
    for secret in encodings(issuer_key):
        for named in (algorithm, "RS256"):
            message = unsigned({"alg": named, "kid": "key-1"}, claims())
            mac = hmac.digest(around[0] + secret + around[1], message.encode(), f"sha{algorithm[2:]}")
            said = await refusal(f"{message}.{b64(mac)}", issuers)
            assert ("does not verify" if named == "RS256" else f"the token is signed with '{algorithm}'") in said


@pytest.mark.parametrize(
    "headers",
    [
        {"crit": ["bork"], "bork": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": []},
        {"crit": "b64"},
        {"b64": True},
        {"jwk": {"kty": "RSA"}},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": ["MIIB"]},
    ],
)
async def test_header_parameters_that_change_the_check_are_refused(issuer_key, issuers, headers):
    assert "header" in await refusal(signed(issuer_key, claims(), **headers), issuers)


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "email", "email_verified"])
async def test_a_claim_that_stands_twice_is_in_no_token(issuer_key, issuers, name):
    """Two readers would see two tokens; also where the second name is spelt with an escape."""
    good = json.dumps(claims())
    for again in (name, f"\\u{ord(name[0]):04x}{name[1:]}"):
        payload = f'{{"{again}": {json.dumps(claims()[name])}, {good[1:]}'
        message = f"{b64(json.dumps({'alg': 'RS256', 'kid': 'key-1'}).encode())}.{b64(payload.encode())}"
        text = f"{message}.{b64(keys.sign(issuer_key, message.encode()))}"
        assert "duplicate member name" in await refusal(text, issuers)


@pytest.mark.parametrize("name", ["alg", "kid"])
async def test_a_header_member_that_stands_twice_is_in_no_token(issuer_key, issuers, name):
    header = f'{{"{name}": "none", "alg": "RS256", "kid": "key-1"}}'
    message = f"{b64(header.encode())}.{b64(json.dumps(claims()).encode())}"
    assert "duplicate member" in await refusal(f"{message}.{b64(keys.sign(issuer_key, message.encode()))}", issuers)


async def test_a_token_that_could_not_be_taken_anyway_asks_for_no_key(issuer_key, issuers):
    """So that nobody is made to fetch keys by tokens that are old, or for somebody else."""
    asked = []

    class Watched:
        async def find(self, key_id):
            asked.append(key_id)
            return await issuers.find(ISSUER).keys.find(key_id)

    table = IssuerTable([Issuer(ISSUER, Watched())])
    for changes in ({"aud": "x"}, {"exp": SECONDS - 60}, {"iat": SECONDS + 60}, {"nbf": SECONDS + 60}, {"sub": ""}):
        await refusal(signed(issuer_key, claims(**changes)), table)
    await refusal(signed(issuer_key, claims(), algorithm="HS256"), table)
    assert asked == []
    await verify_token(signed(issuer_key, claims()), table, now=NOW)
    assert asked == ["key-1"]


@pytest.mark.parametrize(
    ("claim", "good", "bad"),
    [("exp", SECONDS - 4, SECONDS - 5), ("iat", SECONDS + 5, SECONDS + 6), ("nbf", SECONDS + 5, SECONDS + 6)],
)
async def test_the_clock_may_be_off_by_five_seconds_and_no_more(issuer_key, issuers, claim, good, bad):
    """The present moment is 0.65 s after the second ``SECONDS``."""
    await verify_token(signed(issuer_key, claims(**{claim: good})), issuers, now=NOW)
    assert claim in await refusal(signed(issuer_key, claims(**{claim: bad})), issuers)


@pytest.mark.parametrize("key_id", ["../../key-1", "key-1' OR '1'='1", "https://evil.example/", "", "key-1\x00"])
async def test_a_hostile_key_id_is_only_a_name(issuer_key, issuers, key_id):
    assert "no key with the id" in await refusal(signed(issuer_key, claims(), kid=key_id), issuers)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "not a token",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "\u00e9.\u00e9.\u00e9",
        '{"payload":"","signatures":[]}',
        "[]",
        "null",
        b64(b"[]") + "." + b64(b"{}") + ".AAAA",
        b64(b'{"alg":"RS256","alg":"none"}') + "." + b64(b"{}") + ".AAAA",
        b64(b"\xff") + "." + b64(b"{}") + ".AAAA",
        b64(b"{}") + "." + b64(b"[]") + ".AAAA",
        b64(b"{}") + "." + b64(b'{"iss":NaN}') + ".AAAA",
        b64(b"{}") + "." + b64(b'{"iss":"\\ud800"}') + ".AAAA",
        b64(b"{}") + "." + b64(b"[" * 9000) + ".AAAA",
    ],
)
async def test_what_is_no_token_is_malformed(issuers, text):
    with pytest.raises(Malformed):
        await verify_token(text, issuers, now=NOW)


@pytest.mark.parametrize("change", [lambda t: t + "=", lambda t: t + "==", lambda t: " " + t, lambda t: t + "\n"])
async def test_another_spelling_of_a_good_token_is_malformed(issuer_key, issuers, change):
    with pytest.raises(Malformed):
        await verify_token(change(signed(issuer_key, claims())), issuers, now=NOW)


async def test_a_huge_token_is_refused_before_it_is_decoded(issuers):
    for text in ("." * 2_000_000, "A" * 10_000_000, "a" * 16_385):
        start = time.process_time()
        assert "the limit is 16384" in await refusal(text, issuers)
        assert time.process_time() - start < 0.05


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_changed_byte_in_any_part_is_refused(issuer_key, issuers, part):
    parts = signed(issuer_key, claims()).split(".")
    flipped = bytearray(parts[part].encode())
    flipped[10] = ord("A") if flipped[10] != ord("A") else ord("B")
    parts[part] = flipped.decode()
    await refusal(".".join(parts), issuers)


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (ed25519.Ed25519PrivateKey.generate, "EdDSA"),
    ],
)
async def test_the_other_algorithms(make, algorithm):
    key = make()
    table = IssuerTable([Issuer(ISSUER, PinnedKeys([("key-1", key.public_key())]))])
    token = jwt.encode(claims(), key, algorithm, {"kid": "key-1"})
    assert (await verify_token(token, table, now=NOW)).subject == "alice@example.com"
    other = jwt.encode(claims(), make(), algorithm, {"kid": "key-1"})
    assert "does not verify" in await refusal(other, table)


async def test_two_keys_of_one_issuer_each_with_its_own_algorithm(issuer_key, machine_key):
    """CVE-2026-48523: what is allowed for one key of a set is not allowed for the other."""
    pairs = [("rsa", issuer_key.public_key()), ("ec", machine_key.public_key())]
    table = IssuerTable([Issuer(ISSUER, PinnedKeys(pairs))])
    good = [(issuer_key, "RS256", "rsa"), (machine_key, "ES256", "ec")]
    for key, algorithm, key_id in good:
        await verify_token(jwt.encode(claims(), key, algorithm, {"kid": key_id}), table, now=NOW)
    for key, algorithm, key_id in [(issuer_key, "RS256", "ec"), (machine_key, "ES256", "rsa")]:
        token = jwt.encode(claims(), key, algorithm, {"kid": key_id})
        assert "the issuer's key is for" in await refusal(token, table)
