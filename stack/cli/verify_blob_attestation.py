# SPDX-License-Identifier: Apache-2.0
"""Verify attestations about files, offline: who attested, when, to what kind of statement, and that it is in the logs.

The file must be a subject of the statement. What the statement says is printed with --json and is for you to judge.
"""

from __future__ import annotations

import argparse
from functools import partial

from client.verify import Verified, attestation_steps
from client.verify.recorder import Recorder
from client.verify.steps import Steps
from sigcore.bundle import Bundle
from stack.cli.demanded_type import demanded_type
from stack.cli.online import add_online_options, also_shown, whole_bundle
from stack.cli.policy_choice import policy_path
from stack.cli.trusting import load_trusted_root
from stack.cli.verifying import add_verify_options, read_signer, verify_files
from stack.cli.witness_choice import load_witness_policy

EXAMPLES = """\
examples:
  sigbox verify-blob-attestation release.tar.gz --type slsaprovenance1 --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox verify-blob-attestation``."""
    add_verify_options(parser)
    parser.add_argument(
        "--type", metavar="T", help="the predicate type that is demanded: a URI, or cosign's short name"
    )
    add_online_options(parser)


def run(options: argparse.Namespace) -> int:
    """Verify every file; 0 only if all of them hold."""
    with whole_bundle(options):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    wanted = demanded_type(options.type)
    if (path := policy_path(options)) is not None:
        # Deferred: a verification without a policy pays nothing for it.
        from stack.cli.policing import Police  # noqa: PLC0415 - see the line above

        police = Police.of(path, options)
        asked = partial(police.verifier, attestation=True, predicate_type=wanted)
        return verify_files(options, also_shown(options, asked))
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

    return verify_files(options, also_shown(options, lambda _file: verify))
