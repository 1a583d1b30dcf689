# SPDX-License-Identifier: Apache-2.0
"""Verify files and their bundles, offline: who signed, when, and that it is in the logs. No socket is opened unless you say --online.

FILE may be sha256:HEX, or a directory: then every file in it that has a bundle. The verifier must say whom it expects: an
identity and the issuer that vouches for it, or a key; or have a policy that says it for every file. With --online the log is asked
too: whether it still shows the entry, or for the entry of a detached signature.
"""

from __future__ import annotations

import argparse

from client.verify import Verified, blob_steps
from client.verify.recorder import Recorder
from client.verify.steps import Steps
from sigcore.bundle import Bundle
from stack.cli.online import add_detached_options, add_online_options, also_shown, whole_bundle
from stack.cli.policy_choice import policy_path
from stack.cli.trusting import load_trusted_root
from stack.cli.verifying import add_verify_options, read_signer, verify_files
from stack.cli.witness_choice import load_witness_policy

EXAMPLES = """\
examples:
  sigbox verify-blob release.tar.gz --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth
  sigbox verify-blob dist/ --certificate-identity-regexp '.*@example\\.com' --certificate-oidc-issuer URL --json
  sigbox verify-blob sha256:8fd1...  --bundle release.sigstore.json --key release.pub
  sigbox verify-blob release.tar.gz --policy policy.json --as release.tar.gz
  sigbox verify-blob release.tar.gz --witness-policy witnesses.txt --certificate-identity I ...
  sigbox verify-blob release.tar.gz --signature release.sig --certificate release.pem --online --certificate-identity I ..."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox verify-blob``."""
    add_verify_options(parser)
    add_detached_options(parser)
    add_online_options(parser)


def run(options: argparse.Namespace) -> int:
    """Verify every file; 0 only if all of them hold."""
    with whole_bundle(options):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    if (path := policy_path(options)) is not None:
        # Deferred: a verification without a policy pays nothing for it.
        from stack.cli.policing import Police  # noqa: PLC0415 - see the line above

        return verify_files(options, also_shown(options, Police.of(path, options).verifier))
    signer, root, witnesses = read_signer(options), load_trusted_root(options), load_witness_policy(options)

    def verify(bundle: Bundle, digest: bytes, found: Recorder) -> Steps[Verified]:
        return blob_steps(bundle, digest, root=root, identity=signer, recorder=found, witnesses=witnesses)

    return verify_files(options, also_shown(options, lambda _file: verify))
