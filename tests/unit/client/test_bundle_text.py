# SPDX-License-Identifier: Apache-2.0
"""A bundle whose text is that of an earlier one around the values is cut at the quotation marks: it says what the close reader says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pytest

from sigcore import bundle, bundle_text, limits
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import SigError
from tests.chance import chosen_seed
from tests.property.mutate import mutants
from tests.unit.client.minisig import MiniSigstore

SEED = chosen_seed()
COUNT = 3000


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    bundle_text._forms.cache_clear()
    yield
    bundle_text._forms.cache_clear()


@pytest.fixture(scope="module")
def own() -> MiniSigstore:
    return MiniSigstore()


def made(own: MiniSigstore) -> Iterator[bytes]:
    """As the writers have it: generations, line ends, escapes, and what may be absent, empty or null."""
    v1, v2 = encode_bundle(own.sign_v1()), encode_bundle(own.sign())
    yield v1
    yield v2
    yield json.dumps(json.loads(v1), indent=1, ensure_ascii=False).encode()
    yield json.dumps(json.loads(v2), separators=(" , ", "\t:\r\n")).encode()
    for name in ("inclusionPromise", "integratedTime"):
        document = json.loads(v2)
        del document["verificationMaterial"]["tlogEntries"][0][name]
        yield json.dumps(document).encode()
    for stamps in (b"{}", b"null"):
        yield v1.replace(b'{"rfc3161Timestamps":[]}', stamps)


def found(read, data: bytes):
    """What ``read`` gives, or why not."""
    try:
        return read(data)
    except SigError as error:
        return type(error), error.message, error.hint


def is_known(data: bytes) -> bool:
    return bundle_text.read_known(data) is not None


def test_the_second_bundle_of_a_writer_is_read_by_the_places_of_its_values(own):
    """Paths in the tree grow while entries are added: in each round there may be one that is longer than all before."""
    known = 0
    for _ in range(24):
        for data in made(own):
            known += is_known(data)
            assert parse_bundle(data) == bundle._parse_closely(data)
            assert is_known(data)
            assert parse_bundle(data) == bundle._parse_closely(data)
    assert known > 24


def test_whatever_byte_is_changed_both_readers_agree(own):
    (v1, v2, *_), taken = made(own), 0
    random = Random(SEED)
    for data in (v1, v2):
        parse_bundle(data)
        for place, byte in [*enumerate(data)][random.randrange(3) :: 3]:
            other = random.choice([one for one in b'\0\n\r \t"\\=+/09-_n\x7f\x80\xe2' if one != byte])
            for mutant in (
                data[:place] + bytes((other,)) + data[place + 1 :],
                data[:place] + bytes((other,)) + data[place:],
                data[:place] + data[place + 1 :],
            ):
                taken += is_known(mutant)
                if is_known(mutant) or place % 16 == 0:  # the close reader is slow
                    assert found(parse_bundle, mutant) == found(bundle._parse_closely, mutant)
    assert taken > 20, "numbers and signatures have other spellings that are good"


def test_whatever_is_put_in_its_place_both_readers_agree(own):
    seeds = [*made(own)]
    for data in seeds:
        parse_bundle(data)
    taken = 0
    for data in mutants(seeds, Random(SEED), COUNT):
        taken += is_known(data)
        assert found(parse_bundle, data) == found(bundle._parse_closely, data)
    assert taken > COUNT / 100, "the mutants must not all be refused"


NUMBERS = (
    "007",
    "-1",
    "+1",
    "1_0",
    " 1",
    "1 ",
    "",
    "1.0",
    "1e3",
    str(limits.INT64_MAX + 1),
    "9" * 5000,
    "\u0661",
    "0x1",
)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", ["logIndex", "treeSize", "integratedTime"])
def test_a_number_has_one_spelling(own, name, number):
    data = encode_bundle(own.sign_v1())
    parse_bundle(data)
    start = data.index(f'"{name}":"'.encode()) + len(name) + 4
    bad = data[:start] + number.encode() + data[data.index(b'"', start) :]
    assert not is_known(bad)
    assert found(parse_bundle, bad) == found(bundle._parse_closely, bad)
    good = data[:start] + str(limits.INT64_MAX).encode() + data[data.index(b'"', start) :]
    assert is_known(good)
    assert parse_bundle(good) == bundle._parse_closely(good)


ESCAPES = (
    "\\\\n",
    "\\\\",
    "\\t",
    "\\u000a",
    "\\u2014\\u2014",
    "\\\\u2014",
    "\\/",
    "\t",
    "\n",
    "\u2028",
    "\x7f",
    "\u00e9",
)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_checkpoint_has_the_escapes_of_a_checkpoint(own, escape):
    data = encode_bundle(own.sign_v1())
    parse_bundle(data)
    start = data.index(b'"envelope":"') + len(b'"envelope":"')
    for place in (start, start + 3, data.index(b'"', start)):
        mutant = data[:place] + escape.encode() + data[place:]
        assert found(parse_bundle, mutant) == found(bundle._parse_closely, mutant)


@pytest.mark.parametrize(
    "name", ["rawBytes", "signature", "canonicalizedBody", "rootHash", "digest", "signedEntryTimestamp"]
)
def test_a_value_in_base64_has_one_spelling_and_its_length(own, name):
    data = encode_bundle(own.sign_v1())
    parse_bundle(data)
    start = data.index(f'"{name}":"'.encode()) + len(name) + 4
    end = data.index(b'"', start)
    value = data[start:end]
    others = (b"", b"AA==", b"AB==", value[:-4], value + b"=", value[:-1] + b"\n=", value[:8] + b"\\n" + value[8:])
    for other in (*others, b"AAAA" * 400, value[:4] + b"-_-_" + value[8:], value[:4] + "\u00e9".encode() + value[6:]):
        mutant = data[:start] + other + data[end:]
        assert found(parse_bundle, mutant) == found(bundle._parse_closely, mutant)


def test_what_is_kept_has_a_bound(own):
    data = encode_bundle(own.sign_v1())
    for spaces in range(40):
        parse_bundle(data + b" " * spaces)
    assert len(bundle_text._forms(len(data.split(b'"')))) == bundle_text._KEPT
    bundle_text._forms.cache_clear()
    parse_bundle(data + b" " * 5000)
    parse_bundle(data.replace(b'"canonicalizedBody":"', b'"canonicalizedBody":"' + b"AAAA" * 8000))
    assert not bundle_text._forms(len(data.split(b'"')))
