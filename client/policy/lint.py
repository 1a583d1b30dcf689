# SPDX-License-Identifier: Apache-2.0
"""What a policy says and its author may not have meant. Whatever makes it contradictory is refused when it is read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import combinations

from client.policy.glob import Glob
from client.policy.rules import BareKey, Keyless, Kind, NoMatch, Policy, Rule
from sigcore.strict import encode_time, shown
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """``grave``: as it stands, somebody is let in who was not meant, or nobody ever is."""

    grave: bool
    where: str
    what: str


def find_doubts(policy: Policy, now: datetime, soon: timedelta) -> tuple[Finding, ...]:
    """Everything, in the order of the file; what ends within ``soon`` is said too."""
    return (
        *_ends(policy, now, soon),
        *_defaults(policy),
        *(finding for name, one in policy.identities if isinstance(one, Keyless) for finding in _wide(name, one)),
        *_unused(policy),
        *(finding for rule in policy.rules for finding in _rule(policy, rule, now)),
        *_overlaps(policy),
    )


def _ends(policy: Policy, now: datetime, soon: timedelta) -> Iterator[Finding]:
    ends = [("expires", policy.expires)]
    ends += [(name, one.until) for name, one in policy.identities if isinstance(one, BareKey) and one.until]
    for where, end in ends:
        if end <= now:
            yield Finding(where == "expires", where, f"ended at {encode_time(end)}")
        elif end - now < soon:
            yield Finding(False, where, f"ends in {(end - now).days} days, at {encode_time(end)}")


def _defaults(policy: Policy) -> Iterator[Finding]:
    if policy.on_no_match is not NoMatch.DENY:
        yield Finding(False, "defaults.onNoMatch", "a file that is renamed so that no rule matches is let through")
    if not policy.need_time:
        yield Finding(False, "defaults.require", "without a time, a key is judged by the verifier's clock")


def _wide(name: str, identity: Keyless) -> Iterator[Finding]:
    if identity.issuer.startswith("http://"):
        yield Finding(False, name, f"the issuer {shown(identity.issuer, 200)} is no https URL")
    if identity.san is None or identity.san.literal:
        return
    host = identity.san.text.split("/", 3)
    if "*" in "/".join(host[:3]):
        yield Finding(True, name, f"the san {shown(identity.san.text, 200)} leaves the host open: everybody is meant")
    elif "**" in identity.san.text:
        yield Finding(False, name, f"the ** in the san {shown(identity.san.text, 200)} crosses every /")


def _unused(policy: Policy) -> Iterator[Finding]:
    used = {name for rule in policy.rules for name in rule.allow}
    used |= {name for rule in policy.rules for one in rule.attestations for name in one.by}
    for name, _ in policy.identities:
        if name not in used:
            yield Finding(False, name, "no rule names this identity")


def _rule(policy: Policy, rule: Rule, now: datetime) -> Iterator[Finding]:
    for kind, glob in rule.match:
        if _unreachable(kind, glob):
            yield Finding(True, rule.path, f"unreachable: no {kind.value} has a name like {shown(glob.text, 200)}")
    alive = [name for name in rule.allow if not _ended(policy, name, now)]
    if rule.allow and len(alive) < rule.threshold:
        yield Finding(True, rule.path, f"unreachable: {len(alive)} of {rule.threshold} identities can still sign")
    elif (signers := len({_signer(policy, name) for name in alive})) < rule.threshold and rule.allow:
        yield Finding(True, rule.path, f"unreachable: {signers} of {rule.threshold} signers, as some are named twice")
    if rule.any_name and not all(glob.literal for _, glob in rule.match):
        yield Finding(False, rule.path, "anyName with a wildcard: who renames a file chooses this rule")


def _signer(policy: Policy, name: str) -> tuple[str, ...]:
    """Who alone can be the identity; a pattern takes several, so it is itself."""
    identity = policy.identity(name)
    if isinstance(identity, BareKey):
        return (identity.sha256,)
    if identity.san is not None and not identity.san.literal:
        return (name,)
    return identity.issuer, identity.email or (identity.san.text if identity.san else "")


def _ended(policy: Policy, name: str, now: datetime) -> bool:
    identity = policy.identity(name)
    return isinstance(identity, BareKey) and identity.until is not None and identity.until <= now


def _unreachable(kind: Kind, glob: Glob) -> bool:
    """Patterns for names that are refused: with an empty part, or without what every name of the kind begins with."""
    text = glob.text
    if text.startswith("/") or text.endswith("/") or "//" in text:
        return True
    if kind is Kind.PURL:
        return not text.startswith(("pkg:", "*"))
    return text.startswith(("oci:", "file:", "pkg:"))


def _overlaps(policy: Policy) -> Iterator[Finding]:
    """Patterns that share names and of which neither is a part of the other: which rule is meant is easily mistaken."""
    patterns = [(rule, kind, glob) for rule in policy.rules for kind, glob in rule.match if not glob.literal]
    for (one, kind, glob), (two, other_kind, other) in combinations(patterns, 2):
        if one is two or kind is not other_kind or not glob.meets(other):
            continue
        if glob.specificity() < other.specificity():
            narrow, wide, winner = other, glob, two
        else:
            narrow, wide, winner = glob, other, one
        if not wide.matches(narrow.text.replace("**", "x/x").replace("*", "x")):
            what = f"overlap of {shown(glob.text, 200)} and {shown(other.text, 200)}: {winner.path} decides for both"
            yield Finding(False, f"{one.path}, {two.path}", what)
