# SPDX-License-Identifier: Apache-2.0
"""Whether a signer is an identity of the policy: each check in turn, and the first that fails."""

from __future__ import annotations

from datetime import datetime

from client.policy.conditions import failing
from client.policy.rules import AttestationRule, BareKey, Identity, Keyless, Policy
from client.verify import Verified
from sigcore import fulcio
from sigcore.strict import encode_time, shown
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One identity that may sign, held against one signature; ``failing`` is the first check that fails, or empty."""

    identity: str
    signature: int
    failing: str


def find_signer_failure(identity: Identity, verified: Verified, now: datetime) -> str:
    """Why the signature is not by ``identity``; empty where it is."""
    if isinstance(identity, BareKey):
        return _key_failure(identity, verified, now)
    signer = verified.signer
    if not verified.chain:
        return "a bare key signed, and this identity is a person's or a machine's"
    if signer.issuer != identity.issuer:
        return f"the issuer is {shown(signer.issuer, 200)}, expected {shown(identity.issuer, 200)}"
    return _name_failure(identity, verified) or _claims_failure(identity, verified)


def _name_failure(identity: Keyless, verified: Verified) -> str:
    signer = verified.signer
    if identity.san is None:
        if signer.kind == "Email" and signer.identity == identity.email:
            return ""
        return f"the signer is {shown(signer.identity, 300)}, expected the address {shown(identity.email, 300)}"
    if signer.kind == "Email":
        return f"the signer is the address {shown(signer.identity, 300)}, expected a URI"
    if not identity.san.matches(signer.identity):
        return f"the signer is {shown(signer.identity, 300)}, expected {shown(identity.san.text, 300)}"
    return ""


def _claims_failure(identity: Keyless, verified: Verified) -> str:
    extensions = fulcio.parse_extensions(verified.chain[0])
    for field, glob in identity.claims:
        found: str = getattr(extensions, field)
        if not found or not glob.matches(found):
            name = field.replace("_", "-")
            return f"the claim {name} is {shown(found, 200)}, expected {shown(glob.text, 200)}"
    return ""


def _key_failure(identity: BareKey, verified: Verified, now: datetime) -> str:
    if verified.chain:
        return "a certificate signed, and this identity is a bare key"
    if verified.signer.identity != f"sha256:{identity.sha256}":
        return f"the key is {shown(verified.signer.identity, 80)}, expected 'sha256:{identity.sha256}'"
    latest = max((time.time for time in verified.times), default=now)
    if identity.until is not None and latest >= identity.until:
        how = "signed" if verified.times else "judged, as nothing says when it signed,"
        return f"the key was good until {encode_time(identity.until)} and {how} at {encode_time(latest)}"
    return ""


def find_candidates(
    policy: Policy, names: tuple[str, ...], signatures: tuple[Verified, ...], now: datetime
) -> tuple[Candidate, ...]:
    """Each identity of ``names`` against each signature."""
    return tuple(
        Candidate(name, number, find_signer_failure(policy.identity(name), verified, now))
        for name in names
        for number, verified in enumerate(signatures)
    )


def count_distinct(candidates: tuple[Candidate, ...], signatures: tuple[Verified, ...]) -> int:
    """How many identities have signed, if each identity and each signer counts once: the largest matching of the two.

    For each identity in turn, look for a signer that is free, or whose identity can take another one (augmenting paths).
    """
    who = {number: (one.signer.issuer, one.signer.identity) for number, one in enumerate(signatures)}
    options: dict[str, set[tuple[str, str]]] = {}
    for candidate in candidates:
        if not candidate.failing:
            options.setdefault(candidate.identity, set()).add(who[candidate.signature])
    taken: dict[tuple[str, str], str] = {}

    def place(name: str, seen: set[tuple[str, str]]) -> bool:
        for signer in options[name] - seen:
            seen.add(signer)
            if signer not in taken or place(taken[signer], seen):
                taken[signer] = name
                return True
        return False

    return sum(place(name, set()) for name in options)


def find_attestation_failure(policy: Policy, rule: AttestationRule, verified: Verified, now: datetime) -> str:
    """Why an attestation is not the one that ``rule`` asks for; empty where it is."""
    statement = verified.statement
    if statement is None:
        return "it is the signature of a file, and no attestation"
    if statement.predicate_type != rule.predicate_type:
        return f"it is of the type {shown(statement.predicate_type, 200)}, expected {shown(rule.predicate_type, 200)}"
    failures = [find_signer_failure(policy.identity(name), verified, now) for name in rule.by]
    if all(failures):
        return f"it is by none of {', '.join(rule.by)}: {failures[0]}"
    return next(filter(None, (failing(condition, statement.predicate) for condition in rule.where)), "")
