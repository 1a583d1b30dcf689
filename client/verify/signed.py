# SPDX-License-Identifier: Apache-2.0
"""What was signed, and by which key: the part of a bundle that every later step is about."""

from __future__ import annotations

from sigcore import alike, dsse, entries, intoto, keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.dsse import Envelope
from sigcore.entries import Verifier
from sigcore.errors import Malformed, Refused
from sigcore.intoto import Statement
from sigcore.keys import PublicKey
from sigcore.strict import shown
from sigcore.values import dataclass
from sigcore.x509 import Certificate


@dataclass(frozen=True, slots=True)
class ManagedKey:
    """The user names the key that must have signed, instead of an identity."""

    key: PublicKey


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature and what it is over.

    ``digest`` (by ``algorithm``) is what an entry of the kind hashedrekord holds: of the artifact, or of the envelope's PAE.
    ``envelope`` and ``statement`` are there for an attestation, ``leaf`` where a certificate signed.
    """

    signature: bytes
    algorithm: HashAlgorithm
    digest: bytes
    key: PublicKey
    verifier: Verifier
    leaf: Certificate | None = None
    envelope: Envelope | None = None
    statement: Statement | None = None


def digest_algorithm(bundle: Bundle) -> HashAlgorithm:
    """The algorithm by which the artifact's digest is compared with the bundle.

    Raises:
        Malformed: the bundle's statement is none, or names no digest of SHA-2.
    """
    content = bundle.content
    if isinstance(content, MessageSignature):
        return content.algorithm
    return _statement(content).algorithm()


def read_signed(bundle: Bundle, digest: bytes, key: ManagedKey | None) -> Signed:
    """Step 1 of the verification: see :mod:`client.verify`.

    Args:
        bundle: any bundle.
        digest: of the artifact, by :func:`digest_algorithm`.
        key: the key that the user names, or None where a certificate is expected.

    Raises:
        Refused: a key where a certificate is expected, or the reverse; another artifact.
        Malformed: a part cannot be read.
    """
    signer, verifier, leaf = _signer(bundle, key)
    content = bundle.content
    if isinstance(content, MessageSignature):
        _check_digest(content, digest)
        return Signed(content.signature, content.algorithm, digest, signer, verifier, leaf)
    statement = _statement(content)
    _check_subject(statement, digest)
    hashing = verifier.details.hash
    pae = hashing.digest(content.signed_bytes())
    return Signed(bundle.signature, hashing, pae, signer, verifier, leaf, content, statement)


def verify_signature(signed: Signed) -> None:
    """The last step: the key made the signature.

    Raises:
        Refused: it did not, or it is of a kind that cannot be verified.
    """
    try:
        if signed.envelope is None:
            what = "the signature over the artifact"
            keys.verify_digest(signed.key, signed.signature, signed.digest, what=what, hashing=signed.algorithm)
        else:
            what = "the signature over the envelope"
            dsse.verify_signature(signed.envelope.signed_bytes(), signed.signature, signed.key, what=what)
    except Refused as error:
        error.hint = error.hint or "was it made with this key, and has nothing been changed since?"
        raise


def _signer(bundle: Bundle, key: ManagedKey | None) -> tuple[PublicKey, Verifier, Certificate | None]:
    """The key that signed, as the log knows it, and its certificate."""
    if bundle.certificate is None:
        if key is None:
            raise Refused(
                "the bundle is signed with a bare key, which has no identity to verify",
                "name the key that must have signed: --key FILE",
            )
        return key.key, entries.key_verifier(keys.encode_public_key(key.key)), None
    if key is not None:
        raise Refused(
            "the bundle is signed with a certificate, a key was named",
            "name the signer: --certificate-identity and --certificate-oidc-issuer",
        )
    leaf = alike.parse_leaf(bundle.certificate, what="the signing certificate")
    public = leaf.public_key()
    return public, Verifier(keys.digest_details(public), certificate=leaf.der), leaf


def _check_digest(content: MessageSignature, digest: bytes) -> None:
    if digest != content.digest:
        raise Refused(
            f"the bundle is for another artifact: it signs {content.digest.hex()}, the artifact is {digest.hex()}",
            "did the artifact change since it was signed?",
        )


def _statement(envelope: Envelope) -> Statement:
    if envelope.payload_type != dsse.IN_TOTO:
        raise Refused(f"the envelope holds {shown(envelope.payload_type)}, expected {dsse.IN_TOTO}")
    return intoto.parse_statement(envelope.payload)


def _check_subject(statement: Statement, digest: bytes) -> None:
    algorithm = statement.algorithm()
    if len(digest) != algorithm.size:
        raise Malformed(
            f"the artifact's digest has {len(digest)} bytes, the statement's subjects have {algorithm.name}"
        )
    if not statement.names(algorithm, digest):
        count = len(statement.subjects)
        raise Refused(
            f"the statement is about another artifact: none of its {count} subjects is {digest.hex()}",
            "did the artifact change since it was attested?",
        )
