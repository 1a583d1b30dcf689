# SPDX-License-Identifier: Apache-2.0
"""The keys that ``sigstore-kms-sigbox`` holds: what stands behind ``sigbox://`` is a key file, or a URI of a key in a token.

- ``sigbox:///home/alice/release.key``: a file in cosign's format. The public half comes from ``release.pub`` beside it, where there
  is one, so that nobody is asked for the password to verify; the key that signs must belong to it.
- ``sigbox://pkcs11:token=...;object=...?module-path=...&pin-source=...``: as in ``[keys]`` of the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from client.files import read_file
from client.key_files import load_private_key, save_key_pair
from sigcore import keys, limits
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey, PublicKey
from sigcore.pkcs11_uri import SCHEME, parse_key_uri
from stack.kms.password import ask_password


class Held(Protocol):
    """One key, or the place for one."""

    def public(self) -> PublicKey:
        """Its public half. NotFound: there is no key."""
        ...

    def private(self) -> PrivateKey:
        """The key, to sign with."""
        ...

    def make(self) -> PublicKey:
        """A new key there, ECDSA on P-256; its public half. Refused: there is one that cannot be used, or must not be replaced."""
        ...


def held_key(resource: str) -> Held:
    """What ``resource`` names; nothing is opened yet.

    Raises:
        Malformed: neither form. Refused: as :func:`sigcore.pkcs11_uri.parse_key_uri`.
    """
    if resource.startswith(SCHEME):
        return InToken(resource)
    if not resource:
        raise Malformed("the reference names no key", "sigbox:///FILE.key, or sigbox://pkcs11:...")
    return InFile(Path(resource))


class InFile:
    """In a file of cosign's format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pub = path.with_suffix(".pub")

    def public(self) -> PublicKey:
        """As of every one; the password is asked for where there is no file with the public key."""
        if not self._pub.exists():
            return self._opened().public_key()
        what = f"the public key {self._pub}"
        return keys.parse_public_key_pem(read_file(self._pub, what=what, limit=limits.PUBLIC_KEY), what=what)

    def private(self) -> PrivateKey:
        """As of every one. Refused: it does not belong to the file with the public key."""
        key = self._opened()
        if self._pub.exists() and keys.encode_public_key(self.public()) != keys.encode_public_key(key.public_key()):
            raise Refused(
                f"{self._pub} is not the public key of {self._path}",
                "remove it, or put back the one that belongs to it",
            )
        return key

    def make(self) -> PublicKey:
        """As of every one, with ``.pub`` beside it."""
        if self._path.suffix != ".key":
            raise Refused(f"{self._path} does not end with .key, as the name of a new key must")
        key = keys.generate_p256()
        for path in (self._path, self._pub):  # before anybody is asked
            if path.exists():
                raise Refused(f"{path} is already there, and is not replaced", "name another file, or move it away")
        save_key_pair(key, str(self._path.with_suffix("")), ask_password(new=True), overwrite=False)
        return key.public_key()

    def _opened(self) -> PrivateKey:
        key = load_private_key(self._path, ask_password)
        keys.check_strength(key.public_key(), what=f"the key {self._path}")
        return key


class InToken:
    """In a PKCS#11 token. One that is there already is taken for the new one, as with other KMS."""

    def __init__(self, text: str) -> None:
        self._uri = parse_key_uri(text)

    def public(self) -> PublicKey:
        """As of every one, from the public key object of the token."""
        return self.private().public_key()

    def private(self) -> PrivateKey:
        """As of every one: the first signature opens the token once more."""
        # Deferred: an extra, which only such keys need.
        from stack.pkcs11.making import open_key  # noqa: PLC0415 - see the line above

        return open_key(self._uri, make=False)

    def make(self) -> PublicKey:
        """As of every one."""
        from stack.pkcs11.making import open_key  # noqa: PLC0415 - as in private

        key = open_key(self._uri, make=True)
        key.prove()
        return key.public_key()
