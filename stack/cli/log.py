# SPDX-License-Identifier: Apache-2.0
"""Read a transparency log, Rekor v1 or v2, and believe nothing of it that it has not proved.

Each action fetches the log's checkpoint, verifies its signature with the trusted root, and holds it against the one that was seen last:
the log must have grown from it. A log that went back or shows another history is refused with 1, and both checkpoints are printed.
Entries are led to the signed root by proofs that are verified here.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

from client.transport import ServiceRefused
from stack.cli import log_entries, log_heads, log_searching, log_uploading, log_watching
from stack.cli.usage import NotServed

EXAMPLES = """\
examples:
  sigbox log info --trusted-root sigbox-data/public/trusted_root.json
  sigbox log info --rekor-version 1 --json
  sigbox log entry 7
  sigbox log entry 24296fb24b8ad77a... --rekor-version 1 --rekor-url https://rekor.sigstore.dev
  sigbox log proof 7 --explain                 each step with the openssl line that repeats it
  sigbox log consistency 5 40
  sigbox log search --email alice@example.com --rekor-version 1
  sigbox log search --artifact release.tar.gz
  sigbox log search --subject https://ci.example.com/release --public-key ci.pub --operator or
  sigbox log upload --artifact release.tar.gz --signature release.sig --public-key release.pub --rekor-version 1
  sigbox log watch --once --identity '*@example.com' --certificate-oidc-issuer https://accounts.example.com
  sigbox log watch --interval 300 --extension 'source_repository_uri=https://github.com/acme/**' --webhook @hook --json
  sigbox log watch --ct --once --identity '*@example.com'        the certificate log: what was issued for these names
  sigbox log info --witness-policy witnesses.txt                  no head that too few have cosigned
  sigbox log export /srv/www/log               C2SP tiles for any static file server; again to bring it up to date
  sigbox log export /srv/www/log --data /srv/sigbox
  sigbox log info --rekor-url https://mirror.example.com/log

exit codes:
  0 it holds   1 a proof, a signature or the history does not hold   2 usage
  3 the log refused   4 unreachable"""
_ACTIONS: Final = (
    *log_heads.ACTIONS,
    *log_entries.ACTIONS,
    *log_searching.ACTIONS,
    *log_uploading.ACTIONS,
    *log_watching.ACTIONS,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of ``sigbox log`` and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action in _ACTIONS:
        own = actions.add_parser(action.name, help=action.about, allow_abbrev=False)
        action.add_arguments(own)
        own.set_defaults(act=action.run)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for. What a log answers with no is no refusal of ours."""
    try:
        code: int = asyncio.run(options.act(options))
    except ServiceRefused as error:
        raise NotServed(error.message, error.hint) from error
    return code
