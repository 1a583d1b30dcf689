# SPDX-License-Identifier: Apache-2.0
"""Verify a bundle: pure, offline, without a clock. Time comes from verified signatures only.

Given a bundle (0.1, 0.2, 0.3; a file's signature or an attestation), the artifact's digest, a trusted root, and who is
expected to have signed (an identity, or a key):

1. Material: the bundle is signed with a certificate where an identity is expected, with a bare key where a key is. It is
   about the artifact: its message digest is the artifact's, or a subject of its in-toto statement is. It has log entries of
   kinds that we know, and neither an entry nor a timestamp twice.
2. Times: every timestamp is over the signature and by a trusted timestamp authority; every promise (SET) of a Rekor v1 entry
   is by a trusted log. Where a certificate signed there is at least one time. A time that nothing signs is never used.
3. Certificate: an end entity's for code signing, with a chain to a trusted authority that is valid at every time of step 2.
   Intermediates that came with it are part of that chain, and no root came with it.
4. Publication: every SCT of a trusted certificate-transparency log verifies; there is at least one.
5. Identity: the certificate's one name and its issuer are the expected ones.
6. Transparency: every log entry is of a trusted log and is, byte for byte, the entry of this certificate, signature and
   digest; its proof leads to a checkpoint that the log has signed. In bundles of version 0.1 the promise may stand for that.
   Where a witness policy is given, each of these checkpoints is cosigned as it demands, and there is one.
7. Signature: made by the certificate's key, or by the expected one, over the artifact's digest or the envelope.

For a bare key the steps 3 to 5 have nothing to look at: whoever names the key vouches for it.

Any step that fails raises; there is no partial success. What the caller must still do: compute the digest from the bytes
that it will use, and use those bytes; for an attestation, judge the predicate.

Sources: sigstore client specification (``client-spec.md`` section 4), protobuf-specs ``sigstore_bundle.proto``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.verify.bodies import kind_of
from client.verify.certificate import verify_certificate
from client.verify.entry import VerifiedEntry, entry_steps
from client.verify.identity import IdentityPolicy, Signer, key_signer, read_signer, verify_identity
from client.verify.promise import verify_promise
from client.verify.recorder import Recorder
from client.verify.scts import VerifiedSct, verify_scts
from client.verify.signed import ManagedKey, Signed, read_signed, verify_signature
from client.verify.steps import Step, Steps, at_once
from client.verify.times import VerifiedTime, verify_times
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import Refused, SigError
from sigcore.intoto import Statement
from sigcore.strict import shown
from sigcore.trustroot import TrustedRoot
from sigcore.values import dataclass
from sigcore.x509 import Certificate

if TYPE_CHECKING:  # A verification that demands no witnesses does not import what judges them.
    from client.verify.witnessed import Witnessed
    from sigcore.tlog_policy import TlogPolicy


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified signature: the proof that the steps above were all taken, with what each of them found.

    ``statement`` is there for an attestation. ``chain`` and ``scts`` are empty where a bare key signed, ``witnessed`` where no
    witness policy was given.
    """

    digest: bytes
    signature: bytes
    chain: tuple[Certificate, ...]
    signer: Signer
    times: tuple[VerifiedTime, ...]
    scts: tuple[VerifiedSct, ...]
    entries: tuple[VerifiedEntry, ...]
    statement: Statement | None = None
    witnessed: tuple[Witnessed, ...] = ()


def verify_blob(
    bundle: Bundle,
    digest: bytes,
    *,
    root: TrustedRoot,
    identity: IdentityPolicy | ManagedKey,
    recorder: Recorder | None = None,
    witnesses: TlogPolicy | None = None,
) -> Verified:
    """Steps 1 to 7 for the signature of a file.

    Args:
        bundle: what :func:`sigcore.bundle.parse_bundle` returned.
        digest: of the artifact, by :func:`client.verify.signed.digest_algorithm`.
        root: what is trusted.
        identity: who must have signed.
        recorder: is given what each step finds.
        witnesses: who must have cosigned the checkpoints; None demands nobody.

    Raises:
        Refused: a step failed; ``step`` and the message say which and why. Malformed: a part is not well-formed.
    """
    return at_once(blob_steps(bundle, digest, root=root, identity=identity, recorder=recorder, witnesses=witnesses))


