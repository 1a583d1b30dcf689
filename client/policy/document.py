# SPDX-License-Identifier: Apache-2.0
"""Reads a policy: unknown members are refused, everything is bounded, and what cannot be meant is refused here and not later."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Final

from client.policy.conditions import parse_conditions
from client.policy.glob import Glob, deceives, parse_glob
from client.policy.moments import parse_moment
from client.policy.rules import AttestationRule, BareKey, Identity, Keyless, Kind, NoMatch, Policy, Rule
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.fulcio import FulcioExtensions
from sigcore.strict import Fields, parse_hex, shown

API_VERSION: Final = "policy/v1"
REQUIREMENTS: Final = ("log", "time")
CLAIMS: Final = {name.replace("_", "-"): name for name in FulcioExtensions.__slots__ if name != "issuer"}
"""Fulcio's extensions by the names that a policy uses."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
_SCHEMES: Final = ("https://", "http://")


def parse_policy(data: bytes, *, what: str = "the policy") -> Policy:
    """The policy that ``data`` spells in JSON or YAML.

    Raises:
        Malformed: as :func:`parse_document` and :func:`policy_of`.
    """
    return policy_of(parse_document(data, what=what))


def parse_document(data: bytes, *, what: str = "the policy") -> Fields:
    """The object that ``data`` spells: JSON where it begins with a brace, else YAML (:mod:`client.policy.yaml_form`).

    Raises:
        Malformed: neither, or not an object.
    """
    if data.lstrip().startswith(b"{"):
        return Fields.parse(data, what=what, limit=limits.POLICY)
    # Deferred: what a stack delivers is JSON, and importing PyYAML takes longer than the verification.
    from client.policy.yaml_form import parse_yaml  # noqa: PLC0415 - see the line above

    return Fields.of(parse_yaml(data, what=what), what)


def policy_of(fields: Fields) -> Policy:
    """The policy in a parsed object.

    Raises:
        Malformed: an unknown member, a name that does not exist or exists twice, an identity without issuer or subject, a
            threshold that cannot be met, two rules that are equally specific about one name.
    """
    fields.only("apiVersion", "expires", "defaults", "identities", "groups", "artifacts")
    if (version := fields.text("apiVersion")) != API_VERSION:
        raise Malformed(f"{fields.path}.apiVersion is {shown(version)}, expected {API_VERSION}")
    need_time, on_no_match = _defaults(fields)
    identities = {name: _identity(fields.object("identities").object(name)) for name in _names(fields, "identities")}
    groups = _groups(fields, identities)
    rules = tuple(_rule(one, identities, groups) for one in fields.objects("artifacts", limit=limits.POLICY_RULES))
    _refuse_conflicts(rules)
    return Policy(
        parse_moment(fields.text("expires"), what=f"{fields.path}.expires"),
        tuple(identities.items()),
        tuple(groups.items()),
        rules,
        need_time,
        on_no_match,
    )


def _defaults(fields: Fields) -> tuple[bool, NoMatch]:
    defaults = fields.optional_object("defaults")
    if defaults is None:
        return True, NoMatch.DENY
    defaults.only("require", "onNoMatch")
    required = defaults.texts("require", limit=len(REQUIREMENTS)) if "require" in defaults else REQUIREMENTS
    if not set(required) <= set(REQUIREMENTS) or "log" not in required:
        hint = "every signature must be in a log; a time may be left out where keys sign"
        raise Malformed(f"{defaults.path}.require is {shown(list(required))}, expected log, and time or not", hint)
    return "time" in required, _on_no_match(defaults)


def _on_no_match(fields: Fields) -> NoMatch:
    text = fields.optional_text("onNoMatch", NoMatch.DENY.value)
    try:
        return NoMatch(text)
    except ValueError as error:
        known = ", ".join(kind.value for kind in NoMatch)
        raise Malformed(f"{fields.path}.onNoMatch is {shown(text)}, expected {known}") from error


