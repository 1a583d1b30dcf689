# SPDX-License-Identifier: Apache-2.0
"""Who judges the attestation of a file or package: the one verifier of :mod:`client.verify`, by a policy or by who may have signed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from client.verify import Verified, attestation_steps
from client.verify.recorder import Recorder
from client.verify.steps import Steps
from sigcore.bundle import Bundle
from stack.cli.policy_choice import policy_path
from stack.cli.trusting import load_trusted_root
from stack.cli.verifying import Verify, read_signer
from stack.cli.witness_choice import load_witness_policy


def _of_any_name(_file: str, verify: Verify) -> Verify:
    return verify


def attestation_verifier(
    options: argparse.Namespace, wanted: str, named: Callable[[str, Verify], Verify] = _of_any_name
) -> Callable[[str], Verify]:
    """For each file the verifier of its attestation.

    Args:
        options: who may have signed, or by which policy; what is trusted.
        wanted: the predicate type that it must have; empty for any.
        named: adds what an ecosystem demands of the statement about a file of this name; nothing where it is left out.
    """
    if (path := policy_path(options)) is not None:
        # Deferred: a verification without a policy pays nothing for it.
        from stack.cli.policing import Police  # noqa: PLC0415 - see the line above

        asked = partial(Police.of(path, options).verifier, attestation=True, predicate_type=wanted)
        return lambda file: named(file, asked(file))
    signer, root, witnesses = read_signer(options), load_trusted_root(options), load_witness_policy(options)

    def verify(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
        return attestation_steps(
            bundle,
            digest,
            root=root,
            identity=signer,
            predicate_type=wanted,
            recorder=found,
            witnesses=witnesses,
        )

    return lambda file: named(file, verify)
