# SPDX-License-Identifier: Apache-2.0
"""Verify attestations about files, offline: who attested, when, to what kind of statement, and that it is in the logs.

The file must be a subject of the statement. What the statement says is printed with --json and is for you to judge.
"""

from __future__ import annotations

import argparse

from stack.cli.attested import attestation_verifier
from stack.cli.demanded_type import demanded_type
from stack.cli.online import add_online_options, also_shown, whole_bundle
from stack.cli.verifying import add_verify_options, verify_files

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
    verifiers = attestation_verifier(options, demanded_type(options.type))
    return verify_files(options, also_shown(options, verifiers))
