# SPDX-License-Identifier: Apache-2.0
"""Sign files with an identity: a key is made, certified for ten minutes, used once and forgotten.

Each FILE gets a bundle beside it, FILE.sigstore.json, with everything that a verifier needs offline.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from contextlib import ExitStack, closing
from datetime import UTC, datetime

from client.files import digest_files
from client.sign import Signing, hash_of, sign_blob, with_artifact
from sigcore.bundle import Bundle
from stack.cli.artifact import given_path
from stack.cli.signing import Job, add_sign_options, sign_files

EXAMPLES = """\
examples:
  sigbox sign-blob release.tar.gz --identity-token "$(sigbox token --email alice@example.com)"
  sigbox sign-blob a.whl b.whl c.whl --identity-token @token.jwt --trust-config trust_config.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox sign-blob``."""
    parser.add_argument("files", nargs="+", type=given_path, metavar="FILE", help="a file to sign; - is standard input")
    add_sign_options(parser)


def run(options: argparse.Namespace) -> int:
    """Sign each file in turn; the next ones are hashed meanwhile."""
    digests: Generator[bytes, None, None] | None = None
    with ExitStack() as held:

        async def make(signing: Signing, job: Job) -> Bundle:
            nonlocal digests
            if digests is None:
                digests = held.enter_context(closing(digest_files(options.files, hash_of(signing.signer))))
            return await sign_blob(with_artifact(signing, job.file), next(digests), now=datetime.now(UTC))

        return sign_files(options, options.files, make)