# --- identities and groups ------------------------------------------------------------------------
def _names(fields: Fields, member: str) -> tuple[str, ...]:
    holder = fields.optional_object(member)
    names = holder.names() if holder is not None else ()
    if len(names) > limits.POLICY_IDENTITIES:
        raise Malformed(f"{fields.path}.{member} has {len(names)} members, the limit is {limits.POLICY_IDENTITIES}")
    if wrong := next((name for name in names if not _NAME.match(name)), ""):
        raise Malformed(f"{fields.path}.{member} has the name {shown(wrong)}, expected letters, digits, - _ and .")
    return names


def _identity(fields: Fields) -> Identity:
    if "publicKey" in fields:
        fields.only("publicKey", "until")
        until = parse_moment(fields.text("until"), what=f"{fields.path}.until") if "until" in fields else None
        return BareKey(_key_hash(fields), until)
    fields.only("issuer", "san", "email", "claims")
    issuer = fields.text("issuer", limit=limits.POLICY_GLOB)
    if not issuer.startswith(_SCHEMES) or "*" in issuer or deceives(issuer) or not issuer.isascii():
        raise Malformed(f"{fields.path}.issuer is {shown(issuer)}, expected a URL, exact: it has no wildcards")
    if ("san" in fields) == ("email" in fields):
        have = "both" if "san" in fields else "neither"
        raise Malformed(
            f"{fields.path} has {have} of san and email, expected one", "an issuer vouches for everybody it knows"
        )
    if "email" in fields:
        return Keyless(issuer, email=_email(fields), claims=_claims(fields))
    san = parse_glob(fields.text("san"), what=f"{fields.path}.san", ascii_only=True)
    if san.literal and ":" not in san.text and "!" not in san.text:
        raise Malformed(f"{fields.path}.san is {shown(san.text)}, expected a URI", "an address stands in email")
    return Keyless(issuer, san=san, claims=_claims(fields))


def _key_hash(fields: Fields) -> str:
    name, _, text = fields.text("publicKey").partition(":")
    if name != "sha256":
        raise Malformed(f"{fields.path}.publicKey is not sha256:HEX of the key's SPKI")
    return parse_hex(text, what=f"{fields.path}.publicKey", size=32).hex()


def _email(fields: Fields) -> str:
    email = fields.text("email", limit=limits.IDENTITY)
    if email.count("@") != 1 or "*" in email or not email.isascii() or not email.isprintable() or " " in email:
        raise Malformed(f"{fields.path}.email is {shown(email)}, expected one address, exact: it has no wildcards")
    return email


def _claims(fields: Fields) -> tuple[tuple[str, Glob], ...]:
    claims = fields.optional_object("claims")
    if claims is None:
        return ()
    claims.only(*CLAIMS)
    return tuple((CLAIMS[name], parse_glob(claims.text(name), what=f"{claims.path}.{name}")) for name in claims.names())


