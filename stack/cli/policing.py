# SPDX-License-Identifier: Apache-2.0
"""Verifies a file under a policy: reads it, verifies every bundle against the root that the rule names, and asks it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from client.files import load_bundle, read_file
from client.policy.decision import Decision, decide, decide_attestations, find_rule, verify_current
from client.policy.document import parse_policy
from client.policy.logged_keys import find_key
from client.policy.names import Name, asserted_name, local_name
from client.policy.rules import Policy
from client.root import load_trusted_root as load_root_file
from client.verify import Verified, own_steps
from client.verify.recorder import Recorder
from client.verify.signed import digest_algorithm
from client.verify.steps import Step, Steps, at_once
from sigcore import limits
from sigcore.bundle import Bundle
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.strict import shown
from sigcore.trustroot import TrustedRoot
from stack.cli.artifact import digest_of, is_digest
from stack.cli.policy_report import facts
from stack.cli.trusting import load_trusted_root
from stack.cli.usage import NoPolicy, Usage
from stack.cli.verifying import Verify
from stack.cli.witness_choice import load_witness_policy

if TYPE_CHECKING:
    from sigcore.tlog_policy import TlogPolicy


def load_policy(path: str) -> Policy:
    """The policy in a file, as it is, expired or not.

    Raises:
        NoPolicy: there is no readable file. Usage: it is no policy: a refusal of the file it is not.
    """
    try:
        data = read_file(path, what="the policy", limit=limits.POLICY)
    except NotFound as error:
        raise NoPolicy(
            error.message, "without its policy nothing is judged; --no-policy tells a verification that none is meant"
        ) from error
    try:
        return parse_policy(data, what=f"the policy {path}")
    except Malformed as error:
        raise Usage(error.message, error.hint) from error


@dataclass(frozen=True, slots=True)
class Police:
    """A current policy and the trusted roots that it may name; the unnamed one under the empty name."""

    policy: Policy
    roots: dict[str, TrustedRoot]
    options: argparse.Namespace
    now: datetime
    witnesses: TlogPolicy | None = None
    """Who must have cosigned, whatever the policy says of the signer."""

    @classmethod
    def of(cls, path: str, options: argparse.Namespace) -> Police:
        """Read the policy and the roots.

        Raises:
            NoPolicy: absent or expired. Usage: no policy, or options that contradict each other. NotFound, Malformed: the
                roots.
        """
        if options.as_name and len(options.files) > 1:
            raise Usage("one name is given for several files", "verify them one by one")
        now, policy = datetime.now(UTC), load_policy(path)
        try:
            verify_current(policy, now)
        except Refused as error:
            raise NoPolicy(error.message, error.hint) from error
        return cls(policy, load_roots(options), options, now, load_witness_policy(options))

    def verifier(self, file: str, *, attestation: bool = False, predicate_type: str = "") -> Verify:
        """What verifies ``file``: under the whole rule, or with ``attestation`` each bundle as one that is asked for."""
        name = name_of(file, self.options)

        def verify(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
            bundles = yield from self._verified(name, file, bundle, digest, found)
            judge = decide_attestations if attestation else decide
            with Step("policy"):
                decision = judge(self.policy, name, bundles, self.now)
                found.decision = facts(decision)
                if decision.warning:
                    sys.stderr.write(f"warning: {decision.warning}\n")
                if decision.refusal:
                    raise Refused(decision.refusal, decision.hint or "sigbox policy explain shows every candidate")
                accepted = decision.accepted(bundles)
            if predicate_type:
                with Step("statement"):
                    _check_type(accepted, predicate_type)
            return accepted

        return verify

    def decide(self, file: str, path: str) -> Decision:
        """The decision about ``file`` with the bundle in ``path``, for a report."""
        name, bundle = name_of(file, self.options), load_bundle(path)
        digest = digest_of(file, digest_algorithm(bundle))
        bundles = at_once(self._verified(name, file, bundle, digest, Recorder()))
        return decide(self.policy, name, bundles, self.now)

    def root_for(self, name: Name) -> TrustedRoot:
        """The trusted root by which the rule about ``name`` judges.

        Raises:
            NotFound: no such root was given.
        """
        rule = find_rule(self.policy, name)
        wanted = rule.trust_root if rule is not None else ""
        if wanted not in self.roots:
            raise NotFound(
                f"the policy judges the {name} by the trusted root {wanted}", f"give --policy-root {wanted}=FILE"
            )
        return self.roots[wanted]

    def _verified(
        self, name: Name, file: str, bundle: Bundle, digest: bytes, found: Recorder
    ) -> Steps[tuple[Verified, ...]]:
        root, verified = self.root_for(name), []
        digests = {digest_algorithm(bundle): digest}  # a file that is read twice could be two files
        for one in (bundle, *map(load_bundle, self.options.and_bundle)):
            if (algorithm := digest_algorithm(one)) not in digests:
                digests[algorithm] = digest_of(file, algorithm)
            recorder = found if one is bundle else Recorder()
            key = find_key(self.policy, one)
            steps = own_steps(one, digests[algorithm], root=root, key=key, recorder=recorder, witnesses=self.witnesses)
            verified.append((yield from steps))
        return tuple(verified)


def load_roots(options: argparse.Namespace) -> dict[str, TrustedRoot]:
    """The trusted roots by name. Errors as :meth:`Police.of`."""
    roots = {"": load_trusted_root(options)}
    for text in options.policy_root:
        name, equals, path = text.partition("=")
        if not equals or not name or name in roots:
            raise Usage(f"--policy-root is {shown(text, 200)}, expected NAME=FILE, each name once")
        roots[name] = load_root_file(path)
    return roots


def name_of(file: str, options: argparse.Namespace) -> Name:
    """The name that ``file`` is judged under.

    Raises:
        Usage: a digest without a name. Refused: a name that is none.
    """
    if options.as_name is not None:
        return asserted_name(options.as_name)
    if is_digest(file):
        raise Usage("a digest has no name, and a policy judges by names", "give --as NAME")
    return local_name(file)


def _check_type(verified: Verified, wanted: str) -> None:
    found = verified.statement.predicate_type if verified.statement is not None else ""
    if found != wanted:
        raise Refused(f"the attestation is of the predicate type {shown(found, 200)}, expected {shown(wanted, 200)}")
