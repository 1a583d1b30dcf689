# SPDX-License-Identifier: Apache-2.0
"""Ed25519ph: whether a signature over a SHA-512 digest holds. Verification only; no secret is ever touched.

The cryptography library has Ed25519, which needs the whole message, and not its prehashed form, which is the only one that a log
can check: it is given digests. The curve arithmetic here is therefore ours. It takes a few milliseconds and its time depends on
its input, which is public.

    -x^2 + y^2 = 1 + d x^2 y^2        over the field of p = 2^255 - 19; points in extended coordinates (X, Y, Z, T)

Source: RFC 8032 sections 5.1 and 8; formulas of section 5.1.4.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeAlias

from sigcore.errors import Refused

_Point: TypeAlias = tuple[int, int, int, int]

P: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, P) % P
_ROOT: Final = pow(2, (P - 1) // 4, P)
"""A square root of -1."""
DOM2: Final = b"SigEd25519 no Ed25519 collisions\x01\x00"
"""The domain of Ed25519ph with the empty context (RFC 8032 section 2)."""
_IDENTITY: Final[_Point] = (0, 1, 1, 0)
_HINT: Final = "over a digest it must be Ed25519ph; plain Ed25519 signs the whole file, and no log can check that"


def verify(public_key: bytes, signature: bytes, digest: bytes, *, what: str, domain: bytes = DOM2) -> None:
    """Check ``signature`` (64 bytes) by ``public_key`` (32 bytes) over ``digest`` (RFC 8032 section 5.1.7).

    1. The signature is R || S with S below the group's order: one signature has one spelling.
    2. The key is a point in its one encoding.
    3. k = SHA-512(domain || R || key || digest).
    4. S B - k A must be R, byte for byte. This is the check without the cofactor, as Go and OpenSSL make it.

    The caller has checked that the digest is one of SHA-512. ``domain`` is empty for plain Ed25519 over a message, which the
    tests compare with another implementation.

    Raises:
        Refused: it does not hold. ``what`` names it.
    """
    point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    key = _decode(public_key)
    if len(signature) != 64 or scalar >= ORDER or key is None:
        raise Refused(f"{what} does not verify", _HINT)
    k = int.from_bytes(hashlib.sha512(domain + point + public_key + digest).digest(), "little") % ORDER
    x, y, z, t = key
    if _encode(_both(scalar, k, (P - x, y, z, P - t))) != point:
        raise Refused(f"{what} does not verify", _HINT)


def _both(base_times: int, times: int, point: _Point) -> _Point:
    """base_times B + times * point, bit by bit for both at once."""
    table = (_IDENTITY, _BASE, point, _add(_BASE, point))
    total = _IDENTITY
    for bit in range(max(base_times.bit_length(), times.bit_length()) - 1, -1, -1):
        total = _add(total, total)
        addend = (base_times >> bit & 1) | (times >> bit & 1) << 1
        if addend:
            total = _add(total, table[addend])
    return total


def _add(one: _Point, other: _Point) -> _Point:
    """The complete addition of RFC 8032 section 5.1.4: it doubles too."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * _D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _decode(data: bytes) -> _Point | None:
    """A point from 32 bytes (RFC 8032 section 5.1.3); None for what is none, or is written in another way than the one."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if len(data) != 32 or y >= P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _ROOT % P
    if x * x % P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _encode(point: _Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_Y: Final = 4 * pow(5, -1, P) % P
_BASE: Final = _decode(_Y.to_bytes(32, "little")) or _IDENTITY
"""The generator, whose x is even."""