def blob_steps(
    bundle: Bundle,
    digest: bytes,
    *,
    root: TrustedRoot,
    identity: IdentityPolicy | ManagedKey,
    recorder: Recorder | None = None,
    witnesses: TlogPolicy | None = None,
) -> Steps[Verified]:
    """:func:`verify_blob` with pauses between its steps, for whoever has many: :mod:`client.verify.steps`."""
    if not isinstance(bundle.content, MessageSignature):
        raise Refused(
            "the bundle holds an attestation, expected the signature of a file",
            "what it says about the file must be looked at: use verify-blob-attestation",
        )
    return (yield from _verify(bundle, digest, root, identity, recorder or Recorder(), witnesses=witnesses))


def verify_attestation(
    bundle: Bundle,
    digest: bytes,
    *,
    root: TrustedRoot,
    identity: IdentityPolicy | ManagedKey,
    predicate_type: str = "",
    stamped: bytes | None = None,
    recorder: Recorder | None = None,
    witnesses: TlogPolicy | None = None,
) -> Verified:
    """Steps 1 to 7 for an attestation about a file; ``predicate_type`` (a URI) is demanded where it is given.

    ``stamped`` is what the timestamps are over where that is not the signature: cosign 2 let the authority see the text of
    an image's whole envelope, which holds the signature and cannot have been there before it.

    Raises:
        Refused, Malformed: as :func:`verify_blob`; also when the statement is of another predicate type.
    """
    return at_once(
        attestation_steps(
            bundle,
            digest,
            root=root,
            identity=identity,
            predicate_type=predicate_type,
            stamped=stamped,
            recorder=recorder,
            witnesses=witnesses,
        )
    )


def attestation_steps(
    bundle: Bundle,
    digest: bytes,
    *,
    root: TrustedRoot,
    identity: IdentityPolicy | ManagedKey,
    predicate_type: str = "",
    stamped: bytes | None = None,
    recorder: Recorder | None = None,
    witnesses: TlogPolicy | None = None,
) -> Steps[Verified]:
    """:func:`verify_attestation` with pauses between its steps."""
    if isinstance(bundle.content, MessageSignature):
        raise Refused("the bundle holds the signature of a file, expected an attestation", "use verify-blob")
    verified = yield from _verify(bundle, digest, root, identity, recorder or Recorder(), stamped, witnesses)
    found = verified.statement.predicate_type if verified.statement is not None else ""
    if predicate_type and found != predicate_type:
        with Step("statement"):
            raise Refused(
                f"the attestation is of the predicate type {shown(found, 200)}, expected {shown(predicate_type, 200)}",
                "it may be genuine, and say something else than what is asked for",
            )
    return verified


def verify_own(
    bundle: Bundle,
    digest: bytes,
    *,
    root: TrustedRoot,
    key: ManagedKey | None = None,
    stamped: bytes | None = None,
    recorder: Recorder | None = None,
    witnesses: TlogPolicy | None = None,
) -> Verified:
    """All steps but 5: for a signer (with ``key``, if it has one) that looks at its own bundle before it hands it out.

    It says nothing about who signed. Verifiers must use :func:`verify_blob` or :func:`verify_attestation`.
    """
    return at_once(
        own_steps(bundle, digest, root=root, key=key, stamped=stamped, recorder=recorder, witnesses=witnesses)
    )


