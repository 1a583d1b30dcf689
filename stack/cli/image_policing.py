# SPDX-License-Identifier: Apache-2.0
"""Images under a policy: what is attached is verified against the root that the rule names, and the policy asked.

A rule for images matches the reference as it was asked for (``registry/repository:tag``, or ``@sha256:...``) or the repository
alone; the more specific decides. What does not hold is left out before the policy is asked: whoever may write to a registry must not be able to spoil an image.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from client.oci.attached import Defect
from client.oci.reading import Found, is_signature
from client.oci.reference import Reference
from client.oci.verification import Expected, ImageVerified, none_holds, sift
from client.policy.decision import Decision, decide, decide_attestations, pick_name
from client.policy.logged_keys import find_key
from client.policy.names import Name, asserted_name
from client.verify.steps import Step
from sigcore.errors import Refused
from stack.cli.policing import Police

_EXPLAIN: Final = "sigbox policy explain shows every candidate of a file; --json here shows each check"


class ImagePolice:
    """The policy of one run, for the image that was asked for as ``asked``."""

    def __init__(self, police: Police, options: argparse.Namespace) -> None:
        self._police = police
        self._as_name: str | None = options.as_name

    def signatures(self, asked: Reference, digest: str, found: Found, expected: Expected) -> tuple[ImageVerified, ...]:
        """The signatures that count, or what the rule asks for in place of any.

        Raises:
            Refused: the policy says no.
        """
        name = self._name(asked)
        good, bad = sift(found, digest, self._expected(name, expected))
        signatures = (replace(one.verified, statement=None) for one in good if is_signature(one.attached))
        attestations = (one.verified for one in good if not is_signature(one.attached))
        bundles = (*attestations, *signatures)  # why an attestation is not the right one is told of the first
        with Step("policy"):
            decision = decide(self._police.policy, name, bundles, self._police.now)
            if decision.refusal:
                raise _refused(decision, bad.defects)
        _warn(decision)
        return _counted(decision, good)

    def attestations(
        self, asked: Reference, digest: str, found: Found, expected: Expected
    ) -> tuple[ImageVerified, ...]:
        """The attestations that are such as the rule asks for; errors as :meth:`signatures`."""
        name = self._name(asked)
        good, bad = sift(found.attestations(), digest, self._expected(name, expected))
        counted, defects = list[ImageVerified](), list(bad.defects)
        for one in good:
            decision = decide_attestations(self._police.policy, name, (one.verified,), self._police.now)
            if decision.refusal:
                defects.append(Defect(one.attached.place, Refused(decision.refusal, decision.hint)))
            else:
                if not counted:
                    _warn(decision)  # it is about the name, so the others say the same
                counted.append(one)
        if not counted:
            with Step("policy"):
                raise none_holds(defects, digest, "attestation")
        return tuple(counted)

    def _expected(self, name: Name, expected: Expected) -> Expected:
        policy = self._police.policy
        return replace(
            expected, root=self._police.root_for(name), signer=None, find_key=lambda bundle: find_key(policy, bundle)
        )

    def _name(self, asked: Reference) -> Name:
        if self._as_name is not None:
            return asserted_name(self._as_name)
        reference, repository = (asserted_name(f"oci:{text}") for text in (str(asked), asked.name))
        return pick_name(self._police.policy, reference, repository)


def _warn(decision: Decision) -> None:
    if decision.warning:
        sys.stderr.write(f"warning: {decision.warning}\n")


def _refused(decision: Decision, defects: Sequence[Defect]) -> Refused:
    more = f"; beside it {len(defects)} did not hold: {defects[0].error.message}" if defects else ""
    return Refused(f"{decision.refusal}{more}", decision.hint or _EXPLAIN)


def _counted(decision: Decision, good: Sequence[ImageVerified]) -> tuple[ImageVerified, ...]:
    signatures = [one for one in good if is_signature(one.attached)]
    if decision.rule is None or not decision.rule.allow:
        return tuple(signatures or good)
    numbers = {candidate.signature for candidate in decision.candidates if not candidate.failing}
    return tuple(one for number, one in enumerate(signatures) if number in numbers)
