# SPDX-License-Identifier: Apache-2.0
"""`sigbox init --role ROLE`: the keys of one role, made on its own machine; and the trust root of keys that were made elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from client.transport import AiohttpTransport
from sigcore.errors import Malformed, Refused
from stack import bootstrap
from stack.cli.init_questions import add_login, keys_of
from stack.config import Home, Settings, load_settings, parse_organization, parse_url, save_settings
from stack.lock import held
from stack.trust.collect import OFFERED, collect, offer_of, pin_of, place_of, read_pins
from stack.trust.documents import save_documents, unrotated
from stack.trust.publisher import finish_publisher, start_publisher
from stack.trust.serving import fingerprint

ROLES = (*OFFERED, "oidc", "trust")


def run_role(options: argparse.Namespace, home: Home, services: Mapping[str, str]) -> int:
    """Make the keys of one role, or say that they are there; print its pin, or for ``trust`` the fingerprint of the root.

    Raises:
        Malformed, Refused: what is given cannot be meant, or is not what is there. Unavailable: a role does not answer.
    """
    role, pins = options.role, read_pins(options.pin) if options.role == "trust" else {}
    if options.pin and not pins:
        raise Malformed("--pin is for --role trust", "the trust role collects the keys of the others")
    if options.tls is not None:
        raise Malformed("--tls of one role is chosen when it is served", "sigbox serve ROLE --tls CERT,KEY")
    if options.login is not None and role != "oidc":
        raise Malformed("--login is for the provider", "give it with --role oidc")
    if not options.url:
        raise Malformed("--role needs --url", "every role must be told the same URLs: --url, and --service for each")
    bootstrap.refuse_foreign(home)  # before anything is written there
    with held(home.path):
        settings = _settings(options, home, services)
        made = bootstrap.prepare_role(home, settings, role)
        public = asyncio.run(_collect(settings, pins)) if role == "trust" and not home.tuf_root.exists() else None
        save_settings(home, settings)
        if options.login:
            add_login(home, options.login)
        if public is not None:
            with unrotated(home, settings):
                save_documents(home, public, settings)
            finish_publisher(start_publisher(home))
    data = shlex.quote(str(home.path))
    print(f"{home.path} {'has' if made else 'had already'} the keys of {role}")
    for line in _trust_lines(home) if role == "trust" else _pin_lines(home, role):
        print(line)
    print(f"sigbox serve {role} --data {data}")
    return 0


async def _collect(settings: Settings, pins: Mapping[str, str]) -> bootstrap.PublicMaterial:
    async with AiohttpTransport() as transport:
        return await collect(settings, pins, transport)


def _settings(options: argparse.Namespace, home: Home, services: Mapping[str, str]) -> Settings:
    wanted = Settings(
        parse_url(options.url),
        datetime.now(UTC).replace(microsecond=0),
        ephemeral=False,
        url_follows_listen=False,
        name=parse_organization(options.organization) if options.organization else "",
        services=services,
        keys=keys_of(options),
    )
    if not home.settings_file.exists():
        return wanted
    there = load_settings(home)
    if _told(there) != _told(wanted):
        raise Refused(f"{home.path} was made with other URLs, keys or another organization", "give another --data")
    return there


def _told(settings: Settings) -> tuple[object, ...]:
    return settings.url, settings.name, dict(settings.services), dict(settings.keys)


def _pin_lines(home: Home, role: str) -> tuple[str, ...]:
    if role not in OFFERED:
        return ("",)
    return (
        f"pin              --pin {role}={pin_of(offer_of(home, role))}",
        "",
        f"# serve it; until public/ is there it answers {place_of(role)} alone, for the trust role to collect",
    )


def _trust_lines(home: Home) -> tuple[str, ...]:
    return (
        "root fingerprint",
        f"  sha256:{fingerprint(home)}",
        "",
        f"# copy {home.public} into the data directory of each role, over a way that you trust; then serve it",
    )
