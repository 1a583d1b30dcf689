# SPDX-License-Identifier: Apache-2.0
"""An RSA key out of bytes that are drawn, the same key for the same bytes: the provider's, of a stack with a seed.

1. Each prime begins at 1024 drawn bits, of which the two highest and the lowest are set: the product has 2048 bits, and is odd.
2. The prime is the first number from there on, in steps of two, that has no small factor, suits the exponent and is prime.
3. The key is made of both, and the library proves it once more.

Whether a number is prime is asked of OpenSSL, in the way that there is: a key with the number as one prime and 3 as the other is good
or not (RSA_check_key). An answer takes a fraction of a millisecond, by arithmetic of our own 15 of them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import gcd, prod
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from sigcore.keys import RSA_EXPONENT

PRIME_BYTES: Final = 128
_SMALL: Final = prod(
    number for number in range(3, 1000, 2) if all(number % low for low in range(3, 32, 2) if low < number)
)


def make_rsa(draw: Callable[[str], bytes]) -> rsa.RSAPrivateKey:
    """The key; ``draw`` gives 32 bytes for each name, always the same."""
    p, q = (_prime(b"".join(draw(f"{name}/{block}") for block in range(PRIME_BYTES // 32))) for name in ("p", "q"))  # 1
    return _key(max(p, q), min(p, q))  # 3


def _prime(drawn: bytes) -> int:
    number = int.from_bytes(drawn, "big") | 3 << (8 * PRIME_BYTES - 2) | 1
    while not _is_prime(number):  # 2
        number += 2
    return number


def _is_prime(number: int) -> bool:
    if gcd(number, _SMALL) > 1 or gcd(number - 1, RSA_EXPONENT) > 1:
        return False
    try:
        _key(number, 3)
    except ValueError:
        return False
    return True


def _key(p: int, q: int) -> rsa.RSAPrivateKey:
    exponent = pow(RSA_EXPONENT, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=exponent,
        dmp1=rsa.rsa_crt_dmp1(exponent, p),
        dmq1=rsa.rsa_crt_dmq1(exponent, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(RSA_EXPONENT, p * q),
    ).private_key()
