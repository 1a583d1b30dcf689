# SPDX-License-Identifier: Apache-2.0
"""Make a signing config: which services are asked when something is signed, with cosign's options.

Each service is KEY=VALUE pairs with commas between them; an option is repeated for a second service. The default services are
those of --base-config FILE, or with --with-default-services of the signing config that is in force.
"""

from __future__ import annotations

import argparse
import re

from client.root import read_trust_file
from client.trust import load_trust
from sigcore.signing_config import (
    Selector,
    SelectorKind,
    Service,
    SigningConfig,
    encode_signing_config,
    parse_signing_config,
)
from sigcore.strict import shown
from stack.cli.pairs import parse_pairs, parse_window
from stack.cli.trusted_root import write_out
from stack.cli.trusting import add_root_options, given_trust
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox signing-config create --out signing_config.json --rekor-config ANY --tsa-config ANY \\
      --fulcio "url=https://fulcio.corp.example,api-version=1,start-time=2026-01-01T00:00:00Z,operator=corp" \\
      --oidc-provider "url=https://id.corp.example,api-version=1,start-time=2026-01-01T00:00:00Z,operator=corp" \\
      --rekor "url=https://rekor.corp.example,api-version=2,start-time=2026-01-01T00:00:00Z,operator=corp" \\
      --tsa "url=https://tsa.corp.example/api/v1/timestamp,api-version=1,start-time=2026-01-01T00:00:00Z,operator=corp"
  sigbox signing-config create --base-config old.json --no-default-rekor --rekor PAIRS --out new.json"""

_SELECTOR = re.compile(r"ANY|ALL|EXACT:(?P<count>[1-9][0-9]{0,3})", re.ASCII)
_REQUIRED = ("url", "api-version", "start-time", "operator")
_KINDS = {
    "fulcio": ("fulcio", "ca"),
    "oidc": ("oidc_provider", "oidc"),
    "rekor": ("rekor", "rekor"),
    "tsa": ("tsa", "tsa"),
}
"""Kind, as in --no-default-KIND -> (option, member)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox signing-config``."""
    create = parser.add_subparsers(dest="action", metavar="ACTION", required=True).add_parser(
        "create", help="make a signing config", allow_abbrev=False
    )
    pairs = "url=U,api-version=N,start-time=T,operator=O [,end-time=T]"
    for kind, (option, _) in _KINDS.items():
        create.add_argument(f"--{option.replace('_', '-')}", metavar="PAIRS", action="append", default=[], help=pairs)
        create.add_argument(f"--no-default-{kind}", action="store_true", help=f"leave the default {kind} services out")
    for kind in ("rekor", "tsa"):
        about = "how many of them are asked: ANY (one), ALL, or EXACT:N (default: ANY)"
        create.add_argument(f"--{kind}-config", metavar="SELECTOR", help=about)
    create.add_argument("--base-config", metavar="FILE", help="the signing config to start from")
    create.add_argument("--with-default-services", action="store_true", help="start from the one that is in force")
    create.add_argument(
        "--with-default-rekor-v2", action="store_true", help="accepted for cosign's sake: nothing is left out"
    )
    create.add_argument("--out", metavar="FILE", help="default: standard output")
    add_root_options(create)


def run(options: argparse.Namespace) -> int:
    """Make it, read it back, write it."""
    base = _base(options)
    services = {kind: _services(options, kind, base) for kind in _KINDS}
    config = SigningConfig(
        ca=services["fulcio"],
        oidc=services["oidc"],
        rekor=services["rekor"],
        tsa=services["tsa"],
        rekor_selector=_selector(options.rekor_config, "--rekor-config", services["rekor"]) or base.rekor_selector,
        tsa_selector=_selector(options.tsa_config, "--tsa-config", services["tsa"]) or base.tsa_selector,
    )
    if config == SigningConfig():
        raise Usage("no service is named: nobody could sign with it", "give --fulcio, --rekor, --tsa, --oidc-provider")
    data = encode_signing_config(config)
    parse_signing_config(data)
    write_out(data, options.out, what="the signing config")
    return 0


def _base(options: argparse.Namespace) -> SigningConfig:
    if options.base_config and options.with_default_services:
        raise Usage("--base-config and --with-default-services are given", "start from one of them")
    if options.base_config:
        return parse_signing_config(read_trust_file(options.base_config, "the signing config"))
    return load_trust(**given_trust(options)).config if options.with_default_services else SigningConfig()


def _services(options: argparse.Namespace, kind: str, base: SigningConfig) -> tuple[Service, ...]:
    option, member = _KINDS[kind]
    default: tuple[Service, ...] = () if getattr(options, f"no_default_{kind}") else getattr(base, member)
    return (*default, *(_service(text, f"--{option.replace('_', '-')}") for text in getattr(options, option)))


def _service(text: str, option: str) -> Service:
    pairs = parse_pairs(text, option, required=_REQUIRED, optional=("end-time",))
    version = pairs["api-version"]
    if version not in ("1", "2"):
        raise Usage(
            f"{option}: api-version is {shown(version)}, expected 1 or 2", "Fulcio's is 1 although its path says v2"
        )
    return Service(pairs["url"], int(version), parse_window(pairs, option), pairs["operator"])


def _selector(text: str | None, option: str, services: tuple[Service, ...]) -> Selector | None:
    if text is None:
        return None
    match = _SELECTOR.fullmatch(text)
    if match is None:
        raise Usage(f"{option} is {shown(text)}, expected ANY, ALL or EXACT:N")
    if match["count"] is None:
        return Selector(SelectorKind[text])
    count = int(match["count"])
    if count > len({service.operator for service in services}):
        raise Usage(
            f"{option} asks for {count} services, one for each operator", "name more services, or ask for fewer"
        )
    return Selector(SelectorKind.EXACT, count)
