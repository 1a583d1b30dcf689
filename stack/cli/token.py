# SPDX-License-Identifier: Apache-2.0
"""Mint an identity token (a JWT) of your stack on standard output.

It needs the data directory, because that holds the provider's key; or --url of a stack started with --control.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from oidc_dev.provider import Provider
from oidc_dev.signing import KeyRing, SigningKey
from sigcore.errors import Malformed, Refused
from stack.cli.persona import find_persona, over, parse_claim
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.config import Home, load_settings
from stack.personas import AUDIENCE, Persona

EXAMPLES = """\
examples:
  sigbox token --email alice@example.com
  sigbox sign-blob release.tar.gz --identity-token "$(sigbox token --email alice@example.com)"
  sigbox token --subject https://ci.example.com/job/7 --claim pipeline=release
  sigbox token --persona release-job.json --claim run=17    {"subject": "https://ci.example.com/job/7", "claims": {...}}
  sigbox token --persona github-workflow --url http://localhost:7780    as GitHub's, at a stack for tests"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox token``."""
    where = parser.add_mutually_exclusive_group()
    add_data_option(where)
    where.add_argument("--url", metavar="URL", help="URL of a stack that was started with --control")
    add_passphrase_option(parser)
    about = "TOML or JSON with kind, email, subject, audience, claims; or the name of a shipped one"
    parser.add_argument("--persona", metavar="FILE", help=about)
    parser.add_argument("--email", metavar="E", help="email identity, said to be verified")
    parser.add_argument("--subject", metavar="S", help="the sub claim (default: the email)")
    parser.add_argument("--audience", metavar="A", help=f"the aud claim (default: {AUDIENCE})")
    parser.add_argument("--claim", metavar="K=V", action="append", default=[], help="one more claim; V is JSON or text")


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    persona = over(
        find_persona(options.persona) if options.persona else Persona(),
        email=options.email,
        subject=options.subject,
        audience=options.audience,
        claims=dict(parse_claim(text) for text in options.claim),
    )
    if not persona.email and not persona.subject:
        raise Malformed("the token has no identity", "give --email or --subject, or a --persona that has one")
    print(_ask(options.url, persona) if options.url else _mint(unlocked(options), persona))
    return 0


def _mint(home: Home, persona: Persona) -> str:
    # Deferred: the key material of a stack is not needed when a stack is asked.
    from stack.bootstrap import load_oidc_key  # noqa: PLC0415 - see the line above

    settings = load_settings(home)
    if persona.kind and not settings.ephemeral:
        raise Refused(
            f"a persona of the kind {persona.kind} speaks as somebody else's issuer, which this stack never does",
            "it is for tests: sigbox up --ephemeral --control; a machine of yours gets tokens by sigbox token --subject",
        )
    ring = KeyRing(SigningKey.of(load_oidc_key(home)))
    return persona.token(Provider(settings.issuer, ring, lambda: datetime.now(UTC)))


def _ask(url: str, persona: Persona) -> str:
    # Deferred: HTTP is needed on this branch only.
    from stack.cli.asking import ask_control  # noqa: PLC0415 - see the line above

    return ask_control(url, "token", json.dumps(persona.document()).encode())
