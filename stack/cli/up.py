# SPDX-License-Identifier: Apache-2.0
"""Start a whole private Sigstore: OIDC provider, CA, CT log, Rekor log, timestamp authority, TUF repository.

One process, one port. An empty data directory gets its keys, chains and trust root first. SIGTERM and Ctrl-C drain and
end with 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sigcore.errors import Malformed
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.config import DEFAULT_LISTEN, parse_listen, parse_url

EXAMPLES = """\
examples:
  sigbox up                                        data in ./sigbox-data, URL http://localhost:7780
  sigbox up --data /srv/sigbox --url https://sigstore.corp.example --listen 127.0.0.1:7780
  sigbox up --ephemeral --control --listen 127.0.0.1:0 --ready-file ready.json     for tests"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox up``."""
    add_data_option(parser)
    add_passphrase_option(parser)
    parser.add_argument("--listen", metavar="HOST:PORT", help=f"default {DEFAULT_LISTEN}; port 0 picks a free one")
    parser.add_argument("--url", metavar="URL", help="how clients reach the stack (default: http://localhost:PORT)")
    parser.add_argument(
        "--ephemeral", action="store_true", help="keep nothing: for tests; loopback only, says UNTRUSTED"
    )
    parser.add_argument("--control", action="store_true", help="serve the control API /_ctl/ (only with --ephemeral)")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="TOML file with [[issuers]]: whose tokens the CA accepts as well"
    )
    parser.add_argument(
        "--ready-file", metavar="FILE", type=Path, help="written when every role answers: JSON with paths"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    host, port = parse_listen(options.listen or DEFAULT_LISTEN)
    if options.ephemeral and options.data:
        raise Malformed("--ephemeral keeps nothing, so it takes no --data", "leave one of them out")
    if options.control and not options.ephemeral:
        raise Malformed("--control mints tokens for anybody who asks", "it is given only together with --ephemeral")
    if options.ephemeral and host not in ("127.0.0.1", "::1", "localhost"):
        raise Malformed(f"an ephemeral stack listens on loopback only, not on {host}", "leave --ephemeral out")
    # Deferred: everything that costs time comes after the command line is known to be right.
    from stack.serve import serve  # noqa: PLC0415 - see the line above
    from stack.start import Plan  # noqa: PLC0415 - the same

    plan = Plan(
        home=None if options.ephemeral else unlocked(options),
        host=host,
        port=port,
        url=parse_url(options.url) if options.url else None,
        control=options.control,
        config=options.config.absolute() if options.config else None,
        ready_file=options.ready_file,
    )
    return serve(plan)
