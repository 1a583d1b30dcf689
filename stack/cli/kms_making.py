# SPDX-License-Identifier: Apache-2.0
"""``sigbox generate-key-pair --kms``: the key is made where the program keeps keys; what is written here is its public half."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sigcore.errors import Refused
from sigcore.keys import encode_public_key_pem
from stack.cli.usage import Usage
from stack.files import save_file
from stack.kms.key import make_kms_key


def make_in_kms(options: argparse.Namespace) -> int:
    """Make it, write PREFIX.pub. Exit code 0.

    Raises:
        Usage: the file is there already, and then nothing is made; the program refuses. Others as
            :func:`stack.kms.key.make_kms_key`.
    """
    path = Path(f"{options.output_key_prefix}.pub")
    if path.exists() and not options.yes:
        raise Usage(f"{path} is already there", "give --yes to replace it, or --output-key-prefix for another name")
    try:
        public = make_kms_key(options.kms)
    except Refused as error:
        raise Usage(error.message, error.hint) from error
    save_file(path, encode_public_key_pem(public).encode("ascii"))
    sys.stderr.write(f"made {ascii(options.kms)[1:-1]}\nwrote {path}\n")
    if options.json:
        print(json.dumps({"privateKey": options.kms, "publicKey": str(path)}, indent=2))
    return 0
