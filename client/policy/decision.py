# SPDX-License-Identifier: Apache-2.0
"""The decision: a name, verified bundles and a policy -> the rule, every candidate, and the first check that failed.

The steps are those of :mod:`client.policy`. Nothing here verifies a signature: a :class:`~client.verify.Verified` value
shows that somebody did, against the trusted root that :func:`find_rule` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from operator import itemgetter
from typing import Final

from client.policy.glob import Specificity
from client.policy.judging import Candidate, count_distinct, find_attestation_failure, find_candidates
from client.policy.names import Name
from client.policy.rules import Kind, NoMatch, Policy, Rule
from client.verify import Verified
from sigcore.errors import Refused
from sigcore.strict import encode_time, shown
from sigcore.values import dataclass

_NAMED: Final = 4
"""Candidates that a message names; a policy may have hundreds."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says. ``refusal`` is empty for yes; ``warning`` is for a person to read in any case.

    ``rule`` is None where no rule is about the name. ``candidates`` are of ``allow``; ``attestations`` says for each
    attestation that the rule demands, by its type, why each bundle is not it (empty: it is).
    """

    name: Name
    rule: Rule | None
    refusal: str
    hint: str = ""
    warning: str = ""
    candidates: tuple[Candidate, ...] = ()
    attestations: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def accepted(self, bundles: tuple[Verified, ...]) -> Verified:
        """Of the bundles that were judged, the first that counted; where no rule is about the name, the first."""
        signatures = tuple(bundle for bundle in bundles if bundle.statement is None)
        for candidate in self.candidates:
            if not candidate.failing:
                return signatures[candidate.signature]
        counted = (number for _, found in self.attestations for number, failing in enumerate(found) if not failing)
        return bundles[min(counted, default=0)]


def verify_current(policy: Policy, now: datetime) -> None:
    """Step 1.

    Raises:
        Refused: the policy has expired.
    """
    if now >= policy.expires:
        raise Refused(f"the policy expired at {encode_time(policy.expires)}", "ask who publishes it for a newer one")


def find_rule(policy: Policy, name: Name) -> Rule | None:
    """Step 2: the rule with the most specific pattern that matches; None where none does."""
    closest = _find_closest(policy, name)
    return closest[1] if closest else None


def pick_name(policy: Policy, reference: Name, repository: Name) -> Name:
    """Under which of its two names an image is judged: that of the more specific rule, the reference where neither is.

    A pattern without wildcards for a repository stands behind one for a tag in it, as one that every tag matches would.
    """
    whole, part = _find_closest(policy, reference), _find_closest(policy, repository)
    if part is None:
        return reference
    _, head, fixed, *stars = part[0]
    return repository if whole is None or (False, head, fixed, *stars) > whole[0] else reference


def _find_closest(policy: Policy, name: Name) -> tuple[Specificity, Rule] | None:
    found = [
        (glob.specificity(), rule)
        for rule in policy.rules
        for kind, glob in rule.match
        if kind is name.kind and glob.matches(name.text)
    ]
    return max(found, key=itemgetter(0)) if found else None


def decide(policy: Policy, name: Name, bundles: tuple[Verified, ...], now: datetime) -> Decision:
    """Steps 1 to 5 for an artifact: its signatures, and the attestations that its rule demands, all among ``bundles``.

    Raises:
        Refused: the policy has expired. Whatever else speaks against the artifact stands in the decision.
    """
    verify_current(policy, now)
    rule = find_rule(policy, name)
    if rule is None:
        return _unmatched(policy, name)
    if refusal := _time_refusal(policy, bundles):
        return Decision(name, rule, refusal)
    usable = tuple(bundle for bundle in bundles if _carries(rule, name, bundle))
    signatures = tuple(bundle for bundle in usable if bundle.statement is None)
    candidates = find_candidates(policy, rule.allow, signatures, now)
    attestations = _attestations(policy, rule, usable, now)
    refusal, hint = _unnamed(name, rule) if len(usable) < len(bundles) else ("", "")
    refusal = refusal or _refusal(rule, candidates, count_distinct(candidates, signatures), attestations)
    return Decision(name, rule, refusal, hint, candidates=candidates, attestations=attestations)


def decide_attestations(policy: Policy, name: Name, bundles: tuple[Verified, ...], now: datetime) -> Decision:
    """The same for attestations alone: each of ``bundles`` is one that the rule asks for. Who signed the file is not asked.

    Raises:
        Refused: the policy has expired.
    """
    verify_current(policy, now)
    rule = find_rule(policy, name)
    if rule is None:
        return _unmatched(policy, name)
    attestations = _attestations(policy, rule, bundles, now)
    refusal, hint = _time_refusal(policy, bundles), ""
    if not refusal and not all(_carries(rule, name, bundle) for bundle in bundles):
        refusal, hint = _unnamed(name, rule)
    for number, bundle in enumerate(bundles):
        kind = bundle.statement.predicate_type if bundle.statement is not None else "none: it signs a file"
        reasons = {found[number]: wanted for wanted, found in attestations}
        if not refusal and "" not in reasons:
            closest = next((reason for reason, wanted in reasons.items() if wanted == kind), "")
            refusal = closest or f"{rule.path} asks for no attestation of the type {shown(kind, 200)}"
    return Decision(name, rule, refusal, hint, attestations=attestations)


def _first_failures(candidates: tuple[Candidate, ...]) -> str:
    """For one sentence; ``--explain`` shows them all."""
    failures = [f"{one.identity}: {one.failing}" for one in candidates if one.failing]
    return "; ".join(failures[:_NAMED]) or "no further signature of the file was given"


def _unmatched(policy: Policy, name: Name) -> Decision:
    said = f"no rule of the policy is about the {name}"
    if policy.on_no_match is NoMatch.DENY:
        return Decision(name, None, said, "add a rule, or say what it is: --as NAME")
    return Decision(name, None, "", warning=said if policy.on_no_match is NoMatch.WARN else "")


def _time_refusal(policy: Policy, bundles: Iterable[Verified]) -> str:
    if policy.need_time and not all(bundle.times for bundle in bundles):
        return "nothing that is signed says when it was signed, and the policy requires a time"
    return ""


def _carries(rule: Rule, name: Name, bundle: Verified) -> bool:
    """Step 3. A purl in the statement is as good as the file's name where the rule is about that purl too."""
    if name.asserted or rule.any_name:
        return True
    if bundle.statement is None:
        return False
    digest = (bundle.statement.algorithm().hashlib_name, bundle.digest.hex())
    own = (one.name for one in bundle.statement.subjects if digest in one.digests)
    purls = tuple(glob for kind, glob in rule.match if kind is Kind.PURL)
    return any(
        subject == name.text or (subject.startswith("pkg:") and any(glob.matches(subject) for glob in purls))
        for subject in own
    )


