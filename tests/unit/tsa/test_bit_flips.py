# SPDX-License-Identifier: Apache-2.0
"""One flipped bit in a response: nothing that is verified may change.

Without certificates every bit counts. With certificates the only bytes outside of what is verified are those of the embedded
intermediate, which a pinned chain does not use, and the tag of the certificate set: one bit makes it the set of CRLs, which
is skipped, and then nothing is embedded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sigcore import timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import SigError
from sigcore.timestamp import TimestampRequest
from tsa.authority import TimestampAuthority

MESSAGE = b"a signature, raw"


def issue(authority: TimestampAuthority, now, *, certificates: bool) -> bytes:
    digest = HashAlgorithm.SHA2_256.digest(MESSAGE)
    request = TimestampRequest(HashAlgorithm.SHA2_256, digest, None, 2**63, certificates)
    return authority.respond(request, now=now, serial=2**100)


def accepted_flips(authority: TimestampAuthority, data: bytes, bits: Iterable[int]) -> Iterator[int]:
    """The byte positions of flips that still verify; the time must be the same then."""
    time = timestamp.verify_response(timestamp.parse_response(data), MESSAGE, chain=authority.chain)
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            response = timestamp.parse_response(bytes(flipped))
            assert timestamp.verify_response(response, MESSAGE, chain=authority.chain) == time
        except SigError:
            continue
        yield bit // 8


def test_every_bit_of_a_response_counts(authority: TimestampAuthority, now):
    data = issue(authority, now, certificates=False)
    assert list(accepted_flips(authority, data, range(8 * len(data)))) == []


def test_of_embedded_certificates_the_leaf_counts(authority: TimestampAuthority, now):
    data = issue(authority, now, certificates=True)
    leaf, intermediate = (certificate.der for certificate in authority.chain[:2])
    start = min(data.index(leaf), data.index(intermediate)) - len(b"\xa0\x82\x00\x00")
    end = start + 4 + len(leaf) + len(intermediate)
    assert data[start] == 0xA0
    unused = range(data.index(intermediate), data.index(intermediate) + len(intermediate))
    survivors = set(accepted_flips(authority, data, (8 * byte + byte % 8 for byte in range(start + 1, end))))
    assert survivors
    assert survivors <= set(unused)
    assert list(accepted_flips(authority, data, range(8 * start, 8 * start + 8))) == [start]
