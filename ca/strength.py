# SPDX-License-Identifier: Apache-2.0
"""Keys that must not be certified although their size is right: moduli that somebody can factor.

Sources: Boulder's good-key policy (which Fulcio applies too); Nemec et al. 2017, "The Return of Coppersmith's Attack" (ROCA);
Boeck 2023, "Fermat Factorization in the Wild".
"""

from __future__ import annotations

from functools import cache
from math import gcd, isqrt, prod
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from sigcore import keys
from sigcore.errors import Refused
from sigcore.keys import PublicKey

FERMAT_ROUNDS: Final = 100
"""As Boulder: finds primes that are so close that a broken generator must have made them; costs under a millisecond."""


@cache
def small_primes() -> tuple[int, ...]:
    """Those below 752: made for the first RSA key, since a start has none."""
    return tuple(n for n in range(2, 752) if all(n % d for d in range(2, isqrt(n) + 1)))


@cache
def small_product() -> int:
    """Of the small primes."""
    return prod(small_primes())


@cache
def roca_powers() -> tuple[tuple[int, frozenset[int]], ...]:
    """Primes to 167 with the powers of 65537 modulo each, unless those are every residue and tell nothing.

    The broken library made primes k*M + (65537**a mod M), M the product of the primes to 167: modulo each of them such a key is a
    power of 65537.
    """
    return tuple(
        (prime, powers)
        for prime in small_primes()
        if 2 < prime <= 167 and len(powers := _powers_of_65537(prime)) < prime - 1
    )


def _powers_of_65537(prime: int) -> frozenset[int]:
    powers, value = set(), 1
    while value not in powers:
        powers.add(value)
        value = value * keys.RSA_EXPONENT % prime
    return frozenset(powers)


def check_certifiable(key: PublicKey, *, what: str = "the public key") -> None:
    """Refuse keys that no certificate should be issued for.

    1. Kind, curve, size and exponent (``keys.check_strength``).
    2. RSA: no prime factor below 752.
    3. RSA: the two primes are not close (Fermat's method, :data:`FERMAT_ROUNDS`).
    4. RSA: not of the form that the ROCA library made. One in 2**28 sound keys looks like that too.

    Raises:
        Refused: names the weakness.
    """
    keys.check_strength(key, what=what)  # 1
    if keys.is_ecdsa(key) or not isinstance(key, rsa.RSAPublicKey):
        return
    modulus = key.public_numbers().n
    if gcd(modulus, small_product()) != 1:  # 2
        raise Refused(f"{what} is RSA with a small prime factor", "generate another key")
    if _is_fermat_factorable(modulus):  # 3
        raise Refused(f"{what} is RSA of two primes that are too close", "generate another key with another library")
    if all(modulus % prime in powers for prime, powers in roca_powers()):  # 4
        raise Refused(f"{what} is RSA of the ROCA form (CVE-2017-15361)", "generate another key with another library")


def _is_fermat_factorable(modulus: int) -> bool:
    """Whether ``modulus`` = (a - b)(a + b) with a just above its square root."""
    a = isqrt(modulus)
    if a * a == modulus:
        return True
    for _ in range(FERMAT_ROUNDS):
        a += 1
        rest = a * a - modulus
        if isqrt(rest) ** 2 == rest:
            return True
    return False
