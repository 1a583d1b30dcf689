# SPDX-License-Identifier: Apache-2.0
"""Passwords and their argon2id hashes (RFC 9106). Slow on purpose: never call these on the event loop."""

from __future__ import annotations

import unicodedata
from typing import Final

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from oidc_dev.rules import PASSES
from sigcore import limits
from sigcore.errors import Malformed, Unavailable

SHORTEST: Final = 8
"""NIST SP 800-63B section 3.1.1.2. No rule about kinds of characters."""
MEMORY_KIB: Final = 19 * 1024
"""OWASP's first choice for argon2id; a fifth of a stack's memory."""


class Passwords:
    """Makes and checks hashes that cost ``passes`` over the memory, in one lane."""

    def __init__(self, passes: int = PASSES) -> None:
        self._passes = passes
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=MEMORY_KIB, parallelism=1)
        self._nobody = f"$argon2id$v=19$m={MEMORY_KIB},t={passes},p=1$QUFBQUFBQUFBQUFBQUFBQQ${'A' * 43}"
        """A hash that no password has (its output is all zeros): checking against it takes as long as against a real one."""

    def hash(self, password: str) -> str:
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
        return self._hasher.hash(data)

    def holds(self, hashed: str | None, password: str) -> bool:
        """Whether ``password`` is the one that ``hashed`` was made of; None, for nobody's hash, takes as long and is false.

        Raises:
            Unavailable: there is no memory for it, or the hash is damaged.
        """
        data = _encoded(password)
        # Longer ones exist nowhere; the work is the same, the answer is no.
        known = hashed if hashed is not None and len(data) <= limits.PASSWORD else None
        try:
            self._make_up(known or self._nobody)
            self._hasher.verify(known or self._nobody, data[: limits.PASSWORD])
        except (VerifyMismatchError, InvalidHashError):
            return False
        except VerificationError as error:
            raise Unavailable(
                f"no password can be checked: {error}", "is there memory left, and is the account whole?"
            ) from error
        return known is not None

    def _make_up(self, hashed: str) -> None:
        """The passes that ``hashed`` is short of: else an account from before the price went up could be told from nobody."""
        try:
            missing = self._passes - extract_parameters(hashed).time_cost
        except InvalidHashError:
            return  # what is wrong with it, the check will say
        if missing > 0:
            PasswordHasher(time_cost=missing, memory_cost=MEMORY_KIB, parallelism=1).hash(b"")

    def is_outdated(self, hashed: str) -> bool:
        """Whether ``hashed`` costs more or less than hashes do now, so that its account could be told from nobody's."""
        return self._hasher.check_needs_rehash(hashed)


def _normal(password: str) -> str:
    """One spelling for what looks the same on every keyboard (RFC 8265 section 4.2.2)."""
    return unicodedata.normalize("NFC", password)


def _encoded(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")
