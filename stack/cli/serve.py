# SPDX-License-Identifier: Apache-2.0
"""Serve one role of a stack: as a process of its own, with that role's keys and no others.

A role needs its own folder of the data directory, public/ and sigbox.toml, all made by `sigbox init`. Two processes cannot serve
one role, and `sigbox up` serves all of them or none. SIGTERM and Ctrl-C drain and end with 0.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from sigcore.errors import Malformed
from stack.cli.placing import add_data_option, add_passphrase_option, add_serving_options, check_counts, unlocked
from stack.config import DEFAULT_LISTEN, ROLES, SHARED, parse_database, parse_listen, parse_service_url
from stack.config_file import fill

EXAMPLES = """\
examples:
  sigbox init --data /srv/sigbox --url https://sigstore.corp.example     once, for all roles
  sigbox serve ct --data /srv/sigbox --listen 127.0.0.1:7783
  sigbox serve ca --data /srv/sigbox --listen 127.0.0.1:7782 --ct-log-url http://127.0.0.1:7783
  sigbox serve log --data /srv/sigbox --listen 127.0.0.1:7784 --workers 4          where one core is not enough"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox serve``."""
    add = parser.add_argument
    add(
        "role",
        choices=ROLES,
        help="log: Rekor v1 and v2; trust: the TUF repository and the front page; console: search and pages over the logs",
    )
    add_data_option(parser)
    add_passphrase_option(parser)
    add("--listen", metavar="HOST:PORT", help=f"default {DEFAULT_LISTEN}; port 0 picks a free one")
    add("--tls", metavar="auto|CERT,KEY", help="serve HTTPS: with what init --tls auto has issued, or with these files")
    add(
        "--ct-log-url", metavar="URL", help="ca, console: where the certificate log is (default: where clients find it)"
    )
    add("--log-url", metavar="URL", help="console: where the signature logs are (default: where clients find them)")
    add(
        "--oidc-jwks",
        metavar="FILE|URL",
        help="ca: the keys of the stack's provider (default: public/oidc/jwks.json, which that one writes)",
    )
    add_serving_options(parser)
    add(
        "--workers",
        metavar="N",
        type=int,
        help="ca, ct, log, tsa: N processes that answer on the port, and one that commits",
    )
    add("--ready-file", metavar="FILE", type=Path, help="written when the role answers: JSON")
    add("--log-format", choices=("json", "text"), help="of standard error (default: text on a terminal, else json)")
    add("--config", metavar="FILE", type=Path, help="TOML with these flags as keys, and the tables of sigbox up")
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    role = options.role
    fill(
        options.parser,
        options,
        dict(os.environ),
        tables=("issuers", "login", "upstreams", "brokered", "watch", "alerts", "console"),
    )
    host, port = parse_listen(options.listen or DEFAULT_LISTEN)
    ct_url, log_url = (parse_service_url(url) if url else None for url in (options.ct_log_url, options.log_url))
    check_counts(options)
    if options.workers is not None and role not in SHARED:
        raise Malformed(f"--workers: {role} is one process", f"several can serve {', '.join(SHARED)}")
    home = unlocked(options)
    # Deferred: everything that costs time comes after the command line is known to be right.
    from stack.quick_import import import_server  # noqa: PLC0415 - see the line above

    import_server()
    # Deferred: aiohttp is imported the quick way first.
    from stack.role import RolePlan  # noqa: PLC0415 - see the line above
    from stack.serve_role import serve_role  # noqa: PLC0415 - the same

    return serve_role(
        RolePlan(
            role=role,
            home=home,
            host=host,
            port=port,
            config=options.config.absolute() if options.config else None,
            ready_file=options.ready_file,
            tls=options.tls,
            log_format=options.log_format,
            ct_log_url=ct_url,
            log_url=log_url,
            oidc_jwks=options.oidc_jwks,
            database=parse_database(options.database) if options.database else None,
            workers=options.workers,
            accept_clock=bool(options.accept_clock),
            quota=options.quota,
        )
    )
