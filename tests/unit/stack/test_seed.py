# SPDX-License-Identifier: Apache-2.0
"""An RSA key of a seed: the same every time, another one for another seed, and a good one."""

from __future__ import annotations

import random
from math import isqrt

from cryptography.hazmat.primitives.asymmetric import rsa

from stack.seed import KeySource
from stack.seeded_rsa import _is_prime


def numbers(seed: int | None, name: str = "oidc") -> rsa.RSAPrivateNumbers:
    return KeySource(seed).rsa2048(name).private_numbers()


def passes_miller_rabin(number: int) -> bool:
    """An opinion of our own, with forty bases."""
    chance = random.Random(number)
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (chance.randrange(2, number - 1) for _ in range(40)):
        power = pow(base, odd, number)
        if power not in (1, number - 1) and not any(
            (power := pow(power, 2, number)) == number - 1 for _ in range(twos - 1)
        ):
            return False
    return True


def test_a_seed_gives_the_same_key_every_time_and_another_one_another():
    seven = numbers(7)
    assert numbers(7) == seven
    assert len({seven.p, seven.q, numbers(8).p, numbers(7, "other").p, numbers(None).p}) == 5


def test_the_key_is_of_2048_bits_and_of_primes():
    found = numbers(7)
    assert found.public_numbers.n.bit_length() == 2048
    assert found.p * found.q == found.public_numbers.n
    assert passes_miller_rabin(found.p)
    assert passes_miller_rabin(found.q)
    assert abs(found.p - found.q) > isqrt(found.public_numbers.n) >> 100, "far apart, as FIPS 186-5 wants it"


def test_what_is_said_to_be_prime_is():
    chance, seven = random.Random(1), numbers(7)
    odd = [chance.getrandbits(1024) | 1 << 1023 | 1 for _ in range(100)]
    products = [number * 1_000_003 for number in (1 << 1004 | 1, 3 << 1003 | 1)]
    assert [number for number in (*odd, *products, seven.p, seven.q) if _is_prime(number)] == [
        number for number in (*odd, *products, seven.p, seven.q) if passes_miller_rabin(number)
    ]
    assert _is_prime(seven.p)
