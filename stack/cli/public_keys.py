# SPDX-License-Identifier: Apache-2.0
"""The public key that ``--key`` names, in a file or in a KMS; for verifiers, which start without what private keys need."""

from __future__ import annotations

from client.files import VARIABLE, AnyPath, read_key
from sigcore import keys, limits
from sigcore.errors import Refused
from sigcore.keys import PublicKey
from sigcore.strict import shown
from stack.cli.usage import Usage


def read_public_key(path: AnyPath) -> PublicKey:
    """The public key that ``--key`` names: a file in PEM, a variable (``env://NAME``), or a key in a KMS.

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
    return keys.parse_public_key_pem(read_key(path, what=what, limit=limits.PUBLIC_KEY), what=what)


def in_kms(path: AnyPath) -> bool:
    """Whether ``path`` is a reference NAME://KEY, and neither a file nor a variable.

    Raises:
        Usage: it is a URL. cosign fetches what is there; a key that nobody has looked at says nothing.
    """
    text = str(path)
    if "://" not in text or text.startswith(VARIABLE):
        return False
    if text.startswith(("https://", "http://")):
        raise Usage(
            f"the key {shown(text, 90)} is a URL, and keys are not fetched",
            "fetch it once, check it, and give the file",
        )
    from sigcore.kms import is_reference  # noqa: PLC0415 - as in read_public_key

    return is_reference(text)
