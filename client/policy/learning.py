# SPDX-License-Identifier: Apache-2.0
"""A policy that lets through what is signed already: a draft for a person to read, never wider than what was seen.

Every name and every identity is exact. Where nothing that is signed carries the file's name the draft says ``anyName``, which
``sigbox policy lint`` and a reader should look at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from client.policy.document import API_VERSION, policy_of
from client.policy.rules import BareKey
from client.verify import Verified
from client.verify.identity import Signer
from sigcore import fulcio
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, shown
from sigcore.x509 import Certificate

_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")
_CLAIMS = ("source_repository_uri", "build_config_uri")
"""What makes a machine's name harder to reuse, where the certificate says it."""


def propose(seen: Sequence[tuple[str, Verified]], expires: str) -> dict[str, JSON]:
    """The draft for (name of the file, what was verified); files with the same signers share a rule."""
    identities: dict[str, JSON] = {}
    signers: dict[str, list[Verified]] = {}
    for name, verified in seen:
        signers.setdefault(name, []).append(verified)
    rules: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    attested: list[JSON] = []
    for name, found in signers.items():
        plain = tuple(sorted({_enter(identities, one) for one in found if one.statement is None}))
        attestations: list[JSON] = [_attestation(identities, one) for one in found if one.statement is not None]
        if attestations:
            named = not plain and all(_carries(one, name) for one in found)
            attested.append(_rule([name], plain, attestations, any_name=not named))
        else:
            rules.setdefault((plain, True), []).append(name)
    made: list[JSON] = [_rule(names, allow, [], any_name=any_name) for (allow, any_name), names in rules.items()]
    return {"apiVersion": API_VERSION, "expires": expires, "identities": identities, "artifacts": [*made, *attested]}


def _rule(names: list[str], allow: Sequence[str], attestations: list[JSON], *, any_name: bool) -> JSON:
    files: list[JSON] = [*names]
    rule: dict[str, JSON] = {"match": {"file": files if len(files) > 1 else files[0]}}
    if allow:
        rule |= {"allow": [*allow]}
    if attestations:
        rule |= {"attestations": attestations}
    return rule | {"anyName": True} if any_name else rule


def _attestation(identities: dict[str, JSON], verified: Verified) -> JSON:
    statement = verified.statement
    kind = statement.predicate_type if statement is not None else ""
    return {"predicateType": kind, "by": [_enter(identities, verified)]}


def _carries(verified: Verified, name: str) -> bool:
    return verified.statement is not None and any(one.name == name for one in verified.statement.subjects)


def _enter(identities: dict[str, JSON], verified: Verified) -> str:
    """The name under which the signer stands among ``identities``; entered if it is new."""
    leaf = verified.chain[0] if verified.chain else None
    return enter(identities, identity_of(verified.signer, leaf))


def enter(identities: dict[str, JSON], identity: dict[str, JSON]) -> str:
    """The name under which ``identity`` stands among ``identities``; entered if it is new."""
    for name, known in identities.items():
        if known == identity:
            return name
    whom = str(identity.get("email") or identity.get("san") or identity.get("publicKey"))
    stem = _UNNAMED.sub("-", whom.partition("@")[0].rpartition("//")[2]).strip("-._")[:48] or "signer"
    name, number = stem, 2
    while name in identities:
        name, number = f"{stem}-{number}", number + 1
    identities[name] = identity
    return name


def identity_of(signer: Signer, leaf: Certificate | None) -> dict[str, JSON]:
    """The signer as an identity of a policy, exact: nobody else is meant by it. ``leaf`` is None where a bare key signed.

    Raises:
        Refused: a policy cannot say it: its name would be read as a pattern, or is none that policies take.
    """
    identity = _spell(signer, leaf)
    document: dict[str, JSON] = {"apiVersion": API_VERSION, "expires": "9999-12-30", "identities": {"it": identity}}
    try:
        ((_, read),) = policy_of(Fields.of(document, "the draft")).identities
    except Malformed as error:
        raise Refused(f"no policy can name {shown(signer.identity, 200)}: {error.message}", error.hint) from error
    patterns = [] if isinstance(read, BareKey) else [read.san, *(glob for _, glob in read.claims)]
    if not all(glob is None or glob.literal for glob in patterns):
        raise Refused(
            f"no policy can name {shown(signer.identity, 200)}: it would be read as a pattern",
            "its certificate holds a *, which a policy takes for any characters",
        )
    return identity


def _spell(signer: Signer, leaf: Certificate | None) -> dict[str, JSON]:
    if leaf is None:
        return {"publicKey": signer.identity}
    if signer.kind == "Email":
        return {"issuer": signer.issuer, "email": signer.identity}
    extensions = fulcio.parse_extensions(leaf)
    claims: dict[str, JSON] = {
        field.replace("_", "-"): value for field in _CLAIMS if (value := getattr(extensions, field))
    }
    identity: dict[str, JSON] = {"issuer": signer.issuer, "san": signer.identity}
    return identity | {"claims": claims} if claims else identity
