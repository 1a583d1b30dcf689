# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from client.identity import load_identity_token, parse_identity_token
from sigcore.errors import Malformed, NotFound
from sigcore.strict import encode_base64url


def a_token(**claims) -> str:
    payload = json.dumps({"iss": "https://issuer", "sub": "subject", "exp": 1.5e9} | claims).encode()
    return ".".join(map(encode_base64url, (b'{"alg":"RS256"}', payload, b"signature")))


def test_claims_are_read():
    token = parse_identity_token(a_token(email="me@example.com"))
    assert (token.issuer, token.subject, token.email) == ("https://issuer", "subject", "me@example.com")


@pytest.mark.parametrize(
    ("claims", "subject"),
    [({}, "subject"), ({"email": ""}, "subject"), ({"email": "me@example.com"}, "me@example.com")],
)
def test_possession_is_proved_over_the_email_or_else_the_subject(claims, subject):
    assert parse_identity_token(a_token(**claims)).possession_subject == subject


def test_the_token_is_not_in_its_repr():
    assert a_token() not in repr(parse_identity_token(a_token()))


def test_value_file_environment_in_this_order(tmp_path):
    file = tmp_path / "token"
    file.write_text(a_token(sub="file") + "\n")
    environ = {"SIGSTORE_ID_TOKEN": a_token(sub="environment")}
    assert load_identity_token(a_token(sub="value"), environ).subject == "value"
    assert load_identity_token(f"@{file}", environ).subject == "file"
    assert load_identity_token(None, environ).subject == "environment"


@pytest.mark.parametrize("given", [None, "", "@/does/not/exist"])
def test_no_token_is_not_found(given):
    with pytest.raises(NotFound, match="identity token"):
        load_identity_token(given, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.b", "has 2 parts"),
        ("a..c", "has 3 parts"),
        ("a.b.c.d.e", "has 5 parts"),
        ("x" * 16385, "the limit is 16384"),
        ("a.b==.c", "base64url"),
        ("a.IA.c", "not JSON"),
        ("a." + encode_base64url(b"[]") + ".c", "expected an object"),
        ("a." + encode_base64url(b"{}") + ".c", "iss is missing"),
        (a_token(sub=7), "sub is a number, expected a string"),
        (a_token(email=["x"]), "email is an array"),
    ],
)
def test_what_is_no_token_is_refused(text, message):
    with pytest.raises(Malformed, match=message):
        parse_identity_token(text)


def test_a_file_with_other_bytes_is_refused(tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(Malformed, match="bytes that no token has"):
        load_identity_token(f"@{file}", {})
