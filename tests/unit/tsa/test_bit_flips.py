# SPDX-License-Identifier: Apache-2.0
"""Every single bit of a response is flipped. Without certificates nothing of it may change; with certificates the only
bytes outside of what is verified are those of the embedded intermediate, which a pinned chain does not use, and the tag
of the certificate set: one bit makes it the set of CRLs, which is skipped, and then nothing is embedded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sigcore import timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import SigError
from sigcore.timestamp import TimestampRequest
from tsa.authority import TimestampAuthority

MESSAGE = b"a signature, raw"


def accepted_flips(authority: TimestampAuthority, data: bytes) -> Iterator[int]:
    """The byte positions of flips that still verify, with the same time."""
    time = timestamp.verify_response(timestamp.parse_response(data), MESSAGE, chain=authority.chain)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            response = timestamp.parse_response(bytes(flipped))
            assert timestamp.verify_response(response, MESSAGE, chain=authority.chain) == time
        except SigError:
            continue
        yield bit // 8


@pytest.mark.parametrize("certificates", [False, True])
def test_one_flipped_bit_is_refused(authority: TimestampAuthority, now, certificates):
    digest = HashAlgorithm.SHA2_256.digest(MESSAGE)
    request = TimestampRequest(HashAlgorithm.SHA2_256, digest, None, 2**63, certificates)
    data = authority.respond(request, now=now, serial=2**100)
    outside = set()
    if certificates:
        intermediate = authority.chain[1].der
        start = data.index(intermediate)
        first = min(data.index(certificate.der) for certificate in authority.chain[:-1])
        outside = {*range(start, start + len(intermediate)), first - len(b"\xa0\x82\x00\x00")}
    survivors = set(accepted_flips(authority, data))
    assert survivors <= outside
    assert bool(survivors) == certificates
