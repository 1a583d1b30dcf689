# SPDX-License-Identifier: Apache-2.0
"""Check a stack from end to end, and say what is to be done about each thing that is wrong.

On the machine of the stack it looks at files, disk and certificates too. From anywhere else, give --url and what is trusted there.
The last check makes one real signature, which stays in the logs; --no-sign leaves it out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address
from typing import Final

from client.identity import IdentityToken, load_identity_token, parse_identity_token
from client.transport import AiohttpTransport, tls_context
from client.trust import load_trust
from oidc_dev.claims import Identity, make_claims
from oidc_dev.signing import SigningKey, mint
from sigcore.errors import NotFound, SigError
from stack.bootstrap import load_oidc_key
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.cli.table import ExitCode
from stack.cli.trusting import add_trust_options, given_trust
from stack.config import Home, load_settings
from stack.doctor import here, there
from stack.doctor.around import ambient
from stack.doctor.cosigned import witnesses
from stack.doctor.finding import Check, Finding, State, examine
from stack.doctor.here import Here
from stack.doctor.there import There

EXAMPLES = """\
examples:
  sigbox doctor                              the stack in ./sigbox-data, all checks
  sigbox doctor --json
  sigbox doctor --url https://sigstore.example.com --trust-config trust_config.json --identity-token @token"""

_MARKS: Final = {State.OK: "ok", State.WARNING: "warning", State.FAILED: "FAILED", State.SKIPPED: "-"}
_REMOTE: Final = (*there.CHECKS, Check("witnesses", witnesses, "connection"), Check("ambient", ambient))
_UNREACHABLE: Final = ("name", "connection")
TIMEOUT_S: Final = 15.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox doctor``."""
    add_data_option(parser)
    add_passphrase_option(parser)
    parser.add_argument("--url", metavar="URL", help="the stack's URL (default: that of the data directory)")
    parser.add_argument("--identity-token", metavar="T", help="sign as this token, or @FILE says")
    parser.add_argument("--no-sign", action="store_true", help="make no signature")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    add_trust_options(parser)


def run(options: argparse.Namespace) -> int:
    """Make the checks, print each."""
    home = unlocked(options)
    if options.data and not options.url and not home.path.is_dir():
        raise NotFound(f"{home.path} is no directory", "give the stack's own with --data, or its URL with --url")
    local = home.settings_file.exists() and not options.url
    tell = (lambda _: None) if options.json else partial(print_finding, color=sys.stdout.isatty())
    findings = asyncio.run(_examine(options, home, tell, local=local))
    failed = [one.name for one in findings if one.state is State.FAILED]
    if options.json:
        print(json.dumps({"healthy": not failed, "checks": [_document(one) for one in findings]}, indent=2))
    else:
        print(f"{len(failed)} of {len(findings)} checks failed" if failed else "all is well")
    if not failed:
        return ExitCode.DONE
    return ExitCode.UNREACHABLE if set(failed) & set(_UNREACHABLE) else ExitCode.SERVICE


async def _examine(
    options: argparse.Namespace, home: Home, tell: Callable[[Finding], None], *, local: bool
) -> tuple[Finding, ...]:
    clock = partial(datetime.now, UTC)
    absent = (
        f"{'--url was given' if options.url else f'there is no stack in {home.path}'}: looked at on its own machine"
    )
    found = await examine(Here(home if local else None, clock(), absent), here.CHECKS, tell)
    named = options.trust_config or options.trusted_root or options.signing_config
    own = not named and not options.url and (local or home.public.exists())
    if own and not home.trust_config.exists():
        return found + _skipped(f"{home.trust_config} is not here: nothing says whom to ask and what to trust", tell)
    own_tls = not options.url and home.tls_ca.exists()
    tls = tls_context(options.ca_file or (str(home.tls_ca) if own_tls else None))
    files = {"trust_config": str(home.trust_config)} if own else given_trust(options)
    try:
        trust, settings = load_trust(**files), load_settings(home) if local else None
    except SigError as error:
        if not own:
            raise
        return found + _skipped(f"{home.trust_config} cannot be used: {error.message}", tell)
    url = (options.url or (settings.url if settings else there.origin_of(trust.config.ca[0].url))).rstrip("/")
    async with AiohttpTransport(tls=tls, timeout_s=TIMEOUT_S) as transport:
        seen = There(url, trust, transport, clock, _token(options, home, url, local=local))
        if settings:
            others = tuple(settings.services.values())
            nobody = f"nobody to sign as: the key of the OpenID provider is not in {home.path}"
            seen = replace(seen, mirror=settings.at("trust"), others=others, nobody=nobody)
            seen = replace(seen, witnesses=settings.witnesses, quorum=settings.witness_quorum)
        elif not options.url and len(seen.origins) > 1:
            seen = replace(seen, mirror=None)
        if options.no_sign:
            seen = replace(seen, nobody="", token=None)
        return found + await examine(seen, _REMOTE, tell)


def _skipped(reason: str, tell: Callable[[Finding], None]) -> tuple[Finding, ...]:
    hint = "copy or mount public/, or give --url and --trust-config"
    findings = tuple(Finding(check.name, State.SKIPPED, reason, hint) for check in _REMOTE)
    for finding in findings:
        tell(finding)
    return findings


def _token(options: argparse.Namespace, home: Home, url: str, *, local: bool) -> Callable[[], IdentityToken] | None:
    """The token that was given; where the key of the provider is, one of its own, for an identity that says what it is for."""
    if options.identity_token:
        return lambda: load_identity_token(options.identity_token, {})
    return partial(_mint, home, url) if local and (home.path / "oidc" / "signing.key").exists() else None


def _mint(home: Home, url: str) -> IdentityToken:
    host = there.origin_of(url).rpartition("/")[2].partition(":")[0]
    email = f"doctor@{'localhost' if _is_address(host) else host}"  # an address is no domain of a mailbox
    settings, key = load_settings(home), SigningKey.of(load_oidc_key(home))
    claims = make_claims(Identity(email), issuer=settings.issuer, audience=there.AUDIENCE, now=datetime.now(UTC))
    return parse_identity_token(mint(claims, key))


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True


# --- what is printed ---------------------------------------------------------------------------------
def print_finding(finding: Finding, *, color: bool) -> None:
    """One line, and one for the fix."""
    mark = f"{_MARKS[finding.state]:7}"
    if color and finding.state in (State.FAILED, State.WARNING):
        mark = f"\033[{31 if finding.state is State.FAILED else 33}m{mark}\033[0m"
    print(f"{mark} {finding.name:12} {finding.found}")
    if finding.fix:
        print(f"{'':20} fix: {finding.fix}")


def _document(finding: Finding) -> dict[str, str]:
    return {"name": finding.name, "state": finding.state.value, "found": finding.found, "fix": finding.fix}