def _groups(fields: Fields, identities: dict[str, Identity]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for name in _names(fields, "groups"):
        if name in identities:
            raise Malformed(f"{fields.path} has a group and an identity of the name {name}")
        groups[name] = _members(fields.object("groups"), name, identities, {})
    return groups


def _members(
    fields: Fields, member: str, identities: dict[str, Identity], groups: dict[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """The identities that an array names, by themselves or by their group, each once."""
    names = fields.texts(member, limit=limits.POLICY_IDENTITIES)
    if not names or len(set(names)) != len(names):
        raise Malformed(f"{fields.path}.{member} {'names one twice' if names else 'names nobody'}")
    if unknown := next((name for name in names if name not in identities and name not in groups), None):
        raise Malformed(f"{fields.path}.{member} names {shown(unknown)}, which is no identity of this policy")
    return tuple(dict.fromkeys(one for name in names for one in groups.get(name, (name,))))


# --- rules ----------------------------------------------------------------------------------------
def _rule(fields: Fields, identities: dict[str, Identity], groups: dict[str, tuple[str, ...]]) -> Rule:
    fields.only("match", "allow", "threshold", "attestations", "trustRoot", "anyName")
    allow = _members(fields, "allow", identities, groups) if "allow" in fields else ()
    attestations = tuple(
        _attestation(one, identities, groups) for one in fields.objects("attestations", limit=limits.POLICY_NAMES)
    )
    if not allow and not attestations:
        raise Malformed(f"{fields.path} allows nobody", "say who may sign: allow, or attestations, or both")
    threshold = fields.integer("threshold") if "threshold" in fields else 1
    if not 1 <= threshold <= max(len(allow), 1) or ("threshold" in fields and not allow):
        raise Malformed(f"{fields.path}.threshold is {threshold}, and allow names {len(allow)} identities")
    root = fields.optional_text("trustRoot")
    if "trustRoot" in fields and not _NAME.match(root):
        raise Malformed(f"{fields.path}.trustRoot is {shown(root)}, expected the name of a trusted root")
    any_name = fields.boolean("anyName") if "anyName" in fields else False
    return Rule(fields.path, _match(fields.object("match")), allow, threshold, attestations, root, any_name)


def _match(fields: Fields) -> tuple[tuple[Kind, Glob], ...]:
    fields.only(*(kind.value for kind in Kind))
    patterns: list[tuple[Kind, Glob]] = []
    for kind in Kind:
        if kind.value in fields:
            several = isinstance(fields.raw()[kind.value], list)
            texts = fields.texts(kind.value, limit=limits.POLICY_NAMES) if several else (fields.text(kind.value),)
            patterns += [(kind, parse_glob(text, what=f"{fields.path}.{kind.value}")) for text in texts]
    if not patterns:
        raise Malformed(
            f"{fields.path} matches nothing", f"give a pattern for {', '.join(kind.value for kind in Kind)}"
        )
    return tuple(patterns)


def _attestation(
    fields: Fields, identities: dict[str, Identity], groups: dict[str, tuple[str, ...]]
) -> AttestationRule:
    fields.only("predicateType", "by", "where")
    kind = fields.text("predicateType", limit=limits.POLICY_GLOB)
    if ":" not in kind or "*" in kind:
        raise Malformed(f"{fields.path}.predicateType is {shown(kind)}, expected a URI, exact")
    where = parse_conditions(fields.object("where")) if "where" in fields else ()
    return AttestationRule(kind, _members(fields, "by", identities, groups), where)


def _refuse_conflicts(rules: tuple[Rule, ...]) -> None:
    """No two patterns may be equally specific about one name, in one rule or in two."""
    patterns = [(kind, glob, rule) for rule in rules for kind, glob in rule.match]
    if (wild := sum(not glob.literal for _, glob, _ in patterns)) > limits.POLICY_WILDCARDS:
        raise Malformed(f"the policy has {wild} patterns with wildcards, the limit is {limits.POLICY_WILDCARDS}")
    ranks: dict[object, list[tuple[Glob, Rule]]] = {}
    for (
        kind,
        glob,
        rule,
    ) in patterns:  # of two that begin differently, at equal length, none matches what the other does
        ranks.setdefault((kind, glob.specificity(), glob.ends()[0]), []).append((glob, rule))
    places = 0
    for equals in ranks.values():
        for (glob, rule), (other, second) in combinations(equals, 2):
            met, tried = glob.compare(other)
            places += tried
            if places > limits.POLICY_PLACES:
                hint = "let patterns begin differently, or use fewer wildcards in one"
                raise Malformed(f"{rule.path} has a pattern too much like others to be compared with them all", hint)
            if met:
                raise Malformed(
                    f"{rule.path} and {second.path} are equally specific about one name: "
                    f"{shown(glob.text, 200)} and {shown(other.text, 200)}",
                    "make one of the patterns more specific, or the rules one",
                )
