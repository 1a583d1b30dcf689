# SPDX-License-Identifier: Apache-2.0
"""Mint an identity token (a JWT) of your stack on standard output.

It needs the data directory, because that holds the provider's key; or --url of a stack started with --control.
"""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from oidc_dev.claims import Identity, make_claims
from oidc_dev.signing import SigningKey, mint
from sigcore.errors import Malformed
from sigcore.strict import JSON, parse_json
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.config import load_settings

EXAMPLES = """\
examples:
  sigbox token --email alice@example.com
  sigbox sign-blob release.tar.gz --identity-token "$(sigbox token --email alice@example.com)"
  sigbox token --subject https://ci.example.com/job/7 --claim pipeline=release"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox token``."""
    where = parser.add_mutually_exclusive_group()
    add_data_option(where)
    where.add_argument("--url", metavar="URL", help="URL of a stack that was started with --control")
    add_passphrase_option(parser)
    parser.add_argument("--email", metavar="E", default="", help="email identity, said to be verified")
    parser.add_argument("--subject", metavar="S", default="", help="the sub claim (default: the email)")
    parser.add_argument("--audience", metavar="A", default="sigstore", help="the aud claim (default: %(default)s)")
    parser.add_argument("--claim", metavar="K=V", action="append", default=[], help="one more claim; V is JSON or text")


def run(options: argparse.Namespace) -> int:
    """Print the token."""
    claims = dict(_claim(text) for text in options.claim)
    if not options.email and not options.subject:
        raise Malformed("the token has no identity", "give --email or --subject")
    if options.url:
        print(_ask(options, claims))
        return 0
    # Deferred: the key material of a stack is not needed when a stack is asked.
    from stack.bootstrap import load_oidc_key  # noqa: PLC0415 - see the line above

    home = unlocked(options)
    settings = load_settings(home)
    identity = Identity(email=options.email, subject=options.subject, extra=tuple(claims.items()))
    now = datetime.now(UTC)
    token_claims = make_claims(identity, issuer=settings.issuer, audience=options.audience, now=now)
    print(mint(token_claims, SigningKey.of(load_oidc_key(home))))
    return 0


def _claim(text: str) -> tuple[str, JSON]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Malformed(f"--claim is {text!r}, expected NAME=VALUE", 'for example --claim groups=["dev"]')
    try:
        return name, parse_json(value, what=f"--claim {name}", limit=4096)
    except Malformed:
        return name, value


def _ask(options: argparse.Namespace, claims: dict[str, JSON]) -> str:
    # Deferred: HTTP is needed on this branch only.
    from stack.cli.asking import ask_control  # noqa: PLC0415 - see the line above

    body = {"email": options.email, "subject": options.subject, "audience": options.audience, "claims": claims}
    return ask_control(options.url, "token", json.dumps(body).encode())
