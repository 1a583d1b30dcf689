# SPDX-License-Identifier: Apache-2.0
"""A07, the moduli that somebody can factor. Strength is judged from the modulus alone, so the factors need not be prime."""

from __future__ import annotations

import random
import time
from math import gcd, prod

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca.strength import check_certifiable, roca_powers, small_product
from sigcore.errors import Refused

TO_167 = prod(n for n in range(2, 168) if all(n % d for d in range(2, n)))


def public(modulus):
    return rsa.RSAPublicNumbers(65537, modulus).public_key()


def sieved(make):
    """The first of ``make(0), make(1), ...`` that has 2048 bits and no small factor."""
    return next(n for n in map(make, range(100_000)) if n.bit_length() == 2048 and gcd(n, small_product()) == 1)


def close(distance):
    rng = random.Random(distance)
    middle = (3 << 1022) + (rng.getrandbits(1000) << 1)
    return sieved(lambda i: (middle + 2 * i - distance) * (middle + 2 * i + distance))


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_sound_rsa_keys_pass_quickly(size):
    key = rsa.generate_private_key(65537, size).public_key()
    start = time.process_time()
    check_certifiable(key)
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()])
def test_other_keys_are_judged_by_their_kind(key):
    check_certifiable(key.public_key())


@pytest.mark.parametrize("factor", [3, 5, 97, 751])
def test_a_small_factor(factor):
    modulus = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
    modulus -= modulus % (2 * factor) - factor
    with pytest.raises(Refused, match="small prime factor"):
        check_certifiable(public(modulus))


@pytest.mark.parametrize("distance", [1, 101, 2**500 + 1, 2**513 + 1])
def test_factors_that_are_close(distance):
    with pytest.raises(Refused, match="too close"):
        check_certifiable(public(close(distance)))


def test_a_square():
    with pytest.raises(Refused, match="too close"):
        check_certifiable(public(sieved(lambda i: ((3 << 1022) + 2 * i + 1) ** 2)))


def test_factors_that_are_far_apart_pass():
    check_certifiable(public(close(2**900 + 1)))


def test_the_roca_form():
    start = (7 << 2045) // TO_167
    residue = pow(65537, 1234567, TO_167)
    with pytest.raises(Refused, match="ROCA"):
        check_certifiable(public(sieved(lambda i: (start + i) * TO_167 + residue)))


def test_the_roca_primes_are_those_of_the_paper():
    assert [prime for prime, _ in roca_powers()] == [
        11,
        13,
        17,
        19,
        37,
        53,
        61,
        71,
        73,
        79,
        97,
        103,
        107,
        109,
        127,
        151,
        157,
    ]
