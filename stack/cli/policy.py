# SPDX-License-Identifier: Apache-2.0
"""A policy: who may sign what. Look it over, try it, draft one from what is signed, see how it decides, hand it to others.

The form is that of the file that --policy of the verifying commands takes: JSON or YAML, see docs/policy.md. Nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta

from client.files import load_bundle
from client.policy.document import parse_policy
from client.policy.export import TARGETS, export_policy, unsaid
from client.policy.learning import propose
from client.policy.lint import find_doubts
from client.policy.logged_keys import find_any_key
from client.policy.names import local_name
from client.verify import verify_own
from client.verify.signed import digest_algorithm
from stack.cli.artifact import SUFFIX, digest_of, expand
from stack.cli.log_options import add_reading_options
from stack.cli.policing import Police, load_policy
from stack.cli.policy_cases import add_case_options, run_cases
from stack.cli.policy_choice import VARIABLE, add_name_options, chosen_policy
from stack.cli.policy_report import lines, report
from stack.cli.table import ExitCode
from stack.cli.trusting import add_root_options, load_trusted_root
from stack.cli.usage import Usage

EXAMPLES = """\
examples:
  sigbox policy learn dist/ --trusted-root trusted_root.json > policy.json
  sigbox policy learn --log --since 2026-01-01 --min-count 3 > policy.yaml
  sigbox policy lint policy.json
  sigbox policy explain release.tar.gz --policy policy.json --trusted-root trusted_root.json
  sigbox policy test cases.json --policy policy.json --trusted-root trusted_root.json
  sigbox policy export policy.json --to clusterimagepolicy"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox policy``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    lint = actions.add_parser("lint", help="what its author may not have meant", allow_abbrev=False)
    lint.add_argument("file", metavar="POLICY", help="the policy: see docs/policy.md")
    lint.add_argument("--days", type=int, metavar="N", default=30, help="say what ends within N days (default: 30)")
    lint.add_argument("--json", action="store_true", help="the same as JSON on standard output")
    add_case_options(actions.add_parser("test", help="decide cases from a file, compare", allow_abbrev=False))
    _add_learn(actions.add_parser("learn", help="draft a policy from what is signed", allow_abbrev=False))
    explain = actions.add_parser("explain", help="the rule for a file, and every candidate", allow_abbrev=False)
    explain.add_argument("file", metavar="ARTIFACT", help="a file that was signed")
    explain.add_argument("--bundle", metavar="B", help=f"the bundle (default: ARTIFACT{SUFFIX})")
    explain.add_argument("--policy", metavar="FILE", help=f"default: ${VARIABLE}, or beside the trusted root")
    explain.add_argument("--json", action="store_true", help="the same as JSON on standard output")
    add_name_options(explain)
    add_root_options(explain)
    export = actions.add_parser("export", help="the same in the words of another tool", allow_abbrev=False)
    export.add_argument("file", metavar="POLICY", help="the policy")
    export.add_argument(
        "--to", choices=tuple(TARGETS), required=True, metavar="T", help=f"who shall read it: {', '.join(TARGETS)}"
    )


def _add_learn(learn: argparse.ArgumentParser) -> None:
    learn.add_argument("files", nargs="*", metavar="FILE", help=f"a file with FILE{SUFFIX} beside it, or a directory")
    learn.add_argument("--days", type=int, metavar="N", default=365, help="the draft ends in N days (default: 365)")
    which = learn.add_argument_group("from a log", "instead of files: who signed its entries, each proved")
    text = "its URL, or the folder of a static copy (default: the logs of the trusted root, at their own URLs)"
    which.add_argument("--log", metavar="URL|DIR", nargs="?", const="", help=text)
    which.add_argument("--since", metavar="TIME", help="what was signed from then on: a date, or a time (RFC 3339)")
    text = "identities with N signatures or more (default: 1)"
    which.add_argument("--min-count", metavar="N", type=int, default=1, help=text)
    which.add_argument("--keys", action="store_true", help="bare keys too, which anybody can make")
    add_reading_options(learn, which, "with --log: the draft and what it was made from, as one JSON document")


def run(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    actions = {"lint": _lint, "test": run_cases, "learn": _learn, "explain": _explain, "export": _export}
    return actions[options.action](options)


def _lint(options: argparse.Namespace) -> int:
    findings = find_doubts(load_policy(options.file), datetime.now(UTC), timedelta(days=options.days))
    if options.json:
        print(json.dumps([{"grave": one.grave, "where": one.where, "what": one.what} for one in findings], indent=2))
    else:
        for one in findings:
            print(f"{'WRONG' if one.grave else 'doubt'}  {one.where}: {one.what}")
        count = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
        sys.stderr.write(f"{count}, {sum(one.grave for one in findings)} of them grave\n")
    return ExitCode.REFUSED if any(one.grave for one in findings) else ExitCode.DONE


def _learn(options: argparse.Namespace) -> int:
    if bool(options.files) == (options.log is not None):
        raise Usage("FILE and --log are given" if options.files else "nothing to learn from", "give FILE or --log")
    if options.log is not None:
        # Deferred: the rest of this command asks nobody, and imports no HTTP.
        from stack.cli.policy_learning import run_learn_log  # noqa: PLC0415 - see the line above

        return run_learn_log(options)
    root, seen = load_trusted_root(options), []
    for file in expand(options.files):
        bundle = load_bundle(f"{file}{SUFFIX}")
        digest = digest_of(file, digest_algorithm(bundle))
        seen.append((local_name(file).text, verify_own(bundle, digest, root=root, key=find_any_key(bundle))))
    expires = datetime.now(UTC) + timedelta(days=options.days)
    text = json.dumps(propose(seen, f"{expires:%Y-%m-%d}"), indent=2)
    parse_policy(text.encode())  # what we hand out is read by ourselves
    print(text)
    sys.stderr.write(
        f"a draft from {len(seen)} signature{'s' if len(seen) > 1 else ''}: read it, then sigbox policy lint\n"
    )
    return ExitCode.DONE


def _explain(options: argparse.Namespace) -> int:
    options.files = (options.file,)
    police = Police.of(chosen_policy(options), options)
    decision = police.decide(options.file, options.bundle or f"{options.file}{SUFFIX}")
    print(json.dumps(report(decision), indent=2) if options.json else "\n".join(lines(decision)))
    return ExitCode.REFUSED if decision.refusal else ExitCode.DONE


def _export(options: argparse.Namespace) -> int:
    sys.stdout.write(export_policy(load_policy(options.file), options.to))
    sys.stderr.write(f"{unsaid(options.to)}\n")
    return ExitCode.DONE
