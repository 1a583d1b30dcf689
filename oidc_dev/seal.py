# SPDX-License-Identifier: Apache-2.0
"""Secrets that must be read again, such as those of one-time passwords, encrypted for the account file (AES-256-GCM).

The key is not in that file, and is encrypted itself where the stack has a passphrase: a copy of the accounts holds no secret in
clear. Each secret is bound to its account, so that nobody can move one to another row.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sigcore.errors import Unavailable

_NONCE: Final = 12
_PURPOSE: Final = b"sigbox one-time password secrets"


class Seal:
    """Seals and opens with a key that is derived from ``secret``."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(secret, _PURPOSE, hashlib.sha256))

    def seal(self, data: bytes, *, of: str) -> bytes:
        """``data`` for the account with the key ``of``."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, data, of.encode("utf-8"))

    def open(self, sealed: bytes, *, of: str) -> bytes:
        """What was sealed for that account.

        Raises:
            Unavailable: it was sealed with another key, for another account, or has been changed.
        """
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], of.encode("utf-8"))
        except (InvalidTag, ValueError) as error:
            message = f"the one-time password secret of {of} cannot be opened"
            raise Unavailable(
                message, "restore accounts.db and seal.key from one backup, or: sigbox user totp"
            ) from error
