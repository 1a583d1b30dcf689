# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigcore import tls
from sigcore.errors import Malformed


@pytest.mark.parametrize(("build", "size"), [(tls.uint8, 1), (tls.uint16, 2), (tls.uint24, 3), (tls.uint64, 8)])
def test_numbers_are_big_endian_and_bounded(build, size):
    assert build(1) == bytes(size - 1) + b"\x01"
    assert build(256**size - 1) == b"\xff" * size
    for value in (-1, 256**size):
        with pytest.raises(Malformed, match=f"does not fit into {size} bytes"):
            build(value)


def test_opaque_vectors():
    assert tls.opaque(b"abc", 3) == b"\x00\x00\x03abc"
    assert len(tls.opaque(bytes(255), 1)) == 256
    with pytest.raises(Malformed, match="number 256 does not fit into 1 bytes"):
        tls.opaque(bytes(256), 1)


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300), st.binary(max_size=8))
def test_what_is_built_is_read(small, large, data, fixed):
    built = tls.uint8(small) + tls.opaque(data, 2) + fixed + tls.uint64(large)
    reader = tls.Reader(built, "the struct")
    assert (reader.uint(1), reader.opaque(2), reader.fixed(len(fixed)), reader.uint(8)) == (small, data, fixed, large)
    assert reader.at_end
    reader.finish()


def test_refusals_name_what_is_read():
    with pytest.raises(Malformed, match="the struct ends at byte 1, expected 2 bytes from byte 0 on"):
        tls.Reader(b"\x00", "the struct").uint(2)
    with pytest.raises(Malformed, match="the struct ends at byte 3, expected 3 bytes from byte 1 on"):
        tls.Reader(b"\x03ab", "the struct").opaque(1)
    with pytest.raises(Malformed, match="the struct has a vector of 2 bytes, the limit is 1"):
        tls.Reader(b"\x02ab", "the struct").opaque(1, 1)
    with pytest.raises(Malformed, match="the struct has 2 bytes after its end"):
        tls.Reader(b"ab", "the struct").finish()
