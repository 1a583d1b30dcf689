# SPDX-License-Identifier: Apache-2.0
"""The public key that ``--key`` names, in a file or in a KMS; for verifiers, which start without what private keys need."""

from __future__ import annotations

from client.files import AnyPath, read_file
from sigcore import keys, limits
from sigcore.errors import Refused
from sigcore.keys import PublicKey
from stack.cli.usage import Usage


def read_public_key(path: AnyPath) -> PublicKey:
    """The public key that ``--key`` names: a file in PEM, or a key in a KMS.

    Raises:
        NotFound, Malformed, Unavailable: as :func:`stack.cli.passphrase.open_private_key`. Usage: a key in a KMS that cannot be used.
    """
    if in_kms(path):
        # Deferred, like the next: keys are in files, nearly always.
        from stack.kms.key import load_kms_public_key  # noqa: PLC0415 - see the line above

        try:
            return load_kms_public_key(str(path))
        except Refused as error:
            raise Usage(error.message, error.hint) from error
    what = f"the key {path}"
    return keys.parse_public_key_pem(read_file(path, what=what, limit=limits.PUBLIC_KEY), what=what)


def in_kms(path: AnyPath) -> bool:
    """Whether ``path`` is a reference NAME://KEY, and no file."""
    text = str(path)
    if "://" not in text:
        return False
    from sigcore.kms import is_reference  # noqa: PLC0415 - as in read_public_key

    return is_reference(text)
