# SPDX-License-Identifier: Apache-2.0
"""Log in at the OpenID provider and keep the identity token for the session: sign-blob takes it when no other is given.

The provider is the first one of the signing config. A browser is opened where there is one; the URL is printed in any case. With
--flow oob or --flow device nothing needs to reach this machine: the provider shows a code, which you type here; or you compare a
code that is shown here, on the provider's page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import webbrowser
from datetime import UTC, datetime

from client.device_login import begin, token_of
from client.identity import IdentityToken
from client.openid import OUT_OF_BAND, Authorization, Provider, discover, new_authorization, redeem_code
from client.session import expiry, save_session, session_file
from client.transport import AiohttpTransport, tls_context
from client.trust import load_trust
from sigcore.errors import Malformed
from sigcore.strict import encode_time
from stack.cli.loopback import Callback
from stack.cli.trusting import add_trust_options, given_trust
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox login
  sigbox login --flow device
  sigbox login --flow oob --oidc-issuer http://localhost:7780/auth
  sigbox sign-blob FILE"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox login``."""
    about = "how the answer comes back: to a browser on this machine, from one on any machine, or by hand (default: browser)"
    parser.add_argument("--flow", choices=("browser", "device", "oob"), default="browser", help=about)
    parser.add_argument("--oidc-issuer", metavar="U", help="the provider (default: the first of the signing config)")
    parser.add_argument("--oidc-client-id", metavar="ID", default="sigstore", help="default: %(default)s")
    parser.add_argument("--no-browser", action="store_true", help="print the URL, open nothing")
    parser.add_argument("--timeout", type=int, metavar="S", default=300, help="seconds to wait (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Log in, keep the token."""
    issuer = options.oidc_issuer or _configured_issuer(options)
    provider = asyncio.run(_discovered(options, issuer))
    if options.flow == "device":
        token = asyncio.run(_by_device(options, provider))
    else:
        authorization, code = _asked_for_code(options, provider)
        token = asyncio.run(_redeemed(options, provider, authorization, code))
    path = session_file(os.environ)
    save_session(token, path)
    until = encode_time(datetime.fromtimestamp(expiry(token), UTC))
    who = token.email or token.subject
    if options.json:
        print(json.dumps({"identity": who, "issuer": token.issuer, "expires": until, "file": str(path)}, indent=2))
    sys.stderr.write(f"logged in as {ascii(who)[1:-1]} at {ascii(token.issuer)[1:-1]}, good until {until}\n")
    return 0


def _configured_issuer(options: argparse.Namespace) -> str:
    config = load_trust(**given_trust(options)).config
    if not config.oidc:
        raise Usage("the signing config names no OpenID provider", "give --oidc-issuer U")
    return config.oidc[0].url


def _transport(options: argparse.Namespace) -> AiohttpTransport:
    return AiohttpTransport(tls=tls_context(options.ca_file) if options.ca_file else None)


async def _discovered(options: argparse.Namespace, issuer: str) -> Provider:
    async with _transport(options) as transport:
        return await discover(transport, issuer)


async def _redeemed(
    options: argparse.Namespace, provider: Provider, authorization: Authorization, code: str
) -> IdentityToken:
    async with _transport(options) as transport:
        return await redeem_code(transport, provider, authorization, code)


async def _by_device(options: argparse.Namespace, provider: Provider) -> IdentityToken:
    async with _transport(options) as transport:
        waiting = await begin(transport, provider, options.oidc_client_id)
        sys.stderr.write(f"allow the code {waiting.user_code} on this page, on any machine:\n  {waiting.page}\n")
        sys.stderr.flush()
        return await token_of(transport, provider, waiting, timeout_s=options.timeout)


def _asked_for_code(options: argparse.Namespace, provider: Provider) -> tuple[Authorization, str]:
    if options.flow == "oob":
        authorization = new_authorization(options.oidc_client_id, OUT_OF_BAND)
        sys.stderr.write(
            f"open this page in a browser:\n  {authorization.url(provider)}\nand type the code that it shows: "
        )
        sys.stderr.flush()
        code = sys.stdin.readline(1024).strip()
        if not code:
            raise Malformed("no code was typed", "log in again")
        return authorization, code
    callback = Callback()
    try:
        authorization = new_authorization(options.oidc_client_id, callback.uri)
        url = authorization.url(provider)
        sys.stderr.write(f"log in on this page:\n  {url}\n")
        sys.stderr.flush()
        if not options.no_browser and _has_browser():
            webbrowser.open(url)
        return authorization, authorization.code_from(callback.wait(options.timeout))
    finally:
        callback.close()


def _has_browser() -> bool:
    """Not one that takes over the terminal."""
    return any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")) or sys.platform == "darwin"
