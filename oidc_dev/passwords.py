# SPDX-License-Identifier: Apache-2.0
"""Passwords and their argon2id hashes (RFC 9106). Slow on purpose: never call these on the event loop."""

from __future__ import annotations

import unicodedata
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from sigcore import limits
from sigcore.errors import Malformed, Unavailable

SHORTEST: Final = 8
"""NIST SP 800-63B section 3.1.1.2. No rule about kinds of characters."""
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""19 MiB, two passes, one lane: OWASP's first choice for argon2id; a fifth of a stack's memory, 20 to 40 ms."""
_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$QUFBQUFBQUFBQUFBQUFBQQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""A hash that no password has (its output is all zeros): checking against it takes as long as checking against a real one."""


def hash_password(password: str) -> str:
    """The hash of ``password`` with a fresh salt, in the text form that names its parameters.

    Raises:
        Malformed: it is shorter than ``SHORTEST`` characters, or longer than ``limits.PASSWORD`` bytes.
    """
    found = len(_normal(password))
    if found < SHORTEST:
        raise Malformed(f"the password has {found} characters, expected at least {SHORTEST}", "a few words will do")
    data = _encoded(password)
    if len(data) > limits.PASSWORD:
        raise Malformed(f"the password is {len(data)} bytes long, the limit is {limits.PASSWORD}")
    return _HASHER.hash(data)


def password_holds(hashed: str | None, password: str) -> bool:
    """Whether ``password`` is the one that ``hashed`` was made of; None, for nobody's hash, takes as long and is false.

    Raises:
        Unavailable: there is no memory for it, or the hash is damaged.
    """
    data = _encoded(password)
    # Longer ones exist nowhere; the work is the same, the answer is no.
    known = hashed if hashed is not None and len(data) <= limits.PASSWORD else None
    try:
        _HASHER.verify(known or _NOBODY, data[: limits.PASSWORD])
    except (VerifyMismatchError, InvalidHashError):
        return False
    except VerificationError as error:
        raise Unavailable(
            f"no password can be checked: {error}", "is there memory left, and is the account whole?"
        ) from error
    return known is not None


def _normal(password: str) -> str:
    """One spelling for what looks the same on every keyboard (RFC 8265 section 4.2.2)."""
    return unicodedata.normalize("NFC", password)


def _encoded(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")
