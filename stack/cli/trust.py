# SPDX-License-Identifier: Apache-2.0
"""The trust root of your stack: show what clients find in it and how long it is good for, or sign it anew; publish a policy; rotate a key.

`show` reads public files only. `refresh` signs targets, snapshot and timestamp at once; the running stack does the last two
by itself, once an hour, as soon as half of their life is spent. The root stays as it is, until `rotate tuf`; or people sign the next
one with keys that never touch this machine: `trust root --help`. `request` and `accept` put an authority below a corporate CA.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path

from client.policy.decision import verify_current
from client.policy.document import parse_document, parse_policy, policy_of
from client.policy.lint import find_doubts
from sigcore import canonical, limits, trustroot
from sigcore.algorithms import KeyDetails
from sigcore.strict import encode_time
from stack.bootstrap import make_policy_key
from stack.cli import trust_corporate, trust_kit_options, trust_rehearse, trust_root_options, trust_rotate
from stack.cli.placing import add_data_option, add_passphrase_option, unlocked
from stack.config import Home, Settings, home_at, load_settings
from stack.files import load_file, save_file
from stack.trust.documents import unrotated
from stack.trust.publisher import finish_publisher, start_publisher
from stack.trust.rotation import resume
from stack.trust.serving import fingerprint
from stack.trust.state import ONLINE, RoleState, TrustState, load_state
from stack.turned_clock import time_in

EXAMPLES = """\
examples:
  sigbox trust show
  sigbox trust show --data /srv/sigbox --json
  sigbox trust refresh
  sigbox trust policy policy.json
  sigbox trust rotate oidc
  sigbox trust rotate ca
  sigbox trust rotate all
  sigbox trust request ca -o ca.csr
  sigbox trust accept ca chain.pem --dry-run
  sigbox trust rehearse 2027-06-30
  sigbox trust root show
  sigbox trust root key alice.key
  sigbox trust root propose --add alice.pub --add bob.pub --threshold 2
  sigbox trust root sign root.proposed.json --key alice.key
  sigbox trust root accept root.proposed.json
  sigbox trust export kit.tar
  sigbox trust import kit.tar --fingerprint 7c1d..."""

_ADVICE = {
    "due": "sign it soon: sigbox trust refresh",
    "expired": "clients refuse it: sigbox trust refresh",
    "ahead": "it expires later than it should: the clock was ahead when it was signed, or is behind now",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox trust``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="state, versions, expiries, fingerprint and key ids", allow_abbrev=False)
    add_data_option(show)
    show.add_argument("--json", action="store_true", help="the same as JSON on standard output")
    refresh = actions.add_parser("refresh", help="sign targets, snapshot and timestamp now", allow_abbrev=False)
    add_data_option(refresh)
    add_passphrase_option(refresh)
    refresh.add_argument("--json", action="store_true", help="what was signed, as JSON on standard output")
    policy = actions.add_parser("policy", help="publish who may sign what, in a role of its own", allow_abbrev=False)
    policy.add_argument("file", metavar="POLICY", help="the policy: see docs/policy.md")
    policy.add_argument("--json", action="store_true", help="report as JSON on standard output")
    add_data_option(policy)
    add_passphrase_option(policy)
    rotate = actions.add_parser("rotate", help="sign with the next key of a role from now on", allow_abbrev=False)
    trust_rotate.add_arguments(rotate)
    request = actions.add_parser("request", help="ask a corporate CA for the next certificate", allow_abbrev=False)
    trust_corporate.add_request_arguments(request)
    accept = actions.add_parser("accept", help="sign with what the corporate CA has issued", allow_abbrev=False)
    trust_corporate.add_accept_arguments(accept)
    export = actions.add_parser("export", help="write one file for machines that reach no mirror", allow_abbrev=False)
    trust_kit_options.add_export_arguments(export)
    import_ = actions.add_parser("import", help="take such a file, after comparing its fingerprint", allow_abbrev=False)
    trust_kit_options.add_import_arguments(import_)
    rehearse = actions.add_parser("rehearse", help="what breaks by a date, and what prevents it", allow_abbrev=False)
    trust_rehearse.add_arguments(rehearse)
    root = actions.add_parser(
        "root", help="the root that people sign, k of n, with keys of their own", allow_abbrev=False
    )
    trust_root_options.add_arguments(root)


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    if options.action == "refresh":
        return _refresh(unlocked(options), options)
    if options.action == "policy":
        return _publish_policy(unlocked(options), options)
    if options.action == "rotate":
        return trust_rotate.run(unlocked(options), options)
    if options.action in ("request", "accept", trust_corporate.DRY_RUN):
        work = trust_corporate.run_request if options.action == "request" else trust_corporate.run_accept
        return work(unlocked(options), options)
    if options.action in ("export", "import"):
        # Deferred: python-tuf verifies the kit.
        from stack.cli import trust_kit  # noqa: PLC0415 - see the line above

        return trust_kit.run_export(options) if options.action == "export" else trust_kit.run_import(options)
    if options.action.startswith("root"):
        # Deferred: python-tuf, for the ceremony alone.
        from stack.cli import trust_root  # noqa: PLC0415 - see the line above

        return trust_root.run(options)
    home = home_at(options.data)
    if options.action == "rehearse":
        return trust_rehearse.run(home, options)
    settings, state, now = load_settings(home), load_state(home), time_in(home)
    root = trustroot.parse_trusted_root(load_file(home.trusted_root, what="the trusted root"))
    if options.json:
        print(json.dumps(report(home, settings, state, root, now), indent=2))
    else:
        print("\n".join(lines(home, settings, state, root, now)))
    return 0


def _refresh(home: Home, options: argparse.Namespace) -> int:
    resume(home, load_settings(home))
    signed = finish_publisher(start_publisher(home, force=True)).split()
    roles = [role for role in load_state(home).roles if role.role in signed]
    if options.json:
        rows = [{"role": one.role, "version": one.version, "expires": encode_time(one.expires)} for one in roles]
        print(json.dumps({"signed": rows}, indent=2))
        return 0
    for role in roles:
        print(f"{role.role} version {role.version}, good until {encode_time(role.expires)}")
    return 0


def _publish_policy(home: Home, options: argparse.Namespace) -> int:
    """Publish the policy in its canonical form; refuse what clients would refuse."""
    settings = load_settings(home)
    data = load_file(Path(options.file), what="the policy", limit=limits.POLICY, pipe=True)
    document = parse_document(data)
    policy = policy_of(document)
    now = time_in(home)
    verify_current(policy, now)
    for doubt in find_doubts(policy, now, timedelta()):
        if doubt.grave:
            sys.stderr.write(f"warning: {doubt.where}: {doubt.what}\n")
    published = canonical.encode(dict(document.raw()))
    with unrotated(home, settings):
        make_policy_key(home, settings)
        save_file(home.policy, published, durable=not settings.ephemeral)
    signed = finish_publisher(start_publisher(home)).split()
    mirror, target = f"{settings.at('trust')}/tuf", home.policy.name
    if options.json:
        facts = {"mirror": mirror, "target": target, "sha256": hashlib.sha256(published).hexdigest()}
        print(json.dumps(facts | {"expires": encode_time(policy.expires), "signed": signed}, indent=2))
    else:
        print(f"policy published as {mirror} target {target}; signed: {', '.join(signed) or 'nothing new'}")
    return 0


# --- two forms of one report -------------------------------------------------------------------------
def report(
    home: Home, settings: Settings, state: TrustState, root: trustroot.TrustedRoot, now: datetime
) -> dict[str, object]:
    """What ``--json`` prints."""
    return {
        "url": settings.url,
        "mirror": f"{settings.at('trust')}/tuf",
        "root": str(home.tuf_root),
        "fingerprint": fingerprint(home),
        "roles": [
            {
                "role": role.role,
                "version": role.version,
                "expires": encode_time(role.expires),
                "daysLeft": role.left(now) // timedelta(days=1),
                "state": role.verdict(now),
                "threshold": role.threshold,
                "keyIds": list(role.key_ids),
            }
            for role in state.roles
        ],
        "targets": [
            {"name": target.name, "size": target.size, "sha256": target.sha256, "usage": target.usage}
            for target in state.targets
        ],
        "keys": [
            {"service": name, "id": key_id, "since": encode_time(validity.start), "until": _until(validity)}
            for name, key_id, validity in _services(root)
        ],
        "policy": encode_time(ends) if (ends := _policy_ends(home)) else None,
    }


def lines(home: Home, settings: Settings, state: TrustState, root: trustroot.TrustedRoot, now: datetime) -> list[str]:
    """What a person reads."""
    ends = _policy_ends(home)
    return [
        f"trust root of {settings.url}",
        f"  first root   {home.tuf_root}",
        f"  fingerprint  sha256:{fingerprint(home)}",
        "",
        f"  {'TUF role':<11}{'version':>7}  {'expires':<22}{'left':>10}  key id",
        *(line for role in state.roles for line in _role_lines(role, now)),
        "",
        f"  {'key of':<11}{'id':<66}{'since'}",
        *(f"  {name:<11}{key_id:<66}{_window(valid)}" for name, key_id, valid in _services(root)),
        "",
        *(
            [f"  the root is signed by {state.roles[0].signers()}: sigbox trust root show"]
            if state.roles[0].by_people
            else []
        ),
        f"  {len(state.targets)} targets: {', '.join(target.name for target in state.targets)}",
        *([f"  policy {'expired at' if ends <= now else 'good until'} {encode_time(ends)}"] if ends else []),
    ]


def _policy_ends(home: Home) -> datetime | None:
    return parse_policy(load_file(home.policy, what="the policy")).expires if home.policy.exists() else None


def _role_lines(role: RoleState, now: datetime) -> list[str]:
    left, verdict = role.left(now), role.verdict(now)
    how = f"{left // timedelta(days=1)} days" if left > timedelta(days=2) else f"{left // timedelta(hours=1)} hours"
    ids = " ".join(identifier[:16] for identifier in role.key_ids)
    first = f"  {role.role:<11}{role.version:>7}  {encode_time(role.expires):<22}{how:>10}  {ids}"
    if verdict == "good":
        return [first]
    advice = "the running stack signs it" if verdict == "due" and role.role in ONLINE else _ADVICE[verdict]
    if role.role == "root" and verdict != "ahead":
        advice = f"{'clients refuse it' if verdict == 'expired' else 'sign the next one soon'}: {role.next_root()}"
    return [first, f"  {'':<11}{verdict.upper():>7}: {advice}"]


def _services(root: trustroot.TrustedRoot) -> list[tuple[str, str, trustroot.Validity]]:
    """Name, id in hex, validity. A log's id is what the clients know it by; an authority's is the SHA-256 of its root."""
    logs = [(f"rekor {2 if log.details is KeyDetails.PKIX_ED25519 else 1}", log) for log in root.logs]
    logs += [("ct", log) for log in root.ct_logs]
    authorities = [("ca", authority) for authority in root.certificate_authorities]
    authorities += [("tsa", authority) for authority in root.timestamp_authorities]
    return [
        *((name, log.log_id.hex(), log.validity) for name, log in logs),
        *((name, hashlib.sha256(one.chain[-1]).hexdigest(), one.validity) for name, one in authorities),
    ]


def _window(validity: trustroot.Validity) -> str:
    return encode_time(validity.start) + (f" until {encode_time(validity.end)}" if validity.end else "")


def _until(validity: trustroot.Validity) -> str | None:
    return encode_time(validity.end) if validity.end else None
