# SPDX-License-Identifier: Apache-2.0
"""Print the exact lines that make an official client use your stack; they can be pasted into a shell."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from stack.config import Home, Settings, default_home, load_settings
from stack.tls_lines import trust_lines

EXAMPLES = """\
examples:
  sigbox env sigstore-python
  sigbox env sigstore-python --data /srv/sigbox"""

_IDENTITY = '--identity-token "$(sigbox token --data {data} --email alice@example.com)"'


def _sigstore_python(home: Home, settings: Settings) -> tuple[str, ...]:
    mirror = f"{settings.url}/tuf"
    data, root, trust = (shlex.quote(str(path)) for path in (home.path, home.tuf_root, home.trust_config))
    verify = f"--cert-identity alice@example.com --cert-oidc-issuer {settings.issuer}"
    return (
        "# sigstore-python (pip install sigstore): trust the stack once, then sign and verify",
        f"sigstore --instance {mirror} trust-instance {root}",
        f"sigstore --instance {mirror} sign {_IDENTITY.format(data=data)} FILE",
        f"sigstore --instance {mirror} verify identity {verify} FILE",
        "# the same from one file, without TUF",
        f"sigstore --trust-config {trust} sign {_IDENTITY.format(data=data)} FILE",
        f"sigstore --trust-config {trust} verify identity {verify} FILE",
    )


def _sigbox(home: Home, settings: Settings) -> tuple[str, ...]:
    data, trust = shlex.quote(str(home.path)), shlex.quote(str(home.trust_config))
    return (
        "# sigbox: the trust material of the stack, for every command that follows",
        f"export SIGBOX_TRUST_CONFIG={trust}",
        f"sigbox sign-blob FILE {_IDENTITY.format(data=data)}",
        f"sigbox verify-blob FILE --certificate-identity alice@example.com --certificate-oidc-issuer {settings.issuer}",
    )


CLIENTS: dict[str, Callable[[Home, Settings], tuple[str, ...]]] = {
    "sigbox": _sigbox,
    "sigstore-python": _sigstore_python,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox env``."""
    parser.add_argument("client", choices=CLIENTS, metavar="CLIENT", help=f"one of: {', '.join(CLIENTS)}")
    parser.add_argument(
        "--data", metavar="DIR", help="data directory of the stack (default: $SIGBOX_DATA, ./sigbox-data)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the lines."""
    home = Home(Path(options.data).absolute()) if options.data else default_home()
    settings = load_settings(home)
    if settings.url.startswith("https:") and home.tls_ca.exists():
        print("\n".join(trust_lines(home.tls_ca)))
    print("\n".join(client_lines(options.client, home, settings)))
    return 0


def client_lines(client: str, home: Home, settings: Settings) -> tuple[str, ...]:
    """The lines for ``client``, comments included."""
    return CLIENTS[client](home, settings)
