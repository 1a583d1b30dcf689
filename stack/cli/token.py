# SPDX-License-Identifier: Apache-2.0
"""Mint an identity token (a JWT) of your stack on standard output.

It needs the data directory, because that holds the provider's key; or --url of a stack started with --control.
"""

from __future__ import annotations

import argparse
import json
from functools import partial

from oidc_dev.mailbox import parse_email
from oidc_dev.provider import Provider
from oidc_dev.signing import KeyRing, SigningKey
from oidc_dev.wrong_tokens import WRONG
from sigcore.errors import Malformed, Refused
from stack.cli.persona import find_persona, over, parse_claim
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.config import Home, load_settings
from stack.minting import TIMES, Order
from stack.personas import AUDIENCE, Persona

EXAMPLES = """\
examples:
  sigbox token --email alice@example.com
  sigbox sign-blob release.tar.gz --identity-token "$(sigbox token --email alice@example.com)"
  sigbox token --subject https://ci.example.com/job/7 --claim pipeline=release
  sigbox token --persona release-job.json --claim run=17    {"subject": "https://ci.example.com/job/7", "claims": {...}}
  sigbox token --persona github-workflow --url http://localhost:7780    as GitHub's, at a stack for tests
  sigbox token --email alice@example.com --expires-in -60 --url http://localhost:7780    expired, at a stack for tests
  sigbox token --email alice@example.com --wrong signature --url http://localhost:7780   which nobody may take"""

_TIMES = {
    "--expires-in": "the exp claim, from now on; negative: an expired token",
    "--not-before": "the nbf claim, from now on; negative: before",
    "--issued-at": "the iat claim, in the same way",
}


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
    _add_test_options(parser.add_argument_group("for tests, with --url"))


def _add_test_options(tests: argparse._ArgumentGroup) -> None:
    for option, about in _TIMES.items():
        tests.add_argument(option, metavar="SECONDS", type=int, help=about)
    tests.add_argument("--issuer", metavar="NAME", default="", help="another issuer: PUT /_ctl/issuers/NAME made it")
    tests.add_argument("--wrong", metavar="KIND", choices=WRONG, default="", help=f"one of {', '.join(WRONG)}")


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
    times = {name: seconds for name in TIMES if (seconds := getattr(options, name)) is not None}
    order = Order(persona, options.issuer, times, options.wrong)
    print(_ask(options.url, order) if options.url else _mint(unlocked(options), order))
    return 0


def _mint(home: Home, order: Order) -> str:
    # Deferred: the key material of a stack is not needed when a stack is asked.
    from stack.bootstrap import load_oidc_key  # noqa: PLC0415 - see the line above
    from stack.turned_clock import time_in  # noqa: PLC0415 - the same

    if not order.plain:
        raise Refused(
            "a token that is wrong, of another time or by another issuer is for tests; no key in a data directory makes it",
            "start a stack for tests, sigbox up --ephemeral --control, and name it: sigbox token --url URL",
        )
    settings, persona = load_settings(home), order.persona
    if persona.email and not settings.ephemeral:
        parse_email(persona.email)  # what no CA puts into a certificate helps nobody
    if persona.kind and not settings.ephemeral:
        raise Refused(
            f"a persona of the kind {persona.kind} speaks as somebody else's issuer, which this stack never does",
            "it is for tests: sigbox up --ephemeral --control; a machine of yours gets tokens by sigbox token --subject",
        )
    ring = KeyRing(SigningKey.of(load_oidc_key(home)))
    return persona.token(Provider(settings.issuer, ring, partial(time_in, home)))


def _ask(url: str, order: Order) -> str:
    # Deferred: HTTP is needed on this branch only.
    from stack.cli.asking import ask_control  # noqa: PLC0415 - see the line above

    return ask_control(url, "token", json.dumps(order.document()).encode())
