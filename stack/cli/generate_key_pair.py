# SPDX-License-Identifier: Apache-2.0
"""Make a key pair for signing without an identity: PREFIX.key under a password, PREFIX.pub. cosign reads both.

The password comes from COSIGN_PASSWORD or from the terminal; an empty one is allowed, as with cosign.

With --kms NAME://KEY the program sigstore-kms-NAME makes the key where it keeps keys; PREFIX.pub is written alone.
"""

from __future__ import annotations

import argparse

from sigcore.keys import generate_p256
from stack.cli.written import add_pair_options, write_pair

EXAMPLES = """\
examples:
  sigbox generate-key-pair
  sigbox generate-key-pair --output-key-prefix release
  sigbox sign-blob FILE --key release.key
  sigbox verify-blob FILE --key release.pub
  sigbox generate-key-pair --kms sigbox:///home/alice/release.key"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox generate-key-pair``."""
    parser.add_argument("--kms", metavar="NAME://KEY", help="make the key in a KMS, by the program sigstore-kms-NAME")
    add_pair_options(parser, "cosign")


def run(options: argparse.Namespace) -> int:
    """Write the two files, or the public key alone; their names are the result."""
    if options.kms is None:
        return write_pair(generate_p256(), options)
    # Deferred: keys are in files, nearly always.
    from stack.cli.kms_making import make_in_kms  # noqa: PLC0415 - see the line above

    return make_in_kms(options)
