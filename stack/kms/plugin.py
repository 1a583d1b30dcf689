# SPDX-License-Identifier: Apache-2.0
"""``sigstore-kms-sigbox``: the program that cosign, and whoever else speaks the protocol of :mod:`sigcore.kms`, asks for ``sigbox://`` keys.

1. It is asked one thing, by its two arguments, and answers on standard output; errors are an answer, too, with exit code 1.
2. What is signed is the digest of the caller or, where he gives none, that of standard input: by the hash he names for it, else by
   that which has the digest's length, else by the one that goes with the key.
3. A signature is verified with the public key before it is handed out.

ECDSA and RSA (PKCS#1 v1.5) sign; Ed25519 does not, since the protocol does not say whether the message or its digest would be signed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import IO, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Refused, SigError
from sigcore.keys import PublicKey
from sigcore.kms import VERSION, Answer, Method, Request, encode_answer, parse_request
from sigcore.strict import shown
from stack.kms.held import Held, held_key

ALGORITHM: Final = "ecdsa-p256"
"""Of the keys that are made."""
PROGRAM: Final = "sigstore-kms-sigbox"
USAGE: Final = f"""\
usage: {PROGRAM} {VERSION} JSON < MESSAGE

Lets cosign, sigbox and others use keys of yours by Sigstore's KMS plugin protocol. It is not called by hand: have it in PATH, and give
  --key sigbox:///home/alice/release.key      a key file in cosign's format (password: COSIGN_PASSWORD, or the terminal)
  --key 'sigbox://pkcs11:token=...;object=...?module-path=/...&pin-source=file:/...'      a key in a PKCS#11 token
to sign-blob, attest-blob, sign, attest, verify*, public-key; and as --kms to generate-key-pair.
"""
_PREHASHED: Final = {
    HashAlgorithm.SHA2_256: utils.Prehashed(hashes.SHA256()),
    HashAlgorithm.SHA2_384: utils.Prehashed(hashes.SHA384()),
    HashAlgorithm.SHA2_512: utils.Prehashed(hashes.SHA512()),
}
_PLACE: Final = "the key reference"


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one question: 0, or 1 where the answer is an error; 2 without a question."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        (sys.stdout if given else sys.stderr).write(USAGE)
        return 0 if given else 2
    method = Method.SIGN
    try:
        if len(given) != 2 or given[0] != VERSION:
            raise Refused(
                f"the arguments begin with {shown(given[0])} and are {len(given)}, expected {VERSION} and one more",
                f"this program speaks version {VERSION} of the plugin protocol",
            )
        request = parse_request(given[1])
        method, answer = request.method, respond(request, sys.stdin.buffer)
    except SigError as error:
        answer = Answer(error=_told(error))
    except Exception as error:  # noqa: BLE001 - the last edge: the caller reads an answer, and no traceback
        answer = Answer(error=f"{PROGRAM} failed: {type(error).__name__} {error}")
    sys.stdout.buffer.write(encode_answer(answer, method))
    sys.stdout.buffer.flush()
    return 1 if answer.error else 0


def respond(request: Request, message: IO[bytes]) -> Answer:
    """The answer to ``request``.

    Raises:
        SigError: of every kind, with what the caller is told.
    """
    if request.method in (Method.DEFAULT_ALGORITHM, Method.SUPPORTED_ALGORITHMS):
        return Answer(algorithms=(ALGORITHM,))
    held = held_key(request.resource)
    if request.method is Method.CREATE_KEY:
        if request.algorithm != ALGORITHM:
            raise Refused(f"a key of the kind {shown(request.algorithm)} is not made", f"expected {ALGORITHM}")
        return Answer(public_key=keys.encode_public_key_pem(held.make()).encode("ascii"))
    if request.method is Method.PUBLIC_KEY:
        return Answer(public_key=keys.encode_public_key_pem(held.public()).encode("ascii"))
    if request.method is Method.SIGN:
        return Answer(signature=_sign(held, request, message))
    public = held.public()
    digest, hashing = _digest(request, message, public)
    keys.verify_digest(public, request.signature, digest, what="the signature", hashing=hashing)
    return Answer()


def _sign(held: Held, request: Request, message: IO[bytes]) -> bytes:
    """2 and 3."""
    key = held.private()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raise Refused("an Ed25519 key cannot be used over the plugin protocol", "use one for ECDSA or RSA")
    public = key.public_key()
    digest, hashing = _digest(request, message, public)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(digest, ec.ECDSA(_PREHASHED[hashing]))
    else:
        signature = keys.sign_digest(key, digest)
    keys.verify_digest(public, signature, digest, what="the signature just made", hashing=hashing)
    return signature


def _digest(request: Request, message: IO[bytes], public: PublicKey) -> tuple[bytes, HashAlgorithm]:
    """2: the digest, and its hash."""
    if not request.digest:
        hashing = request.digest_hashing or request.hashing or keys.default_details(public).hash
        return hashlib.file_digest(message, hashing.hashlib_name).digest(), hashing  # type: ignore[arg-type]  # a binary file
    of_length = next((one for one in _PREHASHED if one.size == len(request.digest)), None)
    hashing = request.digest_hashing or of_length or request.hashing or HashAlgorithm.SHA2_256
    if len(request.digest) != hashing.size:
        raise Refused(f"the digest has {len(request.digest)} bytes, expected the {hashing.size} of {hashing.name}")
    return request.digest, hashing


def _told(error: SigError) -> str:
    """For the caller's one line; settings of a stack, which messages about tokens speak of, are not what he has."""
    if "stack.pkcs11.module" not in sys.modules:
        return str(error)
    # Deferred: only where a token was spoken of.
    from stack.pkcs11.module import WHERE  # noqa: PLC0415 - see the line above

    return str(error).replace(WHERE, _PLACE)


if __name__ == "__main__":
    sys.exit(main())
