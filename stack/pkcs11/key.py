# SPDX-License-Identifier: Apache-2.0
"""A private key that a token holds, with the interface of a key in memory: whoever signs does not know where it is.

1. Its public half is known from a file: the token is opened by the first signature, not before.
2. When the key is found in the token, it must be of the right kind, and sign something that the public half verifies.
3. A signature that fails is tried again with a new session (:meth:`stack.pkcs11.module.Module.tried`).
4. If that fails too, the caller gets Unavailable with the reason, and for a second so does everybody else at once.

Sources: PKCS#11 v2.40 (mechanisms) section 2.3.1 (CKM_ECDSA signs a hash; the signature is r and s, each as long as the order), RFC 3279
section 2.2.3 (as everybody else writes it).
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from sigcore.errors import NotFound, Refused, SigError, Unavailable
from sigcore.pkcs11_uri import KeyUri
from stack.kept_key import KeptEcdsaKey
from stack.line import Line
from stack.pkcs11.module import WHERE, module_at, said
from stack.waiting_key import WaitingKey

_CHALLENGE: Final = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


class TokenKey(WaitingKey, KeptEcdsaKey):
    """The ECDSA key at ``uri``, whose public half is ``public_key``; a :class:`sigcore.device_key.DeviceKey` too."""

    def __init__(self, uri: KeyUri, public_key: ec.EllipticCurvePublicKey) -> None:
        super().__init__(public_key)
        self.uri = uri
        self._module = module_at(uri.module)
        self._handle: Any = None  # pkcs11.PrivateKey, a class of its compiled part
        self._epoch = -1

    @property
    def kept(self) -> tuple[str, str]:  # type: ignore[override]  # read only, which is all that is done with it
        """As people are told of it."""
        return self.uri.name, self.uri.place

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]  # ours take bytes
        """As of a key in memory. Unavailable: the token does not sign."""
        return self._signed(_digest(data, signature_algorithm))

    # --- as a key in a device: sigcore.device_key ------------------------------------------------------------
    @property
    def line(self) -> Line:
        """That of the library."""
        return self._module.line

    @property
    def place(self) -> str:
        """The token."""
        return self.uri.place

    def probe(self) -> None:
        """As of every :class:`WaitingKey`."""
        self._signed(secrets.token_bytes(32))

    def prove(self) -> None:
        """Open the token, find the key, sign; then let go of the library, so that the process may fork.

        Raises:
            NotFound, Refused, Unavailable: as :meth:`stack.pkcs11.module.Module.session`, or there is no such key, or another one.
        """
        with self._module.held():
            try:
                self._tried(secrets.token_bytes(32))
            except Exception as error:
                raise explained(self.uri, error) from error
            finally:
                self._module.close()

    # --- in the token ----------------------------------------------------------------------------------------
    def _signed(self, digest: bytes) -> bytes:
        with self._module.held():
            return self.remembered(lambda: self._tried(digest), self._failed_with)

    def _failed_with(self, error: Exception) -> SigError:
        self._module.close()
        return explained(self.uri, error)

    def _tried(self, digest: bytes) -> bytes:
        return self._module.tried(lambda: _sign(self._opened(), digest))

    def _opened(self) -> Any:
        """2, unless it was done in this session."""
        if self._handle is None or self._epoch != self._module.epoch:
            handle = find_private(self.uri, self._module.session(self.uri))
            digest = secrets.token_bytes(32)
            try:
                self._public_key.verify(_sign(handle, digest), digest, _CHALLENGE)
            except InvalidSignature as error:
                raise Refused(
                    f"{self.uri.name} in {self.uri.place} is not the one that the stack was made with",
                    f"put the old one back, or correct the URI in {WHERE}",
                ) from error
            self._handle, self._epoch = handle, self._module.epoch
        return self._handle


def explained(uri: KeyUri, error: Exception) -> SigError:
    """What went wrong with a key, for people; the library's own errors have names alone."""
    if isinstance(error, SigError):
        return error
    return Unavailable(f"{uri.place} does not work with {uri.name}: {said(error)}", "is it connected, and well?")


def find_private(uri: KeyUri, session: Any) -> Any:
    """The private key of ``uri`` in its token, on a curve that we sign with.

    Raises:
        NotFound: there is none. Refused: there are several, or it is of another kind.
    """
    import pkcs11  # noqa: PLC0415 - an extra, which the session was opened with

    named = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
    found = list(session.get_objects(named | selected(uri)))
    if not found:
        labels = {str(key[pkcs11.Attribute.LABEL]) for key in session.get_objects(named)}
        there = ", ".join(map(ascii, sorted(labels))) or "none"
        raise NotFound(
            f"{uri.name} is not in {uri.place}, which has the private keys {there}",
            f"restore it there, or correct the URI in {WHERE}; sigbox init and sigbox trust rotate make new ones",
        )
    if len(found) > 1:
        raise Refused(f"{len(found)} private keys of {uri.place} are {uri.name}", f"add id=%XX... to it in {WHERE}")
    kind = found[0].key_type
    if kind is not pkcs11.KeyType.EC:
        raise Refused(
            f"{uri.name} in {uri.place} is of the kind {kind.name}, expected EC", "make an ECDSA key on P-256"
        )
    return found[0]


def selected(uri: KeyUri) -> dict[Any, Any]:
    """The attributes by which the objects of ``uri`` are found."""
    import pkcs11  # noqa: PLC0415 - as in find_private

    label = {pkcs11.Attribute.LABEL: uri.object} if uri.object else {}
    return label | ({pkcs11.Attribute.ID: uri.id} if uri.id else {})


def _sign(handle: Any, digest: bytes) -> bytes:
    import pkcs11  # noqa: PLC0415 - as in find_private

    raw: bytes = handle.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
    half = len(raw) // 2
    return utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def _digest(data: bytes, scheme: ec.EllipticCurveSignatureAlgorithm) -> bytes:
    algorithm = scheme.algorithm
    if isinstance(algorithm, utils.Prehashed):
        return data
    hashing = hashes.Hash(algorithm)
    hashing.update(data)
    return hashing.finalize()
