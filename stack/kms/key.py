# SPDX-License-Identifier: Apache-2.0
"""A private key that a KMS holds, with the interface of a key in memory: whoever signs does not know where it is.

1. The program is asked for the public key: ECDSA on a curve or RSA of a size that the services take.
2. To sign, it is given the digest and, where we have it, the message: some programs hash it themselves.
3. The signature must verify with the key of step 1 before anybody sees it.

Ed25519 is left out: what is signed may be the message or its digest (Ed25519ph), and the protocol does not say which.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Self, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey
from sigcore.kms import Method, Request, parse_reference
from stack.kept_key import KeptEcdsaKey, KeptKey, KeptRsaKey
from stack.kms.program import Program, find_program

_HASHES: Final = {one.size: one for one in (HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512)}

SigningHalf: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""Public keys whose private halves sign digests."""


class KmsKey(KeptKey):
    """What both kinds share. ``artifact`` is what the next digest is of, where that is known: content, or a file."""

    program: Program
    artifact: bytes | Path | None = None

    @property
    def kept(self) -> tuple[str, str]:  # type: ignore[override]  # read only, which is all that is done with it
        """As people are told of it."""
        return f"the key {self.program.reference}", self.program.name

    def over(self, artifact: bytes | Path) -> Self:
        """This key, for a digest of the file ``artifact``."""
        raise NotImplementedError

    def _signed(self, data: bytes, algorithm: hashes.HashAlgorithm | utils.Prehashed) -> bytes:
        """2 and 3. ``data`` is a message; or its digest, where ``algorithm`` is Prehashed."""
        public: PublicKey = self.public_key()  # type: ignore[attr-defined]  # of both kinds
        if isinstance(algorithm, utils.Prehashed):
            digest, hashing = data, _HASHES[len(data)]
        else:
            hashing = _HASHES[algorithm.digest_size]
            digest = hashing.digest(data)
        request = Request(Method.SIGN, self.program.reference.resource, hashing, digest=digest, digest_hashing=hashing)
        with _opened(self.artifact if digest is data else data) as message:
            signature = self.program.ask(request, message).signature
        what = f"the signature that {self.program.name} answered"
        try:
            keys.verify_digest(public, signature, digest, what=what, hashing=hashing)
        except Refused as error:
            hint = f"it must be one of {self.program.reference}, whose public key it gave; {error.hint}".rstrip("; ")
            raise Refused(error.message, hint) from error
        return signature


@contextmanager
def _opened(message: bytes | Path | None) -> Iterator[IO[bytes] | None]:
    """What the program can read: a file, so that nobody waits for it to read, or nothing."""
    if isinstance(message, bytes):
        with tempfile.TemporaryFile() as file:
            file.write(message)
            file.seek(0)
            yield file
    elif message is not None and message.is_file():
        with message.open("rb") as file:
            yield file
    else:
        yield None


class KmsEcdsaKey(KmsKey, KeptEcdsaKey):
    """An ECDSA key in a KMS."""

    def __init__(
        self, program: Program, public_key: ec.EllipticCurvePublicKey, artifact: bytes | Path | None = None
    ) -> None:
        super().__init__(public_key)
        self.program, self.artifact = program, artifact

    def over(self, artifact: bytes | Path) -> KmsEcdsaKey:
        """As of every :class:`KmsKey`."""
        return KmsEcdsaKey(self.program, self.public_key(), artifact)

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]  # ours take bytes
        """As of a key in memory. Refused, Malformed, Unavailable: the program does not sign."""
        return self._signed(data, signature_algorithm.algorithm)


class KmsRsaKey(KmsKey, KeptRsaKey):
    """An RSA key in a KMS, which signs with PKCS#1 v1.5."""

    def __init__(self, program: Program, public_key: rsa.RSAPublicKey, artifact: bytes | Path | None = None) -> None:
        super().__init__(public_key)
        self.program, self.artifact = program, artifact

    def over(self, artifact: bytes | Path) -> KmsRsaKey:
        """As of every :class:`KmsKey`."""
        return KmsRsaKey(self.program, self.public_key(), artifact)

    def sign(self, data: bytes, padding: padding.AsymmetricPadding, algorithm: Any) -> bytes:  # noqa: ARG002 - ours is PKCS#1 v1.5
        """As of a key in memory. Refused, Malformed, Unavailable: the program does not sign."""
        return self._signed(data, algorithm)


def load_kms_key(text: str, environment: Mapping[str, str] = os.environ) -> KmsEcdsaKey | KmsRsaKey:
    """The private key of a reference; nothing is signed yet.

    Raises: as :func:`load_kms_public_key`.
    """
    program, public = _asked(text, environment)
    return KmsRsaKey(program, public) if isinstance(public, rsa.RSAPublicKey) else KmsEcdsaKey(program, public)


def load_kms_public_key(text: str, environment: Mapping[str, str] = os.environ) -> PublicKey:
    """1: the public key of a reference.

    Raises:
        Malformed: no reference, or no answer to the question. NotFound: no such program. Refused: the program refuses, or the key
            is of another kind. Unavailable: as :meth:`stack.kms.program.Program.ask`.
    """
    return _asked(text, environment)[1]


def make_kms_key(text: str, environment: Mapping[str, str] = os.environ) -> PublicKey:
    """A new key where the reference says, of the kind that the program makes by default; its public half.

    Raises: as :func:`load_kms_public_key`; Refused also where the key that was made is not the one that is there.
    """
    return created(find_program(parse_reference(text), environment))


def created(program: Program) -> SigningHalf:
    """:func:`make_kms_key` of a program that was found."""
    resource = program.reference.resource
    (algorithm,) = program.ask(Request(Method.DEFAULT_ALGORITHM, resource)).algorithms
    made = _read(program, program.ask(Request(Method.CREATE_KEY, resource, algorithm=algorithm)).public_key)
    if keys.encode_public_key(made) != keys.encode_public_key(shown_by(program)):
        raise Refused(f"{program.name} made another key than the one that is {program.reference} now")
    return made


def shown_by(program: Program) -> SigningHalf:
    """1: the public key that ``program`` says is the reference's."""
    return _read(program, program.ask(Request(Method.PUBLIC_KEY, program.reference.resource)).public_key)


def _asked(text: str, environment: Mapping[str, str]) -> tuple[Program, SigningHalf]:
    program = find_program(parse_reference(text), environment)
    return program, shown_by(program)


def _read(program: Program, pem: bytes) -> SigningHalf:
    what = f"the public key that {program.name} answered"
    try:
        public = keys.parse_public_key_pem(pem, what=what)
    except Malformed as error:
        raise Malformed(error.message, f"it is {program.path}") from error
    keys.check_strength(public, what=what)
    if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise Refused(f"{what} is Ed25519", "use a key for ECDSA or RSA: an Ed25519 key signs no digests")
    return public
