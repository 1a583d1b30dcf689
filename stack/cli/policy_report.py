# SPDX-License-Identifier: Apache-2.0
"""A decision for a person, and as JSON: the rule, every candidate, the first check that failed for each."""

from __future__ import annotations

from collections.abc import Iterator

from client.policy.decision import Decision
from client.policy.judging import Candidate


def report(decision: Decision) -> dict[str, object]:
    """What ``--json`` prints."""
    rule = decision.rule
    return {
        "name": {"kind": decision.name.kind.value, "name": decision.name.text, "given": decision.name.asserted},
        "allowed": not decision.refusal,
        "refusal": decision.refusal,
        "hint": decision.hint,
        "warning": decision.warning,
        "rule": None if rule is None else rule.path,
        "threshold": None if rule is None else rule.threshold,
        "candidates": [
            {"identity": one.identity, "bundle": one.signature, "failing": one.failing} for one in decision.candidates
        ],
        "attestations": [{"predicateType": kind, "failing": list(found)} for kind, found in decision.attestations],
    }


def lines(decision: Decision) -> list[str]:
    """What a person reads."""
    return list(_lines(decision))


def facts(decision: Decision) -> tuple[tuple[str, str], ...]:
    """The same as (name, value) pairs, for an explanation."""
    return tuple((name, value.strip()) for name, _, value in (line.partition(" ") for line in _lines(decision)))


def _lines(decision: Decision) -> Iterator[str]:
    yield f"name       {decision.name} ({'given by you' if decision.name.asserted else 'of the local file'})"
    if decision.rule is None:
        yield "rule       none is about it"
    else:
        rule = decision.rule
        globs = ", ".join(f"{kind.value} {glob.text!a}" for kind, glob in rule.match)
        yield f"rule       {rule.path}: {globs}"
        if rule.allow:
            yield f"asks for   {rule.threshold} of {len(rule.allow)}"
    for candidate in decision.candidates:
        yield f"candidate  {_candidate(candidate)}"
    for kind, found in decision.attestations:
        for number, failing in enumerate(found):
            yield f"demanded   {ascii(kind)[1:-1]}, bundle {number + 1}: {failing or 'yes'}"
    if decision.warning:
        yield f"warning    {decision.warning}"
    yield f"decision   {'REFUSED: ' + decision.refusal if decision.refusal else 'allowed'}"
    if decision.hint:
        yield f"hint       {decision.hint}"


def _candidate(candidate: Candidate) -> str:
    return f"{candidate.identity}, signature {candidate.signature + 1}: {candidate.failing or 'yes'}"
