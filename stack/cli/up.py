# SPDX-License-Identifier: Apache-2.0
"""Start a whole private Sigstore: OIDC provider, CA, CT log, Rekor log, timestamp authority, TUF repository.

One process, one port. An empty data directory gets its keys, chains and trust root first. SIGTERM and Ctrl-C drain and
end with 0.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from urllib.parse import urlsplit

from sigcore.errors import Malformed
from sigcore.strict import parse_time
from stack.cli.placing import add_data_option, add_passphrase_option, add_serving_options, check_counts, unlocked
from stack.config import DEFAULT_LISTEN, is_loopback, parse_database, parse_listen, parse_url
from stack.config_file import fill
from stack.seed import SEED_BITS
from stack.start import Plan

EXAMPLES = """\
examples:
  sigbox up                                        data in ./sigbox-data, URL http://localhost:7780
  sigbox up --data /srv/sigbox --url https://sigstore.corp.example --listen 127.0.0.1:7780
  sigbox up --tls auto --url https://sigstore.corp.example:7780 --listen 0.0.0.0:7780
  sigbox up --ephemeral --control --listen 127.0.0.1:0 --ready-file ready.json     for tests"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox up``."""
    add = parser.add_argument
    add_data_option(parser)
    add_passphrase_option(parser)
    add("--listen", metavar="HOST:PORT", help=f"default {DEFAULT_LISTEN}; port 0 picks a free one")
    add(
        "--url",
        metavar="URL",
        help="how clients reach the stack (default: localhost, or the one other address of --listen)",
    )
    add(
        "--tls",
        metavar="auto|CERT,KEY",
        help="serve HTTPS, with a certificate authority of its own or with these files",
    )
    text = "only a reverse proxy connects: believe its X-Forwarded-For"
    add("--behind-proxy", action="store_const", const=True, help=text)
    add("--workers", metavar="N", type=int, help="N processes that answer on the port, and one that commits")
    add("--ephemeral", action="store_const", const=True, help="keep nothing: for tests; loopback only, says UNTRUSTED")
    add("--control", action="store_const", const=True, help="serve the control API /_ctl/ (only with --ephemeral)")
    add(
        "--expose",
        action="store_const",
        const=True,
        help="let other machines reach it (only with --ephemeral; with --control whoever does so can sign as anybody)",
    )
    add("--seed", metavar="N", type=int, help="the same keys at every start (only with --ephemeral)")
    add("--clock", metavar="TIME", help="begin at that time, 2031-05-01T00:00:00Z (only with --ephemeral)")
    add("--clock-stopped", action="store_const", const=True, help="it is always that time, until a test says otherwise")
    add_serving_options(parser)
    add("--ready-file", metavar="FILE", type=Path, help="written when every role answers: JSON with paths")
    add("--log-format", choices=("json", "text"), help="of standard error (default: text on a terminal, else json)")
    add(
        "--config",
        metavar="FILE",
        type=Path,
        help="TOML with these flags as keys, and [[issuers]]; or Fulcio's own YAML",
    )
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    environment = dict(os.environ)
    if options.ephemeral:
        for variable in (
            "SIGBOX_DATA",
            "SIGBOX_DATABASE",
        ):  # of the durable stack of this shell, which is not meant now
            environment.pop(variable, None)
    fill(
        options.parser,
        options,
        environment,
        tables=("issuers", "login", "upstreams", "brokered", "watch", "alerts", "console"),
    )
    plan = _plan(options)
    # Deferred: everything that costs time comes after the command line is known to be right.
    from stack.serve import serve  # noqa: PLC0415 - see the line above

    return serve(plan)


def _plan(options: argparse.Namespace) -> Plan:
    """The options as a plan.

    Raises:
        Malformed: they contradict each other.
    """
    host, port = parse_listen(options.listen or DEFAULT_LISTEN)
    url = parse_url(options.url) if options.url else None
    if options.ephemeral:
        _guard_ephemeral(options, host, url)
    elif options.expose:
        raise Malformed("--expose is for a stack that keeps nothing", "give --ephemeral with it, or leave it out")
    elif options.control:
        raise Malformed("--control mints tokens for anybody who asks", "it is given only together with --ephemeral")
    elif options.seed is not None:
        raise Malformed("--seed makes keys that anybody can make", "it is given only together with --ephemeral")
    elif options.clock or options.clock_stopped:
        raise Malformed(
            "--clock signs with a time that is not the present one", "it is given only together with --ephemeral"
        )
    check_counts(options)
    if options.tls and url and not url.startswith("https:"):
        raise Malformed(f"--tls serves HTTPS, but --url is {url}", "give an https URL")
    return Plan(
        home=None if options.ephemeral else unlocked(options),
        host=host,
        port=port,
        url=url,
        control=bool(options.control),
        config=options.config.absolute() if options.config else None,
        ready_file=options.ready_file,
        tls=options.tls,
        seed=options.seed,
        clock_stopped=bool(options.clock_stopped),
        clock=parse_time(options.clock, what="--clock") if options.clock else None,
        log_format=options.log_format,
        behind_proxy=bool(options.behind_proxy),
        workers=options.workers,
        accept_clock=bool(options.accept_clock),
        quota=options.quota,
        database=parse_database(options.database) if options.database else None,
    )


def _guard_ephemeral(options: argparse.Namespace, host: str, url: str | None) -> None:
    if options.database:
        raise Malformed("--ephemeral keeps nothing, so it takes no --database", "leave one of them out")
    if options.data:
        raise Malformed("--ephemeral keeps nothing, so it takes no --data", "leave one of them out")
    hint = "leave --ephemeral out; --expose for a test network or a classroom, where everybody may do everything"
    if not options.expose and not is_loopback(host):
        raise Malformed(f"an ephemeral stack listens on loopback only, not on {host}", hint)
    if not options.expose and url and not is_loopback(urlsplit(url).hostname or ""):
        raise Malformed(f"an ephemeral stack is for this machine only, not for {url}", hint)
    if options.clock_stopped and not options.clock:
        raise Malformed("--clock-stopped does not say at what time", "give --clock TIME with it")
    if options.clock and options.workers is not None:
        raise Malformed("--clock is for one process, and --workers starts several", "leave one of them out")
    if options.seed is not None and not 0 <= options.seed < 1 << SEED_BITS:
        raise Malformed(f"--seed is {options.seed}, expected 0 to 2**{SEED_BITS}-1")
