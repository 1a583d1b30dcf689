# SPDX-License-Identifier: Apache-2.0
"""What has its usual form is read in one step; whatever is put in its place, that gives the close reader's value, or nothing."""

from __future__ import annotations

import hashlib
import json
from random import Random

import pytest

from client.verify.bodies import kind_of
from client.verify.signed import ManagedKey, read_signed
from sigcore import bundle, canonical, der, extensions, keys, plain, x509
from sigcore.bundle import encode_bundle
from sigcore.errors import SigError
from tests.chance import chosen_seed
from tests.property.mutate import mutants
from tests.unit.client.minisig import ARTIFACT, ATTESTATIONS

SEED = chosen_seed()
COUNT = 3000


def outcome(parse, data: bytes):
    try:
        return parse(data)
    except SigError:
        return None


# --- certificates --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def leaf(sigstore) -> bytes:
    return sigstore.sign().certificate


def test_a_usual_certificate_is_read_in_one_step(sigstore, leaf):
    for data in (leaf, sigstore.ca.root.der, sigstore.ca.intermediate.der, sigstore.tsa_leaf.der):
        found = x509._parse_usual(data)
        assert found is not None
        assert [getattr(found, name) for name in x509.Certificate.__slots__] == [
            getattr(x509._parse_closely(data, "it"), name) for name in x509.Certificate.__slots__
        ]


def test_one_step_takes_no_certificate_that_the_close_reader_refuses(sigstore, leaf):
    taken = 0
    for data in mutants([leaf, sigstore.ca.root.der], Random(SEED), COUNT):
        found = x509._parse_usual(data)
        taken += found is not None
        assert found is None or found == outcome(lambda raw: x509._parse_closely(raw, "it"), data)
    assert taken > COUNT / 100, "the mutants must not all be refused"


# --- bundles -------------------------------------------------------------------------------------------------
def in_one_step(data: bytes) -> bundle.Bundle | None:
    return plain.read_plain(data, bundle._read_usual)


def without(data: bytes, *path: str) -> bytes:
    """The bundle without a member of its first log entry, or of its material."""
    document = json.loads(data)
    parent = document["verificationMaterial"]
    for name in path[:-1]:
        parent = parent[name][0] if name == "tlogEntries" else parent[name]
    del parent[path[-1]]
    return json.dumps(document).encode()


@pytest.fixture(scope="module")
def bundles(sigstore) -> list[bytes]:
    """As the writers have it: with and without what may be empty or null, on one line and on many."""
    v1, v2 = encode_bundle(sigstore.sign_v1()), encode_bundle(sigstore.sign())
    return [
        v1,
        v2,
        json.dumps(json.loads(v1), indent=1, ensure_ascii=False).encode(),
        without(v1, "timestampVerificationData"),
        v1.replace(b'{"rfc3161Timestamps":[]}', b"{}"),
        v1.replace(b'{"rfc3161Timestamps":[]}', b"null"),
        without(v2, "tlogEntries", "inclusionPromise"),
        without(v2, "tlogEntries", "integratedTime"),
    ]


def test_a_usual_bundle_is_read_in_one_step(bundles):
    for data in bundles:
        assert in_one_step(data) == bundle._parse_closely(data) is not None


@pytest.mark.parametrize(
    "change",
    [
        (b'"hashedrekord"', b'"hashed\\u0072ekord"'),
        (b'"mediaType"', b'"media\\"Type"'),
        (b'"keyId"', b'"keyId":"","keyId"'),
        (b'{"keyId"', b'{"keyId":7,"keyId"'),
        (b'"logId"', b'"log_id"'),
        (b'"logIndex":"', b'"logIndex":"0'),
        (b'"integratedTime":"0"', b'"integratedTime":0'),
        (b'"rfc3161Timestamps"', b'"a":{},"rfc3161Timestamps"'),
        (b'"SHA2_256"', b'"SHA2_512"'),
        (b"v0.3+json", b"v0.2+json"),
    ],
)
def test_another_form_is_left_to_the_close_reader(bundles, change):
    data = bundles[1].replace(*change)
    assert data != bundles[1]
    assert in_one_step(data) is None


def test_the_body_of_an_entry_is_compared_with_the_one_text_that_its_kind_has(sigstore):
    digest, key = hashlib.sha256(ARTIFACT).digest(), keys.generate_p256()
    managed = ManagedKey(key.public_key())
    cases = [(sigstore.sign(), None), (sigstore.sign_v1(), None), (sigstore.sign_v1(key=key), managed)]
    cases += [(made, None) for made in map(sigstore.attest, ATTESTATIONS) if kind_of(made.log_entries[0]).text]
    for made, named in cases:
        (entry,) = made.log_entries
        row, signed = kind_of(entry), read_signed(made, digest, named)
        assert row.text is not None
        assert row.text(signed).encode("ascii") == entry.body == canonical.encode(row.body(signed, None))


@pytest.mark.parametrize("end", ["\n", " \t\r\n", "\v", "\f", "\u00a0", "\u2028", "{}", ",", "x", "\\n", "\0"])
@pytest.mark.parametrize("start", ["", "\n", "\v", "\ufeff"])
def test_what_stands_around_a_bundle_is_read_alike(bundles, start, end):
    data = start.encode() + bundles[0] + end.encode()
    found = in_one_step(data)
    assert found is None or found == outcome(bundle._parse_closely, data)
    assert (found is not None) == (not start and not end.strip(" \t\r\n"))


def test_one_step_takes_no_bundle_that_the_close_reader_refuses(bundles):
    taken = 0
    for data in mutants(bundles, Random(SEED), COUNT):
        found = in_one_step(data)
        taken += found is not None
        assert found is None or found == outcome(bundle._parse_closely, data)
    assert taken > COUNT / 100, "the mutants must not all be refused"


# --- DER -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "field",
    [
        extensions.Extension("1.2.3", critical=False, value=b""),
        extensions.Extension("1.2.3", critical=True, value=bytes(127)),
        extensions.Extension("1.2.3", critical=True, value=bytes(128)),
        extensions.Extension("1.2.3", critical=False, value=bytes(300)),
        extensions.Extension("2.999.3", critical=False, value=bytes(70_000)),
    ],
    ids=["empty", "short", "long", "longer", "too long for one step"],
)
def test_extensions_of_any_length_are_read_alike(field):
    raw = der.sequence(
        der.oid(field.oid), der.boolean(value=True) if field.critical else b"", der.octet_string(field.value)
    )
    assert x509._parse_extension(raw, "it") == field
    try:
        assert x509._split_extension(raw) == field
    except ValueError:
        assert len(raw) >= 1 << 16


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "30",
        "3080",
        "3000 00",
        "3001",
        "3002 05",
        "3002 0501",
        "3003 1f0100",
        "30 8102 0500",
        "30 820002 0500",
        "30 84000000 02 0500",
        "3004 0481 0100",
        "3006 04820001 0000",
        "3103 020101",
    ],
)
def test_members_are_those_of_strict_der(raw):
    with pytest.raises((ValueError, IndexError)):
        der.members(bytes.fromhex(raw.replace(" ", "")))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_000])
def test_members_stand_as_they_are(size):
    parts = [der.octet_string(bytes(size)), der.null(), der.integer(size)]
    assert der.members(der.sequence(*parts)) == parts
    assert der.members(der.tlv(der.context(3), *parts[:2]), der.context(3)) == parts[:2]
