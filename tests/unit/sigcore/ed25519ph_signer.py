# SPDX-License-Identifier: Apache-2.0
"""A signer for Ed25519ph in affine coordinates, straight from the curve's equation: slow, and nothing of what it tests is used."""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def add(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, P - 2, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, P - 2, P)
    return x % P, y % P


def times(number: int, point: tuple[int, int]) -> tuple[int, int]:
    total = (0, 1)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def encode(point: tuple[int, int]) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def sign_digest(secret: bytes, digest: bytes) -> bytes:
    """RFC 8032 section 5.1.6 with F = 1, the empty context, and PH = SHA-512 applied by the caller."""
    domain = b"SigEd25519 no Ed25519 collisions\x01\x00"
    hashed = bytearray(hashlib.sha512(secret).digest())
    hashed[0] &= 248
    hashed[31] = hashed[31] & 127 | 64
    scalar = int.from_bytes(hashed[:32], "little")
    nonce = int.from_bytes(hashlib.sha512(domain + bytes(hashed[32:]) + digest).digest(), "little") % L
    point = encode(times(nonce, BASE))
    k = int.from_bytes(hashlib.sha512(domain + point + encode(times(scalar, BASE)) + digest).digest(), "little") % L
    return point + ((nonce + k * scalar) % L).to_bytes(32, "little")
