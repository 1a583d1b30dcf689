# SPDX-License-Identifier: Apache-2.0
"""A policy in the words of others, or a refusal: what they cannot say is never left out in silence.

No other tool has an end date, and none asks that the name be signed; the caller says so (``unsaid``). Everything else that
would make the export let through more than the policy is refused, with the rule that it stands in. A wildcard becomes a regular
expression that is anchored at both ends.

Sources: policy-controller ``ClusterImagePolicy`` v1beta1; Kyverno ``ClusterPolicy`` v1 ``verifyImages`` (images that no reference
matches are let in; ``?`` is a wildcard in references, subjects and issuers; of a certificate's claims GitHub's five are known) and
``validate.pattern``; containers ``policy.json(5)``; ``cosign verify-blob``; ``gh attestation verify``.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Final

from client.policy.glob import Glob
from client.policy.rules import AttestationRule, Keyless, Kind, NoMatch, Policy, Rule
from sigcore.errors import Refused
from sigcore.strict import JSON, shown

_UNSAID: Final = "not said in the export: when the policy ends, and that a name must be signed or given by the user"
_UNSAID_BY: Final = {
    "clusterimagepolicy": (
        "which Sigstore, and without a word the public one is trusted: `sigbox env policy-controller` shows url, trustRootRef "
        "and ctlog; what is done with other images: no-match-policy in the ConfigMap config-policy-controller"
    ),
    "kyverno": (
        "which Sigstore, and without a word the public one is trusted: `sigbox env kyverno` shows roots, rekor and ctlog"
    ),
    "gh-flags": "whose repository: gh demands --owner or --repo",
}
_WORKFLOW: Final = {
    "github_workflow_trigger": "trigger",
    "github_workflow_sha": "sha",
    "github_workflow_name": "name",
    "github_workflow_repository": "repository",
    "github_workflow_ref": "ref",
}
"""Claims that cosign has a flag for: ``--certificate-github-workflow-...``."""


_IMAGE: Final = re.compile(r"[A-Za-z0-9._:/@*+-]+\Z", re.ASCII)
"""What references hold, and patterns for them; to Kyverno other characters are operators."""


def unsaid(target: str) -> str:
    """What the export does not say, and its reader must."""
    return "; ".join(filter(None, (_UNSAID, _UNSAID_BY.get(target))))


def export_policy(policy: Policy, target: str) -> str:
    """The policy for ``target``, one of ``TARGETS``.

    Raises:
        Refused: a part cannot be said there; the message names the rule.
    """
    return TARGETS[target](policy)


def pattern_of(glob: Glob) -> str:
    """The regular expression that matches what the pattern does."""
    words = {"*": "[^/]*", "**": ".*"}
    return f"^{''.join(words.get(token) or re.escape(token) for token in glob.tokens())}$"


def _cannot(rule: Rule, what: str, target: str) -> Refused:
    return Refused(
        f"{rule.path} {what}, which {target} cannot express", "change the rule, or keep it out of this export"
    )


def _keyless(policy: Policy, rule: Rule, names: tuple[str, ...], target: str) -> Iterator[tuple[str, Keyless]]:
    for name in names:
        identity = policy.identity(name)
        if not isinstance(identity, Keyless):
            raise _cannot(rule, f"allows the key {name} by its hash", target)
        if identity.san is not None and not identity.san.literal and ":" not in identity.san.ends()[0]:
            raise _cannot(rule, f"allows {name} by a pattern for URIs that addresses match, too", target)
        yield name, identity


def _refuse_alike(policy: Policy, rule: Rule, target: str) -> None:
    """Where each identity is counted by itself, one signer who is two of them would count twice."""
    if rule.threshold == 1:
        return
    for (name, one), (second, two) in combinations(_keyless(policy, rule, rule.allow, target), 2):
        same = one.san.meets(two.san) if one.san and two.san else (one.email, one.san) == (two.email, two.san)
        if one.issuer == two.issuer and same:
            raise _cannot(rule, f"counts {name} and {second}, who may be one signer, once", target)


def _subject(identity: Keyless, exact: str, pattern: str) -> dict[str, JSON]:
    if identity.san is None or identity.san.literal:
        return {exact: identity.email or (identity.san.text if identity.san else "")}
    return {pattern: pattern_of(identity.san)}


def _images(policy: Policy, target: str) -> Iterator[tuple[Rule, tuple[Glob, ...]]]:
    """Rules and their patterns, for targets that know images only and ask every rule that matches."""
    for rule in policy.rules:
        if any(kind is not Kind.OCI for kind, _ in rule.match):
            raise _cannot(rule, "is about files or packages", target)
        yield rule, tuple(glob for _, glob in rule.match)


def _refuse_overlaps(policy: Policy, target: str) -> None:
    for one, two in combinations(policy.rules, 2):
        if any(glob.meets(other) for _, glob in one.match for _, other in two.match):
            raise _cannot(one, f"and {two.path} share names, of which the more specific decides", target)


def _plain_attestation(rule: Rule, attestation: AttestationRule, target: str) -> None:
    if attestation.where:
        raise _cannot(rule, f"has conditions on {shown(attestation.predicate_type, 200)}", target)


# --- cosign and gh -------------------------------------------------------------------------------
def _cosign(policy: Policy) -> str:
    return "\n".join(line for rule in policy.rules for line in _cosign_rule(policy, rule)) + "\n"


def _cosign_rule(policy: Policy, rule: Rule) -> Iterator[str]:
    target = "cosign's flags"
    if rule.threshold > 1:
        raise _cannot(rule, f"asks for {rule.threshold} identities", target)
    if rule.allow and rule.attestations:
        raise _cannot(rule, "asks for a signature and an attestation", target)
    if len(rule.attestations) > 1:
        raise _cannot(rule, "asks for several attestations", target)
    yield _heading(rule)
    for attestation in rule.attestations:
        _plain_attestation(rule, attestation, target)
        for _, identity in _keyless(policy, rule, attestation.by, target):
            yield " ".join((_cosign_flags(rule, identity), "--type", shlex.quote(attestation.predicate_type)))
    for _, identity in _keyless(policy, rule, rule.allow, target):
        yield _cosign_flags(rule, identity)


def _heading(rule: Rule) -> str:
    names = ", ".join(f"{kind.value} {shown(glob.text, 600)}" for kind, glob in rule.match)
    root = f"; trusted root {rule.trust_root}" if rule.trust_root else ""
    return f"# {names}{root}: one of"


def _cosign_flags(rule: Rule, identity: Keyless) -> str:
    flags = _subject(identity, "--certificate-identity", "--certificate-identity-regexp")
    flags["--certificate-oidc-issuer"] = identity.issuer
    for field, glob in identity.claims:
        if field not in _WORKFLOW or not glob.literal:
            raise _cannot(rule, f"asks for the claim {field.replace('_', '-')}", "cosign's flags")
        flags[f"--certificate-github-workflow-{_WORKFLOW[field]}"] = glob.text
    return " ".join(f"{name} {shlex.quote(str(value))}" for name, value in flags.items())


def _gh(policy: Policy) -> str:
    lines = []
    for rule in policy.rules:
        target = "gh's flags"
        if rule.allow or len(rule.attestations) != 1:
            raise _cannot(rule, "asks for more or other than one attestation", target)
        lines.append(_heading(rule))
        attestation = rule.attestations[0]
        _plain_attestation(rule, attestation, target)
        for _, identity in _keyless(policy, rule, attestation.by, target):
            if identity.claims:
                raise _cannot(rule, "asks for claims", target)
            flags = _subject(identity, "--cert-identity", "--cert-identity-regex")
            flags |= {"--cert-oidc-issuer": identity.issuer, "--predicate-type": attestation.predicate_type}
            lines.append(" ".join(f"{name} {shlex.quote(str(value))}" for name, value in flags.items()))
    return "\n".join(lines) + "\n"


# --- admission -----------------------------------------------------------------------------------
def _cluster_image_policy(policy: Policy) -> str:
    target = "a ClusterImagePolicy"
    _refuse_overlaps(policy, target)
    documents: list[dict[str, JSON]] = [
        {
            "apiVersion": "policy.sigstore.dev/v1beta1",
            "kind": "ClusterImagePolicy",
            "metadata": {"name": f"sigbox-{number}"},
            "spec": {
                "images": [{"glob": glob.text} for glob in globs],
                "authorities": list(_authorities(policy, rule, target)),
            },
        }
        for number, (rule, globs) in enumerate(_images(policy, target))
    ]
    return _several(documents)


def _authorities(policy: Policy, rule: Rule, target: str) -> Iterator[JSON]:
    if rule.threshold > 1:
        raise _cannot(rule, f"asks for {rule.threshold} identities", target)
    if len(rule.attestations) + bool(rule.allow) > 1:
        raise _cannot(rule, "asks for several things at once", target)
    for attestation in rule.attestations:
        _plain_attestation(rule, attestation, target)
    for name, identity in _keyless(policy, rule, rule.allow or rule.attestations[0].by, target):
        if identity.claims:
            raise _cannot(rule, "asks for claims", target)
        who = {"issuer": identity.issuer} | _subject(identity, "subject", "subjectRegExp")
        keyless: dict[str, JSON] = {"identities": [who]}
        keyless |= {"trustRootRef": rule.trust_root} if rule.trust_root else {}
        wanted: list[JSON] = [{"name": name, "predicateType": one.predicate_type} for one in rule.attestations]
        authority: dict[str, JSON] = {"name": name.lower(), "keyless": keyless}
        yield authority | ({"attestations": wanted} if wanted else {})


def _kyverno(policy: Policy) -> str:
    target = "a Kyverno policy"
    _refuse_overlaps(policy, target)
    if policy.on_no_match is NoMatch.WARN:
        raise Refused(f"{target} cannot warn", "let onNoMatch be deny or allow")
    pods: JSON = {"any": [{"resources": {"kinds": ["Pod"]}}]}
    rules: list[JSON] = [
        {"name": f"rule-{number}", "match": pods, "verifyImages": [_kyverno_rule(policy, rule, globs, target)]}
        for number, (rule, globs) in enumerate(_images(policy, target))
    ]
    if policy.on_no_match is NoMatch.DENY:
        known = [_kyverno_glob(glob) for rule in policy.rules for _, glob in rule.match]
        rules.append({"name": "no-match", "match": pods, "validate": _kyverno_others(known)})
    document: dict[str, JSON] = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "sigbox"},
        "spec": {"validationFailureAction": "Enforce", "rules": rules},
    }
    return _several([document])


def _kyverno_glob(glob: Glob) -> str:
    return glob.text.replace("**", "*")


def _kyverno_others(known: list[str]) -> JSON:
    """Refuses what none of the references matches, of which nothing would be verified."""
    one_of: JSON = [{"image": " | ".join(known)}]
    return {
        "message": "no rule of the policy is about this image",
        "pattern": {"spec": {"=(ephemeralContainers)": one_of, "=(initContainers)": one_of, "containers": one_of}},
    }


def _kyverno_rule(policy: Policy, rule: Rule, globs: tuple[Glob, ...], target: str) -> JSON:
    for glob in globs:
        _kyverno_image(rule, glob, target)
    if rule.trust_root:
        raise _cannot(rule, "names a trusted root", target)
    _refuse_alike(policy, rule, target)
    made: dict[str, JSON] = {"imageReferences": [_kyverno_glob(glob) for glob in globs]}
    if rule.allow:
        made["attestors"] = [_attestors(policy, rule, rule.allow, rule.threshold)]
    if rule.attestations:
        for one in rule.attestations:
            _plain_attestation(rule, one, target)
        made["attestations"] = [
            {"type": one.predicate_type, "attestors": [_attestors(policy, rule, one.by, 1)]}
            for one in rule.attestations
        ]
    return made


def _kyverno_image(rule: Rule, glob: Glob, target: str) -> None:
    """An image with a digest is compared without its tag there, so a tag must not decide which images are verified."""
    if "*" in glob.text.replace("**", ""):
        raise _cannot(rule, "has a * that stops at /", target)
    name, at, _ = glob.text.rpartition("/")[2].partition("@")
    whole = glob.literal and at and ":" not in name
    rest = glob.text.endswith("**") and not at and ":" not in name
    if not _IMAGE.match(glob.text) or not (whole or rest):
        hint = "match NAME@sha256:HEX, or all below a name with ** at the end"
        raise Refused(f"{rule.path} matches {shown(glob.text, 200)}, which {target} cannot express", hint)


def _attestors(policy: Policy, rule: Rule, names: tuple[str, ...], count: int) -> JSON:
    target, entries = "a Kyverno policy", list[JSON]()
    for _, identity in _keyless(policy, rule, names, target):
        keyless: dict[str, JSON] = {"issuer": identity.issuer}
        keyless |= _subject(identity, "subject", "subjectRegExp")
        claims: dict[str, JSON] = {}
        for field, glob in identity.claims:
            if field not in _WORKFLOW or not glob.literal:
                raise _cannot(rule, f"asks for the claim {field.replace('_', '-')} or for a pattern", target)
            claims[f"githubWorkflow{_WORKFLOW[field].capitalize()}"] = glob.text
        for said in (identity.issuer, keyless.get("subject", ""), *claims.values()):
            if "?" in str(said):
                raise _cannot(rule, f"asks for {shown(str(said), 200)} with a ?", target)
        entries.append({"keyless": keyless | ({"additionalExtensions": claims} if claims else {})})
    return {"count": count, "entries": entries}


# --- podman ----------------------------------------------------------------------------------------
def _podman(policy: Policy) -> str:
    target = "podman's policy.json"
    if policy.on_no_match is NoMatch.WARN:
        raise Refused(f"{target} cannot warn", "let onNoMatch be deny or allow")
    scopes: dict[str, JSON] = {}
    for rule, globs in _images(policy, target):
        if rule.attestations or rule.trust_root:
            raise _cannot(rule, "asks for attestations or a trusted root", target)
        if rule.threshold != len(rule.allow):
            raise _cannot(
                rule, f"asks for {rule.threshold} of {len(rule.allow)} identities, and there all count", target
            )
        _refuse_alike(policy, rule, target)
        for glob in globs:
            scopes[_scope(rule, glob, target)] = [
                _podman_signed(rule, one, target) for _, one in _keyless(policy, rule, rule.allow, target)
            ]
    otherwise = "reject" if policy.on_no_match is NoMatch.DENY else "insecureAcceptAnything"
    return _several([{"default": [{"type": otherwise}], "transports": {"docker": scopes}}])


def _scope(rule: Rule, glob: Glob, target: str) -> str:
    """A reference with its tag or digest, a registry, or a repository: there that is every tag and all that is below."""
    if glob.literal and (":" in glob.text.rpartition("/")[2] or "@" in glob.text):
        return glob.text
    text = glob.text.removesuffix("/**").removesuffix(":*")
    inside = (text + "/x/y", text + ":x")[: 1 if "/" not in text else 2]
    if "*" in text or not all(any(one.matches(name) for _, one in rule.match) for name in inside):
        hint = f"match {text}/** and {text}:* alike, or references with a tag"
        raise Refused(f"{rule.path} matches {shown(glob.text, 200)}, which {target} cannot express", hint)
    return text


def _podman_signed(rule: Rule, identity: Keyless, target: str) -> JSON:
    if not identity.email or identity.claims:
        raise _cannot(rule, "allows somebody who is no email address, or with claims", target)
    fulcio_: JSON = {"caPath": "fulcio_v1.crt.pem", "oidcIssuer": identity.issuer, "subjectEmail": identity.email}
    return {
        "type": "sigstoreSigned",
        "fulcio": fulcio_,
        "rekorPublicKeyPath": "rekor.pub",
        "signedIdentity": {"type": "matchRepository"},
    }


def _several(documents: list[dict[str, JSON]]) -> str:
    """JSON, which is YAML too; several documents as YAML separates them."""
    return "---\n".join(f"{json.dumps(document, indent=2)}\n" for document in documents)


TARGETS: Final[dict[str, Callable[[Policy], str]]] = {
    "clusterimagepolicy": _cluster_image_policy,
    "kyverno": _kyverno,
    "podman": _podman,
    "cosign-flags": _cosign,
    "gh-flags": _gh,
}
