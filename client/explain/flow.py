# SPDX-License-Identifier: Apache-2.0
"""The parts in the order in which the verifier takes them, up to the one that refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from client.explain.certified import certificate_part, identity_part, precertificate_part, sct_parts
from client.explain.logged import entry_parts
from client.explain.material import digest_part, key_part, signature_part
from client.explain.part import Part
from client.explain.times import time_parts
from client.explain.witnessed import witnesses_part
from client.verify.recorder import Recorder
from sigcore.bundle import Bundle
from sigcore.errors import SigError

_REFUSING = {
    "bundle": ("The bundle can be read, and holds what was asked for.", "Whoever made it or carried it."),
    "digest": (
        "The bundle is about the artifact and by the kind of signer that you named.",
        "Whoever gave you the file.",
    ),
    "material": ("There are log entries of kinds that are known, and nothing twice.", "Whoever made the bundle."),
    "timestamp": (
        "Trusted parties have signed when the signature existed.",
        "Whoever made the bundle: nobody else signed it.",
    ),
    "certificate": ("A trusted authority vouched for the certificate when it was used.", "Whoever made the bundle."),
    "SCT": ("A trusted certificate log promised to publish the certificate.", "The certificate authority."),
    "identity": ("The signer is whom you demand.", "The signer, by another name."),
    "entry": ("A trusted log holds this very signature.", "Whoever made the bundle, with another entry."),
    "checkpoint": ("The log signed the head of its tree.", "Whoever made the bundle, with a tree of his own."),
    "path": ("The entry is in the tree that the log signed.", "Whoever made the bundle, with a path of his own."),
    "witnesses": (
        "The witnesses that your policy demands have cosigned the checkpoint.",
        "The log, by another tree than it shows to others; and that is what witnesses find out.",
    ),
    "signature": ("The key signed the artifact.", "Whoever put signature and artifact together."),
    "policy": ("The policy lets this signer sign this file.", "Whoever can change the policy."),
    "claims": (
        "What was signed is about this image, under the name that it is found by, with what you demand of it.",
        "Whoever may write to the registry: he can put any signature beside any image.",
    ),
    "statement": ("The attestation is of the demanded type.", "Nobody: it may be genuine and say something else."),
}
"""Step -> (what is checked, who could lie) where a step refused before there was anything to show."""
_STEPS = (
    ("bundle",),
    ("digest", "key"),
    ("material",),
    ("timestamp", "promise"),
    ("certificate",),
    ("precertificate", "SCT"),
    ("identity",),
    ("entry", "checkpoint", "leaf hash", "path"),
    ("witnesses",),
    ("signature",),
    ("policy",),
    ("statement",),
    ("claims",),
)
"""The names of the parts, one row for each step that the verifier takes."""
_RANK = {name: rank for rank, names in enumerate(_STEPS) for name in names}


def explain_verification(
    bundle: Bundle | None,
    found: Recorder,
    digest: bytes,
    artifact: str,
    error: SigError | None,
    stamped: bytes | None = None,
) -> tuple[Part, ...]:
    """Every step that was taken; the last is the one that refused, where one did.

    Args:
        bundle: what was verified, None where it could not be read.
        found: what the verifier found.
        digest: the artifact's.
        artifact: its absolute path, or empty where only the digest is known.
        error: the refusal.
        stamped: what the timestamps are over, where that is not the signature.
    """
    parts = tuple(list_parts(bundle, found, digest, artifact, stamped)) if bundle is not None else ()
    return parts if error is None else _until(parts, error)


def list_parts(
    bundle: Bundle, found: Recorder, digest: bytes, artifact: str, stamped: bytes | None = None
) -> Iterator[Part]:
    """One part for each thing that was found, in the verifier's order."""
    signed = found.signed
    if signed is None:
        return
    yield digest_part(signed, digest, artifact)
    yield key_part(signed)
    over = ("sig.der", signed.signature) if stamped is None else ("envelope.json", stamped)
    yield from time_parts(found.times, bundle.timestamps, bundle.log_entries, over)
    if found.chain:
        yield certificate_part(found.chain, [time.time for time in found.times])
        yield precertificate_part(found.chain)
        yield from sct_parts(found.chain, found.scts)
        if found.signer is not None:
            yield identity_part(found.signer)
    for number, entry in enumerate(bundle.log_entries[: len(found.entries) + 1], 1):  # one more: the one that refused
        log = found.entries[number - 1].source if number <= len(found.entries) else None
        yield from entry_parts(number, entry, signed, log)
    for number, head in enumerate(found.witnessed, 1):
        yield witnesses_part(number, head, bundle.log_entries[number - 1], _REFUSING["witnesses"])
    yield signature_part(signed)
    if found.decision:
        yield Part("policy", *_REFUSING["policy"], facts=found.decision)


def _until(parts: Sequence[Part], error: SigError) -> tuple[Part, ...]:
    """``parts`` up to the one that refused: the last of its name, or a bare one where nothing could be shown yet."""
    name = error.step or "bundle"
    rank = _RANK.get(name, 0)
    taken = [part for part in parts if _RANK[part.name] <= rank]
    named = [position for position, part in enumerate(taken) if part.name == name]
    if named:
        taken = taken[: named[-1] + 1]
        failing = taken.pop()
    else:
        failing = Part(name, *_REFUSING.get(name, ("", "")))
    return (*taken, replace(failing, refusal=error.message, hint=error.hint))
