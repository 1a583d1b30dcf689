# SPDX-License-Identifier: Apache-2.0
"""Verify files and their bundles, offline: who signed, when, and that it is in the logs. No socket is opened.

FILE may be sha256:HEX, or a directory: then every file in it that has a bundle. The verifier must say whom it expects: an
identity and the issuer that vouches for it, or a key; or have a policy that says it for every file.
"""

from __future__ import annotations

import argparse

from client.verify import Verified, verify_blob
from client.verify.recorder import Recorder
from sigcore.bundle import Bundle
from stack.cli.policy_choice import policy_path
from stack.cli.trusting import load_trusted_root
from stack.cli.verifying import add_verify_options, read_signer, verify_files

EXAMPLES = """\
examples:
  sigbox verify-blob release.tar.gz --certificate-identity alice@example.com \\
      --certificate-oidc-issuer http://localhost:7780/auth
  sigbox verify-blob dist/ --certificate-identity-regexp '.*@example\\.com' --certificate-oidc-issuer URL --json
  sigbox verify-blob sha256:8fd1...  --bundle release.sigstore.json --key release.pub
  sigbox verify-blob release.tar.gz --policy policy.json --as release.tar.gz"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox verify-blob``."""
    add_verify_options(parser)


def run(options: argparse.Namespace) -> int:
    """Verify every file; 0 only if all of them hold."""
    if (path := policy_path(options)) is not None:
        # Deferred: a verification without a policy pays nothing for it.
        from stack.cli.policing import Police  # noqa: PLC0415 - see the line above

        return verify_files(options, Police.of(path, options).verifier)
    signer, root = read_signer(options), load_trusted_root(options)

    def verify(bundle: Bundle, digest: bytes, found: Recorder) -> Verified:
        return verify_blob(bundle, digest, root=root, identity=signer, recorder=found)

    return verify_files(options, lambda _file: verify)