def _unnamed(name: Name, rule: Rule) -> tuple[str, str]:
    instead = "" if rule.allow else ", or sign a statement with that subject"  # a statement is no signature of the file
    return (
        f"nothing that is signed carries the name of the {name}, and whoever made the file chose it",
        f"say yourself what it is, --as NAME; or let the rule say anyName{instead}",
    )


def _attestations(
    policy: Policy, rule: Rule, bundles: tuple[Verified, ...], now: datetime
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (one.predicate_type, tuple(find_attestation_failure(policy, one, bundle, now) for bundle in bundles))
        for one in rule.attestations
    )


def _refusal(
    rule: Rule, candidates: tuple[Candidate, ...], count: int, attestations: tuple[tuple[str, tuple[str, ...]], ...]
) -> str:
    if rule.allow and count < rule.threshold:
        who, reason = ", ".join(rule.allow[:_NAMED]), _first_failures(candidates)
        if rule.threshold == 1:
            return f"{rule.path} allows {who}; {reason}"
        return f"{rule.path} asks for {rule.threshold} of {who}, found {count} that are distinct; {reason}"
    for kind, reasons in attestations:
        if "" not in reasons:
            reason = next(iter(reasons), "none was given")
            return f"{rule.path} demands an attestation of the type {shown(kind, 200)}: {reason}"
    return ""
