# SPDX-License-Identifier: Apache-2.0
"""Key pairs on disk, in cosign's format: ``PREFIX.key`` under a passphrase, ``PREFIX.pub`` in PEM."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from client.files import AnyPath, read_key, save_whole
from sigcore import keys, limits
from sigcore.encrypted_key import SALT_SIZE, encode_encrypted_key, is_encrypted_key, parse_encrypted_key
from sigcore.errors import Refused
from sigcore.keys import PrivateKey
from sigcore.secretbox import NONCE_SIZE

VARIABLE: Final = "COSIGN_PASSWORD"
"""The variable that cosign reads the passphrase from."""
_LOCKED: Final = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
"""How openssl's files begin whose key is under a passphrase."""


def load_private_key(path: AnyPath, ask: Callable[[], bytes]) -> PrivateKey:
    """A private key: cosign's encrypted format, or PEM (PKCS#8, SEC 1, PKCS#1). ``ask`` gives the passphrase where there is one.

    Raises:
        NotFound: no such file. Malformed: no private key. Refused: another passphrase.
    """
    what = f"the key {path}"
    data = read_key(path, what="the key", limit=limits.TEXT)
    if is_encrypted_key(data):
        return parse_encrypted_key(data, ask(), what=what)
    locked = any(mark in data for mark in _LOCKED)
    return keys.parse_private_key(data, ask() if locked else None, what=what)


def save_key_pair(key: PrivateKey, prefix: str, passphrase: bytes, *, overwrite: bool) -> tuple[Path, Path]:
    """Write both files; the private one is for its owner alone.

    Raises:
        Refused: one of them is there, and ``overwrite`` is not given; or the file system does not let us.
    """
    private, public = Path(f"{prefix}.key"), Path(f"{prefix}.pub")
    for path in (private, public):
        if path.exists() and not overwrite:
            raise Refused(
                f"{path} is already there", "give --yes to replace it, or --output-key-prefix for another name"
            )
    sealed = encode_encrypted_key(key, passphrase, salt=os.urandom(SALT_SIZE), nonce=os.urandom(NONCE_SIZE))
    save_whole(sealed, private, mode=0o600, what="the private key")
    save_whole(keys.encode_public_key_pem(key.public_key()).encode("ascii"), public, what="the public key")
    return private, public
