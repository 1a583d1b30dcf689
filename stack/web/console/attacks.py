# SPDX-License-Identifier: Apache-2.0
"""The attacks of the lessons: each changes what a verifier is given, and the client's one verifier judges. Pure but for new keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from client.explain.flow import explain_verification
from client.explain.part import Part
from client.verify.identity import IdentityPolicy
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey, read_signed, verify_signature
from client.verify.steps import Step
from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature
from sigcore.dsse import Envelope
from sigcore.errors import Malformed, Refused, SigError
from sigcore.note import note_key
from sigcore.strict import shown
from sigcore.trustroot import LogInstance
from sigcore.x509 import parse_certificate
from stack.web.console import course
from stack.web.console.exercise import MALLORY, Exercise, encode_manifest, layer_digest, layer_of
from stack.web.console.judged import Judged, judge
from stack.web.console.provenance import COMMIT
from stack.web.console.recording import ARTIFACT
from stack.web.console.rogue import change_path, fork, stamp_late

CAROL: Final = "carol@example.com"
_LATE: Final = timedelta(hours=1)
_CHECKSUM: Final = (
    "The checksum beside the file is that of the file.",
    "Whoever can change the file, and with it the checksum.",
)
_LAYER: Final = (
    "The layer has the hash by which the manifest names it.",
    "Nobody, once the manifest is the right one: to have another layer fit, somebody would have to find a collision of SHA-256.",
)

Change = Callable[[Exercise], Exercise]


def attacked(exercise: Exercise, name: str) -> Exercise:
    """The exercise as a verifier sees it after the attack ``name``.

    Raises:
        Malformed: the lesson has no such attack.
    """
    known = {attack.name for attack in exercise.lesson.attacks}
    if name not in known:
        raise Malformed(f"there is no attack {shown(name)} in this lesson", f"known: {', '.join(sorted(known))}")
    return _CHANGES[name](exercise)


def verdict(exercise: Exercise) -> Judged:
    """What a verifier says who is given the exercise."""
    return _JUDGES.get(exercise.lesson.name, _judge_bundle)(exercise)


# --- how each lesson judges --------------------------------------------------------------------------
def _judge_bundle(exercise: Exercise) -> Judged:
    return judge(exercise.bundle, exercise.digest, exercise.expected, exercise.root, ARTIFACT)


def _judge_checksum(exercise: Exercise) -> Judged:
    listed, found = _content(exercise).digest.hex(), exercise.digest.hex()
    sums = f"{listed}  {ARTIFACT}\n".encode("ascii")
    facts = (("checksum", listed), ("the file's SHA-256", found))
    files = ((ARTIFACT, exercise.data), ("SHA256SUMS", sums))
    part = Part("digest", *_CHECKSUM, facts, ("sha256sum --check SHA256SUMS",), files)
    if listed == found:
        return Judged((part,))
    error = Refused(f"the checksum is {listed}, the file has {found}")
    return _refused((), part, error)


def _judge_key(exercise: Exercise) -> Judged:
    """Steps 1 and 7 of the verification: all that there is without a log."""
    found, bundle, key = Recorder(), exercise.bundle, exercise.expected
    try:
        with Step("digest"):
            found.signed = read_signed(bundle, exercise.digest, key if isinstance(key, ManagedKey) else None)
        with Step("signature"):
            verify_signature(found.signed)
    except SigError as error:
        return Judged(explain_verification(bundle, found, exercise.digest, ARTIFACT, error), error)
    return Judged(explain_verification(bundle, found, exercise.digest, ARTIFACT, None))


def _judge_image(exercise: Exercise) -> Judged:
    named, found = layer_of(exercise.manifest), layer_digest(exercise.data)
    facts = (("layer in the manifest", named), ("the layer's own hash", found))
    files = (("manifest.json", exercise.manifest), ("layer", exercise.data))
    part = Part("layer", *_LAYER, facts, ('grep "$(sha256sum layer | head -c 64)" manifest.json',), files)
    if named != found:
        return _refused((), part, Refused(f"the manifest names the layer {named}, this one is {found}"))
    judged = _judge_bundle(exercise)
    return Judged((part, *judged.parts), judged.error)


def _refused(before: tuple[Part, ...], part: Part, error: Refused) -> Judged:
    return Judged((*before, replace(part, refusal=error.message, hint=error.hint)), error)


_JUDGES: Final[Mapping[str, Callable[[Exercise], Judged]]] = {
    course.CHECKSUM.name: _judge_checksum,
    course.KEY.name: _judge_key,
    course.IMAGE.name: _judge_image,
}


# --- the attacks -------------------------------------------------------------------------------------
def _flipped(exercise: Exercise) -> Exercise:
    """The file with its lowest bit changed."""
    data = exercise.data
    return replace(exercise, data=bytes([data[0] ^ 1]) + data[1:])


def _both(exercise: Exercise) -> Exercise:
    changed = _flipped(exercise)
    return replace(changed, bundle=replace(changed.bundle, content=replace(_content(changed), digest=changed.digest)))


def _signed_by_another(exercise: Exercise) -> tuple[Exercise, ManagedKey]:
    """The changed file, signed with a new key."""
    changed, key = _flipped(exercise), keys.generate_p256()
    content = MessageSignature(HashAlgorithm.SHA2_256, changed.digest, keys.sign_digest(key, changed.digest))
    return replace(changed, bundle=replace(changed.bundle, content=content)), ManagedKey(key.public_key())


def _stranger(exercise: Exercise) -> Exercise:
    if exercise.bundle.log_entries:
        return replace(exercise, expected=ManagedKey(keys.generate_p256().public_key()))
    return _signed_by_another(exercise)[0]


def _impostor(exercise: Exercise) -> Exercise:
    changed, key = _signed_by_another(exercise)
    return replace(changed, expected=key)


def _other_log(exercise: Exercise) -> Exercise:
    """Logs of the same names, with other keys."""

    def other(log: LogInstance) -> LogInstance:
        key = keys.generate_p256().public_key()
        spki = keys.encode_public_key(key)
        return replace(log, key=spki, details=keys.default_details(key), log_id=note_key("log.example", key).id)

    return replace(exercise, root=replace(exercise.root, logs=tuple(map(other, exercise.root.logs))))


def _late(exercise: Exercise) -> Exercise:
    signed, root = parse_certificate(exercise.bundle.certificate or b"").not_before, exercise.root
    stamp, clock = stamp_late(exercise.bundle.signature, signed + _LATE, signed)
    clocks = (*root.timestamp_authorities, clock)
    bundle = replace(exercise.bundle, timestamps=(stamp,))
    return replace(exercise, bundle=bundle, root=replace(root, timestamp_authorities=clocks))


def _forged(name: str) -> Change:
    """The bundle that the attacker had made."""
    return lambda exercise: replace(exercise, bundle=exercise.forged[name])


def _unlogged(exercise: Exercise) -> Exercise:
    root = exercise.root
    if exercise.rogue is not None:
        root = replace(root, certificate_authorities=(*root.certificate_authorities, exercise.rogue))
    return replace(_forged("unlogged")(exercise), root=root)


def _demanding(change: Callable[[IdentityPolicy], IdentityPolicy]) -> Change:
    """Somebody else, or another provider."""

    def changed(exercise: Exercise) -> Exercise:
        expected = exercise.expected
        return replace(exercise, expected=change(expected)) if isinstance(expected, IdentityPolicy) else exercise

    return changed


def _somebody_else(expected: IdentityPolicy) -> IdentityPolicy:
    return replace(expected, identity=CAROL if expected.identity != CAROL else MALLORY)


def _other_provider(expected: IdentityPolicy) -> IdentityPolicy:
    return replace(expected, issuer="https://accounts.example")


def _in_bundle(change: Callable[[Bundle], Bundle]) -> Change:
    return lambda exercise: replace(exercise, bundle=change(exercise.bundle))


def _moved_tag(exercise: Exercise) -> Exercise:
    changed = _flipped(exercise)
    return replace(changed, manifest=encode_manifest(changed.data))


def _other_commit(exercise: Exercise) -> Exercise:
    envelope = exercise.bundle.content
    if not isinstance(envelope, Envelope):
        return exercise
    commit = next(row.stated for row in exercise.provenance if row.name == COMMIT)
    payload = envelope.payload.replace(commit.encode("ascii"), b"0" * len(commit))
    return replace(exercise, bundle=replace(exercise.bundle, content=replace(envelope, payload=payload)))


def _content(exercise: Exercise) -> MessageSignature:
    content = exercise.bundle.content
    if not isinstance(content, MessageSignature):
        raise Malformed("the exercise holds no signature of a file")
    return content


_CHANGES: Final[Mapping[str, Change]] = {
    "flip": _flipped,
    "both": _both,
    "stranger": _stranger,
    "impostor": _impostor,
    "otherlog": _other_log,
    "fork": _in_bundle(fork),
    "path": _in_bundle(change_path),
    "somebody": _demanding(_somebody_else),
    "issuer": _demanding(_other_provider),
    "late": _late,
    "rogue": _forged("rogue"),
    "unlogged": _unlogged,
    "layer": _flipped,
    "tag": _moved_tag,
    "commit": _other_commit,
    "laptop": _forged("laptop"),
    "copy": _forged("copy"),
}
