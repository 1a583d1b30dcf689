# SPDX-License-Identifier: Apache-2.0
"""Verify a bundle: pure, offline, without a clock. Time comes from verified timestamps only.

Given a bundle (0.3, message signature), the artifact's digest, a trusted root and the identity that is expected:

1. The bundle is of a kind that we know: a certificate (not a bare key), log entries of Rekor v2, at least one of them. Its
   message digest is the artifact's.
2. Times: every timestamp is over the signature and by a trusted timestamp authority; there is at least one.
3. Certificate: an end entity's for code signing, with a chain to a trusted authority that is valid at every time of step 2.
4. Publication: every SCT of a trusted certificate-transparency log verifies; there is at least one.
5. Identity: the certificate's one name and its issuer are the expected ones.
6. Transparency: every log entry is of a trusted log and is, byte for byte, the entry of this certificate, signature and
   digest, and its proof leads to a checkpoint that the log has signed.
7. Signature: made by the certificate's key over the artifact's digest.

Any step that fails raises; there is no partial success. What the caller must still do: compute the digest from the bytes
that it will use, and use those bytes.

Sources: sigstore client specification (``client-spec.md`` section 4), protobuf-specs ``sigstore_bundle.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass

from client.verify.certificate import verify_certificate
from client.verify.entry import VerifiedEntry, check_kind, verify_log_entry
from client.verify.identity import IdentityPolicy, Signer, read_signer, verify_identity
from client.verify.scts import VerifiedSct, verify_scts
from client.verify.times import VerifiedTime, verify_times
from sigcore import entries, keys, x509
from sigcore.bundle import Bundle
from sigcore.entries import HashedRekord
from sigcore.errors import Refused
from sigcore.trustroot import TrustedRoot
from sigcore.x509 import Certificate


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified signature: the proof that the steps above were all taken, with what each of them found."""

    digest: bytes
    signature: bytes
    chain: tuple[Certificate, ...]
    signer: Signer
    times: tuple[VerifiedTime, ...]
    scts: tuple[VerifiedSct, ...]
    entries: tuple[VerifiedEntry, ...]


def verify_blob(bundle: Bundle, digest: bytes, *, root: TrustedRoot, identity: IdentityPolicy) -> Verified:
    """Steps 1 to 7.

    Args:
        bundle: what :func:`sigcore.bundle.parse_bundle` returned.
        digest: of the artifact, with the algorithm that ``bundle.content.algorithm`` names.
        root: what is trusted.
        identity: who must have signed.

    Raises:
        Refused: a step failed; the message says which and why. Malformed: a part of the bundle is not well-formed.
    """
    return _verify(bundle, digest, root, identity)


def verify_own(bundle: Bundle, digest: bytes, *, root: TrustedRoot) -> Verified:
    """All steps but 5: for a signer that looks at its own bundle before it hands it out.

    It says nothing about who signed. Verifiers must use :func:`verify_blob`.
    """
    return _verify(bundle, digest, root, None)


def _verify(bundle: Bundle, digest: bytes, root: TrustedRoot, identity: IdentityPolicy | None) -> Verified:
    content = bundle.content
    leaf = _check_material(bundle, digest)  # 1
    times = verify_times(bundle.timestamps, content.signature, root.timestamp_authorities)  # 2
    moments = [verified.time for verified in times]
    chain = verify_certificate(leaf, moments, root.certificate_authorities)  # 3
    scts = verify_scts(leaf, chain[1], root.ct_logs)  # 4
    signer = read_signer(leaf)
    if identity is not None:
        verify_identity(signer, identity)  # 5
    expected = HashedRekord(digest, content.signature, entries.certificate_verifier(leaf.der))  # 6
    logged = tuple(verify_log_entry(entry, expected, root.logs, moments) for entry in bundle.log_entries)
    what = "the signature over the artifact"
    keys.verify_digest(leaf.public_key(), content.signature, digest, what=what)  # 7
    return Verified(digest, content.signature, chain, signer, times, scts, logged)


def _check_material(bundle: Bundle, digest: bytes) -> Certificate:
    if bundle.certificate is None:
        raise Refused(
            "the bundle is signed with a bare key, which has no identity to verify",
            "verification with --key is not supported yet",
        )
    if not bundle.log_entries:
        raise Refused("the bundle holds no log entry, so the signature was never made public", "sign with a log")
    for entry in bundle.log_entries:
        check_kind(entry)
    if digest != bundle.content.digest:
        raise Refused(
            f"the bundle is for another artifact: it signs {bundle.content.digest.hex()}, the artifact is {digest.hex()}",
            "did the artifact change since it was signed?",
        )
    return x509.parse_certificate(bundle.certificate, what="the signing certificate")
