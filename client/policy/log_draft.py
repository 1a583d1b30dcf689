# SPDX-License-Identifier: Apache-2.0
"""A policy out of who signed what a log holds: a draft for a person to read. Pure.

A log holds digests and no names. So the draft has one rule, for all names, that lets in whoever signed; its reader puts rules
for names in its place. It is YAML, because that has comments: they say what each line comes from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from client.policy.document import API_VERSION, parse_policy
from client.policy.learning import enter
from client.policy.logged_signers import LoggedSigner
from sigcore import limits
from sigcore.errors import NotFound, Refused
from sigcore.strict import JSON, encode_time
from sigcore.values import dataclass

_EVERY_NAME: Final[dict[str, JSON]] = {"file": "**", "oci": "**", "purl": "pkg:**"}
_ABOUT: Final = """\
# A draft of who may sign what. Read it, change it, then: sigbox policy lint FILE
# It says who signed so far, and not who should have: strike out whom you do not know.
"""
_RULE: Final = """\
  # A log holds digests and no names, so this rule is for every name. Put rules for your
  # own names in its place, such as {"file": "installer-*.msi"}: docs/policy.md. Nor does it
  # say whether what was signed is a file or an attestation, unless it holds the envelope.
"""
_ATTESTING: Final = """\
  # Not allowed to sign files, as they signed attestations only, of which a log does not say
  # what they attest to; a rule's "attestations" can name them:
"""
_LESS: Final = "give --since TIME, --min-count N, or both"


@dataclass(frozen=True, slots=True)
class Draft:
    """The ``policy`` as a document, and whom each of its identities stands for."""

    policy: dict[str, JSON]
    signers: tuple[tuple[str, LoggedSigner], ...]


def draft_policy(signers: Sequence[LoggedSigner], expires: str) -> Draft:
    """Every signer as an identity; those that signed digests are allowed, for every name.

    Raises:
        NotFound: nobody signed. Refused: more identities than a policy may have.
    """
    if not signers:
        raise NotFound("nobody signed what could be counted, so there is no policy to draft")
    if len(signers) > limits.POLICY_IDENTITIES:
        raise Refused(
            f"{len(signers)} identities signed, a policy has {limits.POLICY_IDENTITIES} at most", f"for fewer, {_LESS}"
        )
    identities: dict[str, JSON] = {}
    named = tuple((enter(identities, one.identity), one) for one in signers)
    allow: list[JSON] = [name for name, one in named if one.signatures]
    rules: list[JSON] = [{"match": _EVERY_NAME, "allow": allow, "anyName": True}] if allow else []
    return Draft({"apiVersion": API_VERSION, "expires": expires, "identities": identities, "artifacts": rules}, named)


def encode_draft(draft: Draft, read: Sequence[str], left_out: Sequence[tuple[str, int]]) -> str:
    """The draft in YAML, with comments; what we hand out was read by ourselves.

    Args:
        draft: the policy.
        read: one line for each log that was read.
        left_out: why something was left out, and how often.

    Raises:
        Refused: it is longer than a policy in YAML may be.
    """
    text = _ABOUT + "".join(_lines(draft, read, left_out))
    if len(text) > limits.POLICY_YAML:
        raise Refused(
            f"the draft is {len(text)} bytes long, and a policy in YAML {limits.POLICY_YAML} at most",
            f"for fewer identities, {_LESS}; --json prints it without comments",
        )
    parse_policy(text.encode())
    return text


def _lines(draft: Draft, read: Sequence[str], left_out: Sequence[tuple[str, int]]) -> Iterator[str]:
    yield from (f"# Read: {ascii(line)[1:-1]}\n" for line in read)
    yield from (f"# Left out: {reason}: {count}\n" for reason, count in left_out)
    yield "\n"
    yield from (f"{name}: {json.dumps(draft.policy[name])}\n" for name in ("apiVersion", "expires"))
    yield "identities:\n"
    for name, one in draft.signers:
        yield f"  {json.dumps(name)}:\n    # {describe(one)}\n"
        yield from (f"    {member}: {json.dumps(value)}\n" for member, value in one.identity.items())
    allowed = [name for name, one in draft.signers if one.signatures]
    yield "artifacts:\n" if allowed else "artifacts: []\n"
    if allowed:
        yield _RULE
        yield f"  - match: {json.dumps(_EVERY_NAME)}\n    anyName: true\n    allow:\n"
        yield from (f"      - {json.dumps(name)}\n" for name in allowed)
    others = [name for name, one in draft.signers if not one.signatures]
    if others:
        yield _ATTESTING
        yield from (f"  #   {json.dumps(name)}\n" for name in others)


def describe(one: LoggedSigner) -> str:
    """How much, and when."""
    counts = ((one.signatures, "signature"), (one.attestations, "attestation"))
    what = ", ".join(f"{count} {noun}{'s' if count > 1 else ''}" for count, noun in counts if count)
    if one.first is None or one.last is None:
        return f"{what}, at no known time"
    if one.first == one.last:
        return f"{what}, at {encode_time(one.first)}"
    return f"{what}, from {encode_time(one.first)} to {encode_time(one.last)}"
