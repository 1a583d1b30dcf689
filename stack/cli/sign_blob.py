# SPDX-License-Identifier: Apache-2.0
"""Sign files with an identity: a key is made, certified for ten minutes, used once and forgotten.

Each FILE gets a bundle beside it, FILE.sigstore.json, with everything that a verifier needs offline.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from client.files import digest_file, save_bundle
from client.identity import IdentityToken, load_identity_token
from client.sign import sign_blob
from client.transport import AiohttpTransport
from client.trust import Trust
from sigcore.bundle import Bundle
from sigcore.errors import Malformed
from sigcore.strict import encode_base64
from sigcore.x509 import encode_certificate_pem
from stack.cli.trusting import add_trust_options, load_trust_options
from stack.files import save_file

EXAMPLES = """\
examples:
  sigbox sign-blob release.tar.gz --identity-token "$(sigbox token --email alice@example.com)"
  sigbox sign-blob a.whl b.whl c.whl --identity-token @token.jwt --trust-config trust_config.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox sign-blob``."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument(
        "--bundle", type=Path, metavar="OUT", help="where the bundle goes (default: FILE.sigstore.json)"
    )
    parser.add_argument("--identity-token", metavar="T", help="the token, or @FILE (default: $SIGSTORE_ID_TOKEN)")
    parser.add_argument("--output-signature", type=Path, metavar="OUT", help="also write the signature, in base64")
    parser.add_argument("--output-certificate", type=Path, metavar="OUT", help="also write the certificate, in PEM")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Sign each file in turn; the first failure ends the run, what was signed before it stays."""
    single = (options.bundle, options.output_signature, options.output_certificate)
    if len(options.files) > 1 and any(single):
        raise Malformed("one output file is named for several files", "leave --bundle and --output-* out")
    trust = load_trust_options(options)
    token = load_identity_token(options.identity_token, os.environ)
    rows = asyncio.run(_sign_all(options, trust, token))
    if options.json:
        print(json.dumps(rows, indent=2))
    return 0


async def _sign_all(options: argparse.Namespace, trust: Trust, token: IdentityToken) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    async with AiohttpTransport() as transport:
        for number, file in enumerate(options.files, 1):
            digest = digest_file(file)
            bundle = await sign_blob(digest, token=token, trust=trust, transport=transport, now=datetime.now(UTC))
            target = options.bundle or file.with_name(f"{file.name}.sigstore.json")
            save_bundle(bundle, target)
            _save_parts(options, bundle)
            index = bundle.log_entries[0].index
            rows.append({"file": str(file), "bundle": str(target), "sha256": digest.hex(), "logIndex": index})
            progress = f"[{number}/{len(options.files)}] " if len(options.files) > 1 else ""
            sys.stderr.write(f"{progress}signed {file} -> {target} (log index {index})\n")
    return rows


def _save_parts(options: argparse.Namespace, bundle: Bundle) -> None:
    if options.output_signature:
        save_file(options.output_signature, encode_base64(bundle.content.signature).encode() + b"\n")
    if options.output_certificate and bundle.certificate:
        save_file(options.output_certificate, encode_certificate_pem(bundle.certificate).encode())
