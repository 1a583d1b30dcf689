# SPDX-License-Identifier: Apache-2.0
"""NaCl's ``crypto_secretbox``: XSalsa20 and Poly1305, for the one place that needs it, cosign's encrypted key files.

    subkey  = HSalsa20(key, nonce[0:16])
    stream  = Salsa20(subkey, nonce[16:24])
    box     = Poly1305(stream[0:32], c) || c        c = message XOR stream[32:]

The cryptography library has Poly1305 and no Salsa20, so that is here: a few hundred bytes in plain Python, once per key file.
It is not constant-time; whoever can time it on this machine holds the file and the passphrase's terminal anyway.

Source: D. J. Bernstein, "Cryptography in NaCl" sections 7 to 9, "Extending the Salsa20 nonce".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from sigcore.errors import Refused

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 24
_TAG: Final = 16
_BLOCK: Final = 64
_WORD: Final = 0xFFFFFFFF
_SIGMA: Final = struct.unpack("<4I", b"expand 32-byte k")
_QUARTERS: Final = (
    (0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
    (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14),
)  # fmt: skip
"""The words that the four column rounds and the four row rounds of a double round mix."""


def seal(message: bytes, key: bytes, nonce: bytes) -> bytes:
    """The box. A nonce (24 bytes) is used once with a key (32 bytes)."""
    stream = _stream(key, nonce, 32 + len(message))
    sealed = _xor(message, stream[32:])
    return Poly1305.generate_tag(stream[:32], sealed) + sealed


def unseal(box: bytes, key: bytes, nonce: bytes) -> bytes:
    """The message in the box.

    Raises:
        Refused: another key or nonce, or the box was changed.
    """
    tag, sealed = box[:_TAG], box[_TAG:]
    stream = _stream(key, nonce, 32 + len(sealed))
    try:
        Poly1305.verify_tag(stream[:32], sealed, tag)
    except InvalidSignature as error:
        raise Refused("the box does not open with this key") from error
    return _xor(sealed, stream[32:])


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=False))


def _stream(key: bytes, nonce: bytes, size: int) -> bytes:
    """``size`` bytes of XSalsa20."""
    words = _rounds(_state(key, struct.unpack("<4I", nonce[:16])))
    subkey = struct.pack("<8I", *(words[at] for at in (0, 5, 10, 15, 6, 7, 8, 9)))
    blocks = []
    for counter in range(-(-size // _BLOCK)):
        state = _state(subkey, (*struct.unpack("<2I", nonce[16:]), counter & _WORD, counter >> 32))
        mixed = _rounds(state)
        blocks.append(struct.pack("<16I", *((a + b) & _WORD for a, b in zip(state, mixed, strict=True))))
    return b"".join(blocks)[:size]


def _state(key: bytes, middle: Sequence[int]) -> list[int]:
    """The constants on the diagonal, the key around them, nonce and counter in the middle."""
    k = struct.unpack("<8I", key)
    return [_SIGMA[0], *k[:4], _SIGMA[1], *middle, _SIGMA[2], *k[4:], _SIGMA[3]]


def _rounds(state: Sequence[int]) -> list[int]:
    """The twenty rounds of Salsa20, without the final addition."""
    x = list(state)
    for _ in range(10):
        for a, b, c, d in _QUARTERS:
            x[b] ^= _rotated(x[a] + x[d], 7)
            x[c] ^= _rotated(x[b] + x[a], 9)
            x[d] ^= _rotated(x[c] + x[b], 13)
            x[a] ^= _rotated(x[d] + x[c], 18)
    return x


def _rotated(word: int, by: int) -> int:
    word &= _WORD
    return (word << by | word >> 32 - by) & _WORD
