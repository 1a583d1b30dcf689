# SPDX-License-Identifier: Apache-2.0
"""Speak the protocol of sigstore-conformance: one process for each call, the exit code is the answer.

Each call is translated into a command for people. The suite has one call for a file's signature and for an attestation about
it; which of the two a bundle holds decides.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from client.files import load_bundle
from sigcore.bundle import MessageSignature
from stack.cli import main

EXAMPLES = """\
examples:
  sigbox conformance sign-bundle --identity-token JWT --bundle OUT --trusted-root F --signing-config F FILE
  sigbox conformance verify-bundle --bundle F --certificate-identity I --certificate-oidc-issuer U FILE|sha256:HEX"""

_SIGN = ("bundle", "identity_token", "trusted_root", "signing_config")
_VERIFY = ("bundle", "certificate_identity", "certificate_oidc_issuer", "key", "trusted_root")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The protocol's options."""
    parser.add_argument(
        "call", choices=("sign-bundle", "verify-bundle"), metavar="CALL", help="sign-bundle or verify-bundle"
    )
    parser.add_argument("file", metavar="FILE", help="a file, sha256:HEX when verifying, a statement with --in-toto")
    parser.add_argument("--bundle", required=True, metavar="F", help="the bundle: written, or verified")
    parser.add_argument("--staging", action="store_true", help="the public staging instance: give its root")
    parser.add_argument("--in-toto", action="store_true", help="FILE is a statement to sign")
    for name in dict.fromkeys((*_SIGN, *_VERIFY)):
        if name != "bundle":
            parser.add_argument(f"--{name.replace('_', '-')}", metavar="X", help="as that of sign-blob and verify-blob")


def run(options: argparse.Namespace) -> int:
    """0 when signed or verified; another code otherwise."""
    if options.call == "sign-bundle":
        what = ["attest-blob", "--statement", options.file] if options.in_toto else ["sign-blob", options.file]
        return main([*what, *_given(options, _SIGN)])
    is_file = isinstance(load_bundle(Path(options.bundle)).content, MessageSignature)
    command = "verify-blob" if is_file else "verify-blob-attestation"
    return main([command, options.file, *_given(options, _VERIFY)])


def _given(options: argparse.Namespace, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if getattr(options, name) is not None:
            yield f"--{name.replace('_', '-')}"
            yield getattr(options, name)
