# SPDX-License-Identifier: Apache-2.0
"""Inputs beside the good ones: flipped, cut, repeated, spliced; in JSON every node by something of another kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

ODD_JSON = (
    "null",
    "0",
    "-1",
    "1.5",
    "9223372036854775808",
    '""',
    '"\\ud800"',
    "[]",
    "{}",
    "true",
    "1e999",
    "NaN",
    "[[]]",
)
ODD_BYTES = (
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"=",
    b"\x30\x80",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x06\x80",
    b"[",
    b":x",
)
ODD_TEXT = ("\u0661", "\u2028", "\udc80", "\0", " ", "\n", "\u00e9", "1_0", "+1", "0x1", "-0")
_SLOT = "a string that no seed holds"


def mutants(seeds: list[bytes], chance: Random, count: int) -> Iterator[bytes]:
    """``count`` inputs made by chance, and all that replacing single JSON nodes gives."""
    for _ in range(count):
        yield _mutant(chance.choice(seeds), seeds, chance)
    for seed in seeds:
        yield from _replaced_nodes(seed, chance)
    yield from (chance.randbytes(chance.choice((1, 2, 8, 64, 500))) for _ in range(count // 4))


def _mutant(seed: bytes, seeds: list[bytes], chance: Random) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((1, 1, 2, 4, 16, 200)))
        match chance.randrange(7):
            case 0 if start < len(data):
                data[start] ^= 1 << chance.randrange(8)
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end]
            case 3:
                data[start:start] = chance.choice(ODD_BYTES)
            case 4:
                data[start:end] = chance.choice(ODD_BYTES)
            case 5:
                data[start:] = chance.choice(seeds)[start:]
            case _:
                data[start:end] = chance.choice(ODD_TEXT).encode("utf-8", "surrogatepass")
    return bytes(data)


def _replaced_nodes(seed: bytes, chance: Random) -> Iterator[bytes]:
    try:
        document = json.loads(seed)
    except ValueError:
        return
    for holder, name in list(_places(document)):
        kept, holder[name] = holder[name], _SLOT
        text = json.dumps(document)
        holder[name] = kept
        for odd in chance.sample(ODD_JSON, 5):
            yield text.replace(json.dumps(_SLOT), odd).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for name in value if isinstance(value, dict) else range(len(value)):
            yield value, name
            yield from _places(value[name])