def own_steps(
    bundle: Bundle,
    digest: bytes,
    *,
    root: TrustedRoot,
    key: ManagedKey | None = None,
    stamped: bytes | None = None,
    recorder: Recorder | None = None,
    witnesses: TlogPolicy | None = None,
) -> Steps[Verified]:
    """:func:`verify_own` with pauses between its steps."""
    return _verify(bundle, digest, root, key, recorder or Recorder(), stamped, witnesses)


def _verify(
    bundle: Bundle,
    digest: bytes,
    root: TrustedRoot,
    expected: IdentityPolicy | ManagedKey | None,
    found: Recorder,
    stamped: bytes | None = None,
    witnesses: TlogPolicy | None = None,
) -> Steps[Verified]:
    step = "digest"
    try:
        signed = found.signed = read_signed(bundle, digest, expected if isinstance(expected, ManagedKey) else None)  # 1
        step = "material"
        _check_material(bundle)
        step = "timestamp"
        yield
        times = found.times = _verify_times(bundle, signed, root, stamped)  # 2
        moments = [one.time for one in times]
        yield
        if signed.leaf is not None:
            step, authorities = "certificate", root.certificate_authorities
            found.chain = verify_certificate(signed.leaf, moments, authorities, bundle.intermediates)  # 3
            step = "SCT"
            yield
            found.scts = verify_scts(signed.leaf, found.chain[1], root.ct_logs)  # 4
            step = "identity"
            yield
            signer = found.signer = read_signer(signed.leaf)
            if isinstance(expected, IdentityPolicy):
                verify_identity(signer, expected)  # 5
        else:
            signer = found.signer = key_signer(signed.key)
        step = "entry"
        for entry in bundle.log_entries:
            verified = yield from entry_steps(entry, signed, root.logs, moments)  # 6
            found.entries = (*found.entries, verified)
        if witnesses is not None:
            step = "witnesses"
            found.witnessed = _verify_witnesses(bundle, found.entries, witnesses)
        step = "signature"
        yield
        verify_signature(signed)  # 7
    except SigError as error:
        error.step = error.step or step  # the innermost name stays
        raise
    return Verified(
        digest,
        signed.signature,
        found.chain,
        signer,
        times,
        found.scts,
        found.entries,
        signed.statement,
        found.witnessed,
    )


def _verify_witnesses(bundle: Bundle, entries: tuple[VerifiedEntry, ...], policy: TlogPolicy) -> tuple[Witnessed, ...]:
    # Deferred: few verifications demand witnesses, and the others pay nothing for them.
    from client.verify.witnessed import verify_witnesses  # noqa: PLC0415 - see the line above

    return verify_witnesses(bundle.log_entries, entries, policy)


def _check_material(bundle: Bundle) -> None:
    entries, stamps = bundle.log_entries, bundle.timestamps
    if not entries:
        raise Refused("the bundle holds no log entry, so the signature was never made public", "sign with a log")
    for entry in entries:
        kind_of(entry)
    if len(entries) > 1 and len({(entry.log_id, entry.body) for entry in entries}) < len(entries):
        raise Refused("the bundle holds one log entry twice", "a second copy is no second witness")
    if len(stamps) > 1 and len(set(stamps)) < len(stamps):
        raise Refused("the bundle holds one timestamp twice", "a second copy is no second witness")


def _verify_times(bundle: Bundle, signed: Signed, root: TrustedRoot, stamped: bytes | None) -> tuple[VerifiedTime, ...]:
    over = signed.signature if stamped is None else stamped
    times_of_authorities = verify_times(bundle.timestamps, over, root.timestamp_authorities)
    promised = (verify_promise(entry, root.logs) for entry in bundle.log_entries)
    times = (*times_of_authorities, *(time for time in promised if time is not None))
    if not times and signed.leaf is not None:
        raise Refused(
            "nothing says when it was signed: the bundle holds no timestamp, and no log has signed a time",
            "sign with a timestamp authority in the signing config; an entry of Rekor v2 has no signed time",
        )
    return times
