# SPDX-License-Identifier: Apache-2.0
"""URIs of keys in PKCS#11 tokens (RFC 7512): what says which key is taken, what is no secret's place is refused."""

from __future__ import annotations

import pytest

from sigcore.errors import Malformed, Refused
from sigcore.pkcs11_uri import EXAMPLE, KeyUri, encode_key_uri, parse_key_uri

QUERY = "?module-path=/lib/p11.so&pin-source=file:/etc/pin"


def test_label_object_library_and_pin_file_are_read():
    assert parse_key_uri(EXAMPLE) == KeyUri("/usr/lib/softhsm/libsofthsm2.so", "/etc/sigbox/pin", "sigbox", "", "ca")


def test_values_are_compared_decoded_and_written_in_one_way():
    uri = parse_key_uri(f"pkcs11:object=the%20key%3B%C3%A9;id=%01%FF;type=private;serial=00ab;token=a%2fb{QUERY}")
    assert uri == KeyUri("/lib/p11.so", "/etc/pin", "a/b", "00ab", "the key;é", b"\x01\xff")
    assert parse_key_uri(encode_key_uri(uri)) == uri


@pytest.mark.parametrize("source", ["file:/etc/pin", "file:///etc/pin", "/etc/pin"])
def test_the_pin_file_is_named_as_a_file_url_or_by_its_path(source: str):
    assert parse_key_uri(f"pkcs11:token=t;object=o?module-path=/m.so&pin-source={source}").pin_file == "/etc/pin"


@pytest.mark.parametrize(
    ("attribute", "hint"),
    [
        ("&pin-value=1234", "put it into a file"),
        ("&module-name=softhsm", "module-path"),
    ],
)
def test_a_pin_or_a_library_by_name_is_refused_and_not_repeated(attribute: str, hint: str):
    with pytest.raises(Refused) as refused:
        parse_key_uri(f"pkcs11:token=t;object=o{QUERY}{attribute}")
    assert hint in refused.value.hint
    assert "1234" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no URI that begins with pkcs11:"),
        ("PKCS11:token=t", "no URI that begins with pkcs11:"),
        (f"pkcs11:object=o{QUERY}", "names no token"),
        (f"pkcs11:token=t{QUERY}", "names no object"),
        (f"pkcs11:token=t;object=o;object=p{QUERY}", "given twice"),
        (f"pkcs11:token=t;object={QUERY}", "no value"),
        (f"pkcs11:token=t;object=a b{QUERY}", "no value"),
        (f"pkcs11:token=t;object=%f{QUERY}", "no value"),
        (f"pkcs11:token=t;object=%ff{QUERY}", "not UTF-8"),
        (f"pkcs11:token=t;object=%0a{QUERY}", "cannot be shown"),
        (f"pkcs11:token=t;object=o;type=public{QUERY}", "expected private"),
        (f"pkcs11:token=t;object=o;colour=red{QUERY}", "'colour'"),
        ("pkcs11:token=t;object=o", "module-path"),
        ("pkcs11:token=t;object=o?module-path=p11.so&pin-source=/p", "module-path"),
        ("pkcs11:token=t;object=o?module-path=/p11.so", "pin-source"),
        ("pkcs11:token=t;object=o?module-path=/p11.so&pin-source=|/bin/pin", "pin-source"),
        ("pkcs11:token=t;object=o?module-path=/p11.so&pin-source=https://host/pin", "pin-source"),
        ("pkcs11:" + "x" * 3000, "no URI"),
    ],
)
def test_what_does_not_say_which_key_is_malformed(text: str, said: str):
    with pytest.raises(Malformed, match=said):
        parse_key_uri(text)


def test_other_keys_of_a_role_have_labels_that_begin_with_its_own():
    uri = parse_key_uri(f"pkcs11:token=t;object=ca;id=%01{QUERY}")
    assert uri.beside("") == uri
    assert uri.beside("-root") == KeyUri("/lib/p11.so", "/etc/pin", "t", "", "ca-root")
    with pytest.raises(Refused, match="named by its id"):
        parse_key_uri(f"pkcs11:token=t;id=%01{QUERY}").beside("-root")
