# SPDX-License-Identifier: Apache-2.0
"""Verify what is attached to an image. The signatures themselves are verified by :mod:`client.verify`, as those of files are.

Given what was found (:mod:`client.oci.reading`) and the image's digest:

1. A signature in the layout of tags is the signature of a file whose content is the payload; everything else is an attestation
   about the image's digest. Both go through the seven steps of :mod:`client.verify`.
2. Claims. The payload names this digest, and a repository that is expected; a statement that signs an image is of the predicate
   type for it, and so no statement of another kind counts as a signature.
3. What else is demanded: annotations stand in what was signed, claims of a workflow in the certificate.
4. One that holds is enough. The others are told of, and prove nothing against it: whoever may write to a registry can attach
   rubbish to any image.

What the caller must still do: use the image by this digest only, never by the tag that led to it; judge a predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol

from client.oci.attached import SIGN, Attached, Defect
from client.oci.reading import Found, is_signature
from client.oci.reference import Reference
from client.oci.simplesigning import Payload
from client.verify import Verified, verify_attestation, verify_blob, verify_own
from client.verify.identity import IdentityPolicy, verify_workflow
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey
from client.verify.steps import Step
from sigcore.bundle import Bundle, MessageSignature
from sigcore.errors import Refused, SigError
from sigcore.intoto import Statement, Subject
from sigcore.strict import JSON, encode_time, parse_hex, shown
from sigcore.trustroot import TrustedRoot
from sigcore.values import dataclass

if TYPE_CHECKING:
    from sigcore.tlog_policy import TlogPolicy

_NAMED: Final = 4
"""Reasons that one message names."""


class Watcher(Protocol):
    """Whoever wants to explain a verification: sees each attempt, decides nothing."""

    def recorder(self, one: Attached) -> Recorder:
        """What is given the findings about ``one``."""
        ...

    def ended(self, one: Attached, error: SigError | None) -> None:
        """The verification of ``one`` is over; ``error`` is why it does not hold."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """What must hold.

    Args:
        root: what is trusted.
        signer: who must have signed; None where a policy decides afterwards, which then also finds the bare keys.
        find_key: the key of a bundle that no certificate signed, for that case.
        repositories: names that a payload may say the image has; None for any.
        annotations: what the signer must have added.
        predicate_type: of an attestation, as a URI; any where it is empty.
        workflow: (field of :class:`sigcore.fulcio.FulcioExtensions`, value) that the certificate must carry.
        since: it must not have been signed before: a registry can always bring back what was good once.
        watcher: is told of each attempt.
        witnesses: who must have cosigned the checkpoints of the log; None demands nobody.
    """

    root: TrustedRoot
    signer: IdentityPolicy | ManagedKey | None
    find_key: Callable[[Bundle], ManagedKey | None] | None = None
    repositories: tuple[str, ...] | None = None
    annotations: tuple[tuple[str, str], ...] = ()
    predicate_type: str = ""
    workflow: tuple[tuple[str, str], ...] = ()
    since: datetime | None = None
    watcher: Watcher | None = None
    witnesses: TlogPolicy | None = None


@dataclass(frozen=True, slots=True)
class ImageVerified:
    """Something attached that holds: a signature with what it claims, or an attestation."""

    attached: Attached
    verified: Verified
    digest: str

    @property
    def annotations(self) -> Mapping[str, JSON]:
        """What the signer has added."""
        payload = self.attached.payload
        if payload is not None:
            return dict(payload.annotations)
        subject = _subject(self.verified.statement, self.digest)
        return dict(subject.annotations) if subject is not None else {}


def verify_signatures(found: Found, digest: str, expected: Expected) -> tuple[tuple[ImageVerified, ...], Found]:
    """The signatures of the image with ``digest`` that hold, and the others as defects.

    Raises:
        Refused: none holds; the message says what was found and why it does not do.
    """
    return _one_holds(sift(found.signatures(), digest, expected), digest, "signature")


def verify_attestations(found: Found, digest: str, expected: Expected) -> tuple[tuple[ImageVerified, ...], Found]:
    """The same for attestations of the type that is expected."""
    return _one_holds(sift(found.attestations(), digest, expected), digest, "attestation")


def sift(found: Found, digest: str, expected: Expected) -> tuple[tuple[ImageVerified, ...], Found]:
    """Steps 1 to 3 for everything that was found: what holds, be it nothing, and the rest as defects."""
    good: list[ImageVerified] = []
    bad = list(found.defects)
    for one in found.attached:
        verify = verify_image_signature if is_signature(one) else verify_image_attestation
        refusal: SigError | None = None
        try:
            good.append(verify(one, digest, expected))
        except SigError as error:
            refusal = error
            bad.append(Defect(one.place, error))
        if expected.watcher is not None:
            expected.watcher.ended(one, refusal)
    return tuple(good), Found(defects=tuple(bad))


def verify_image_signature(one: Attached, digest: str, expected: Expected) -> ImageVerified:
    """Steps 1 to 3 for one signature.

    Raises:
        Refused: something does not hold. Malformed: a part cannot be read.
    """
    verified = _verify(one, digest, expected, SIGN)
    done = ImageVerified(one, verified, digest)
    with Step("claims"):
        if one.payload is not None:
            _check_payload(one.payload, digest, expected.repositories)
        _check_annotations(done.annotations, expected.annotations)
        verify_workflow(verified.chain, expected.workflow)
        _check_age(verified, expected.since)
    return done


def verify_image_attestation(one: Attached, digest: str, expected: Expected) -> ImageVerified:
    """Steps 1 to 3 for one attestation. Errors as :func:`verify_image_signature`."""
    verified = _verify(one, digest, expected, expected.predicate_type)
    with Step("claims"):
        verify_workflow(verified.chain, expected.workflow)
        _check_age(verified, expected.since)
    return ImageVerified(one, verified, digest)


def _verify(one: Attached, digest: str, expected: Expected, predicate_type: str) -> Verified:
    content = one.bundle.content
    if isinstance(content, MessageSignature) and one.payload is None:
        raise Refused("the bundle signs a file and no image", "an image is signed by a statement about it")
    artifact, root = artifact_digest(one, digest), expected.root
    recorder = expected.watcher.recorder(one) if expected.watcher is not None else None
    if expected.signer is None:
        key = expected.find_key(one.bundle) if expected.find_key is not None else None
        verified = verify_own(
            one.bundle,
            artifact,
            root=root,
            key=key,
            stamped=one.stamped,
            recorder=recorder,
            witnesses=expected.witnesses,
        )
        _check_type(verified.statement, predicate_type)
        return verified
    if isinstance(content, MessageSignature):
        return verify_blob(
            one.bundle,
            artifact,
            root=root,
            identity=expected.signer,
            recorder=recorder,
            witnesses=expected.witnesses,
        )
    return verify_attestation(
        one.bundle,
        artifact,
        root=root,
        identity=expected.signer,
        predicate_type=predicate_type,
        stamped=one.stamped,
        recorder=recorder,
        witnesses=expected.witnesses,
    )


def artifact_digest(one: Attached, digest: str) -> bytes:
    """What ``one`` is about, for the verifier: the payload of a signature at a tag, else the image."""
    content = one.bundle.content
    return content.digest if isinstance(content, MessageSignature) else _raw(digest)


def _check_type(statement: Statement | None, wanted: str) -> None:
    if statement is not None and wanted and statement.predicate_type != wanted:
        with Step("statement"):
            raise Refused(
                f"the statement is of the predicate type {shown(statement.predicate_type, 200)}, expected {wanted}"
            )


def _raw(digest: str) -> bytes:
    return parse_hex(digest.partition(":")[2], what="the image's digest")


def _check_payload(payload: Payload, digest: str, repositories: Sequence[str] | None) -> None:
    if payload.digest != digest:
        raise Refused(
            f"the signature is of another image: it signs {payload.digest}, this one is {digest}",
            "somebody has attached it to this image; it says nothing about it",
        )
    if repositories is None:
        return
    name = _name(payload)
    if name not in repositories:
        raise Refused(
            f"the signature is for an image of {shown(name, 300)}, expected {' or '.join(repositories)}",
            "was the image copied from there? then say so: --signed-as REPOSITORY, or --signed-as any",
        )


def _name(payload: Payload) -> str:
    try:
        return payload.repository().name
    except SigError:
        return payload.reference


def repository_names(
    image: Reference, given: Sequence[str], parse: Callable[[str], Reference]
) -> tuple[str, ...] | None:
    """The repositories that a payload may name: those that were ``given``, else the image's own; None for ``any``."""
    if "any" in given:
        return None
    return tuple(parse(name).name for name in given) or (image.name,)


