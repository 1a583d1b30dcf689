# SPDX-License-Identifier: Apache-2.0
"""Make a stack without starting it: keys, chains, trust root and settings, in an empty data directory.

On a terminal it asks what is not given; with any of --url, --organization, --passphrase-file, or --yes, it asks nothing. It
prints the fingerprint of the root and the lines that come next. Where there is a stack already, it says so and changes nothing.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sigcore.errors import Refused, SigError
from stack.cli.placing import add_data_option, add_passphrase_option
from stack.config import Home, Settings, home_at, load_settings, parse_organization, parse_services, parse_url
from stack.passphrase import find_passphrase

DEFAULT_URL = "http://localhost:7780"

EXAMPLES = """\
examples:
  sigbox init                                     data in ./sigbox-data, URL http://localhost:7780
  sigbox init --data /srv/sigbox --url https://sigstore.corp.example --organization 'ACME Build'
  sigbox init --data /srv/sigbox --yes --passphrase-file /etc/sigbox/passphrase"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox init``."""
    add_data_option(parser)
    parser.add_argument("--url", metavar="URL", help=f"how clients will reach it (default: {DEFAULT_URL})")
    parser.add_argument("--organization", metavar="NAME", help="what certificates name (default: sigbox HOST)")
    parser.add_argument(
        "--service",
        metavar="ROLE=URL",
        action="append",
        default=[],
        help="where clients reach this role, when not at --url; may be repeated",
    )
    add_passphrase_option(parser)
    parser.add_argument("--yes", action="store_true", help="ask nothing, take the defaults")


def run(options: argparse.Namespace) -> int:
    """Make the stack, or say that it is there."""
    home = home_at(options.data)
    if home.settings_file.exists():
        _refuse_other(home, options)
        if home.tuf_root.exists():
            print(f"{home.path} holds a stack already; nothing was changed.")
            print("\n".join(next_lines(home, load_settings(home), options.passphrase_file)))
            return 0
    elif _may_ask(options):
        _ask(home, options)
    url = parse_url(options.url) if options.url else None
    organization = parse_organization(options.organization) if options.organization else ""
    home = replace(home, passphrase=find_passphrase(options.passphrase_file, os.environ))
    settings = _make(home, url, organization, _services(options))
    print("\n".join(next_lines(home, settings, options.passphrase_file)))
    return 0


def _services(options: argparse.Namespace) -> dict[str, str]:
    pairs = (text.partition("=") for text in options.service)
    return parse_services({role: url for role, _, url in pairs})


def _make(home: Home, url: str | None, organization: str, services: Mapping[str, str]) -> Settings:
    # Deferred: keys and certificates are not needed to say that a stack is there.
    from stack import bootstrap  # noqa: PLC0415 - see the line above
    from stack.lock import held  # noqa: PLC0415 - the same
    from stack.trust.documents import save_documents  # noqa: PLC0415 - the same
    from stack.trust.publisher import finish_publisher, start_publisher  # noqa: PLC0415 - the same

    with held(home.path):
        now = datetime.now(UTC)
        settings = bootstrap.prepare(
            home,
            url=url,
            default_url=DEFAULT_URL,
            ephemeral=False,
            now=now,
            organization=organization,
            services=services,
        )
        bootstrap.oidc_key(home, settings)
        save_documents(home, bootstrap.load_material(home).public, settings)
        finish_publisher(start_publisher(home))
    return settings


def _refuse_other(home: Home, options: argparse.Namespace) -> None:
    """A second ``init`` is no error, unless it asks for something else than what is there."""
    settings = load_settings(home)
    if options.url and parse_url(options.url) != settings.url:
        raise Refused(f"{home.path} holds a stack with the URL {settings.url}", "sigbox up --url changes it")
    if options.service and (services := _services(options)) != settings.services:
        hint = "edit the table [services] of sigbox.toml, and start all roles anew"
        raise Refused(f"{home.path} holds a stack with the services {dict(settings.services)}, not {services}", hint)
    if options.organization and options.organization != settings.organization:
        hint = "the name stands in its certificates; another one needs another --data"
        raise Refused(f"{home.path} holds a stack of {settings.organization!a}", hint)


def next_lines(home: Home, settings: Settings, passphrase_file: Path | None) -> tuple[str, ...]:
    """The fingerprint, and what to type next."""
    # Deferred: it imports aiohttp, which the questions must not wait for.
    from stack.trust.serving import fingerprint  # noqa: PLC0415 - see the line above

    data = shlex.quote(str(home.path))
    opening = f" --passphrase-file {shlex.quote(str(passphrase_file.absolute()))}" if passphrase_file else ""
    return (
        "root fingerprint",
        f"  sha256:{fingerprint(home)}",
        f"organization     {settings.organization}",
        f"keys             {'encrypted with the passphrase' if _encrypted(home) else 'readable by you alone (0600)'}",
        "",
        "# start it; it answers at " + settings.url,
        f"sigbox up --data {data}{opening}",
        "# the lines for each client: cosign, sigstore-python, sigstore-js, gitsign, ...",
        f"sigbox env cosign --data {data}",
        "# what clients find in the trust root, and how long it is good for",
        f"sigbox trust show --data {data}",
    )


def _encrypted(home: Home) -> bool:
    # Deferred: see above.
    from stack.bootstrap import ENCRYPTED  # noqa: PLC0415 - see the line above

    return (home.path / "ca" / "intermediate.key").read_bytes().startswith(ENCRYPTED)


# --- questions -----------------------------------------------------------------------------------------
def _may_ask(options: argparse.Namespace) -> bool:
    given = options.yes or options.service or options.url or options.organization or options.passphrase_file
    return not given and sys.stdin.isatty() and sys.stderr.isatty()


def _ask(home: Home, options: argparse.Namespace) -> None:
    """Three questions; an empty answer takes what stands in brackets."""
    sys.stderr.write(f"A new stack in {home.path}\nThree questions; Enter takes what stands in brackets.\n\n")
    options.url = _answer("How will clients reach it? The URL is part of what they will trust.", DEFAULT_URL, parse_url)
    if options.url == DEFAULT_URL:
        options.url = None
    host = (options.url or DEFAULT_URL).split("//")[1].partition(":")[0]
    answer = _answer("Which organization shall stand in its certificates?", f"sigbox {host}", parse_organization)
    options.organization = "" if answer == f"sigbox {host}" else answer
    path = _answer(
        "Encrypt its keys? Name a file with a passphrase; every start will need it.",
        "none",
        _passphrase_file,
    )
    options.passphrase_file = None if path == "none" else Path(path)


def _answer(question: str, default: str, check: Callable[[str], str]) -> str:
    while True:
        sys.stderr.write(f"{question}\n  [{default}] ")
        sys.stderr.flush()
        text = sys.stdin.readline()
        if not text:
            raise Refused("the questions were not answered", "give --yes to take the defaults")
        try:
            answer = check(text.strip() or default)
        except SigError as error:
            sys.stderr.write(f"  {error.message}\n")
            continue
        sys.stderr.write("\n")
        return answer


def _passphrase_file(text: str) -> str:
    if text != "none":
        find_passphrase(Path(text), {})
    return text
