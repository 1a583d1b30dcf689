# SPDX-License-Identifier: Apache-2.0
"""Which policy a verification is under, if any. Light on purpose: the policy itself is imported only when there is one."""

from __future__ import annotations

import argparse
import os

from stack.cli.trusting import given_trust
from stack.cli.usage import NoPolicy, Usage, not_empty

VARIABLE = "SIGBOX_POLICY"
FILE = "policy.json"
"""Where a policy is found by itself: beside the trusted root, as ``sigbox trust policy`` publishes it."""
_WHO = (
    "certificate_identity",
    "certificate_identity_regexp",
    "certificate_oidc_issuer",
    "certificate_oidc_issuer_regexp",
    "key",
)


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """``--policy``, ``--as``, ``--no-policy``, and what a rule may need beside one bundle and one root."""
    group = parser.add_argument_group(
        "policy", f"who may sign what; else ${VARIABLE}, or {FILE} beside the trusted root"
    )
    group.add_argument("--policy", metavar="FILE", type=not_empty, help="the policy, instead of an identity or a key")
    group.add_argument("--no-policy", action="store_true", help="judge by the identity or key given here alone")
    add_name_options(group)


def add_name_options(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    """The options about one artifact."""
    group.add_argument(
        "--as", metavar="NAME", dest="as_name", help="what it is called: a name, oci:REFERENCE or pkg:..."
    )
    group.add_argument(
        "--and-bundle", metavar="B", action="append", default=[], help="one more bundle; may be repeated"
    )
    group.add_argument(
        "--policy-root", metavar="NAME=FILE", action="append", default=[], help="a trusted root that a rule names"
    )


def policy_path(options: argparse.Namespace) -> str | None:
    """The file of the policy; None where an identity or a key on the command line decides.

    Raises:
        Usage: a policy, and options that would override it or that only a policy can use.
    """
    who = [f"--{name.replace('_', '-')}" for name in _WHO if getattr(options, name) is not None]  # empty, too
    path: str | None = None
    if options.no_policy:
        if options.policy is not None:
            raise Usage("--policy and --no-policy are given", "leave one of them out")
    else:
        path = _chosen(options)
    if path is not None and who:
        raise Usage(
            f"{who[0]} is given, and the policy {path} says who may sign",
            "--no-policy lets the command line decide instead of it",
        )
    if path is None and (options.as_name is not None or options.and_bundle or options.policy_root):
        raise Usage("--as, --and-bundle and --policy-root are for a policy, and there is none", "give --policy FILE")
    return path


def chosen_policy(options: argparse.Namespace) -> str:
    """The file of the policy, for a command that needs one.

    Raises:
        NoPolicy: there is none.
    """
    path = _chosen(options)
    if path is None:
        raise NoPolicy("there is no policy", f"give --policy FILE, or set {VARIABLE}")
    return path


def _chosen(options: argparse.Namespace) -> str | None:
    if options.policy is not None:
        given: str = options.policy
        return given
    return os.environ.get(VARIABLE) or _found(options)


def _found(options: argparse.Namespace) -> str | None:
    files = given_trust(options)
    beside = files.get("trusted_root") or files.get("trust_config")
    if beside is None:
        return None
    folder = os.path.dirname(beside)  # noqa: PTH120 - as in client.files
    path = os.path.join(folder, FILE)  # noqa: PTH118 - the same
    return path if os.path.lexists(path) else None  # a link that leads nowhere was meant to be a policy