def _check_annotations(found: Mapping[str, JSON], wanted: Sequence[tuple[str, str]]) -> None:
    for name, value in wanted:
        if name not in found:
            raise Refused(f"the signer added no annotation {shown(name)}, expected {shown(value)}")
        if found[name] != value:
            raise Refused(f"the annotation {shown(name)} is {shown(found[name])}, expected {shown(value)}")


def _check_age(verified: Verified, since: datetime | None) -> None:
    """By the earliest time that somebody trusted has signed: a later one can be had for an old signature at any time."""
    if since is None:
        return
    times = [time.time for time in verified.times]
    if not times:
        raise Refused(
            "nobody trusted has signed when this was signed, and an age is demanded", "sign it with a timestamp"
        )
    if min(times) < since:
        raise Refused(
            f"it was signed {encode_time(min(times))}, expected {encode_time(since)} or later",
            "the registry may be showing what was replaced since; sign the image anew if it is still the right one",
        )


def _subject(statement: Statement | None, digest: str) -> Subject | None:
    algorithm, _, text = digest.partition(":")
    subjects = statement.subjects if statement is not None else ()
    return next((subject for subject in subjects if (algorithm, text) in subject.digests), None)


def _one_holds(
    sifted: tuple[tuple[ImageVerified, ...], Found], digest: str, what: str
) -> tuple[tuple[ImageVerified, ...], Found]:
    good, bad = sifted
    if not good:  # 4
        raise none_holds(bad.defects, digest, what)
    return good, bad


def none_holds(bad: Sequence[Defect], digest: str, what: str) -> Refused:
    """The refusal when there is no ``what`` (a noun) that holds."""
    if not bad:
        command = "sign" if what == "signature" else "attest"
        return Refused(
            f"the image {digest} has no {what}: neither at its tag nor among its referrers",
            f"make one: sigbox {command}; are they in another repository? then set COSIGN_REPOSITORY",
        )
    reasons: dict[str, list[Defect]] = {}
    for defect in bad:
        reasons.setdefault(defect.error.message, []).append(defect)
    told = [f"{message} ({_places(defects)})" for message, defects in list(reasons.items())[:_NAMED]]
    more = f"; and {len(reasons) - _NAMED} further reasons" if len(reasons) > _NAMED else ""
    error = Refused(
        f"none of {len(bad)} {what}s of {digest} holds: {'; '.join(told)}{more}",
        next(iter(reasons.values()))[0].error.hint,
    )
    error.step = bad[0].error.step
    return error


def _places(defects: Sequence[Defect]) -> str:
    return defects[0].place if len(defects) == 1 else f"{len(defects)} times, first {defects[0].place}"
