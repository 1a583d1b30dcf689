# SPDX-License-Identifier: Apache-2.0
"""Print the public half of a private key, in PEM; for NAME://KEY, what the program sigstore-kms-NAME says that it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from sigcore.keys import encode_public_key_pem
from stack.cli.passphrase import open_private_key
from stack.cli.places import check_free, files_read
from stack.files import save_file

EXAMPLES = """\
examples:
  sigbox public-key --key cosign.key --outfile cosign.pub
  sigbox public-key --key awskms:///alias/release"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox public-key``."""
    about = "the private key: a file (cosign's format, PEM), env://VARIABLE, or NAME://KEY in a KMS"
    parser.add_argument("--key", metavar="KEY", required=True, help=about)
    parser.add_argument("--outfile", metavar="FILE", type=Path, help="write it there instead of standard output")


def run(options: argparse.Namespace) -> int:
    """Print or write it."""
    pem = encode_public_key_pem(open_private_key(options.key).public_key())
    if options.outfile:
        check_free(files_read(options, ["key"]), "the public key", options.outfile)
        save_file(options.outfile, pem.encode("ascii"))
    else:
        print(pem, end="")
    return 0
