# SPDX-License-Identifier: Apache-2.0
"""``sigbox policy test``: cases in a file, each an artifact with its bundles and what the policy must say.

    {"cases": [{"artifact": "a.msi", "as": "installer-1.msi", "bundles": ["a.sigstore.json"],
                "expect": "allow", "because": "a part of the refusal"}]}

Paths are from the folder of the file; ``as``, ``bundles`` and ``because`` may be absent. Signatures are verified as ever: a case
whose bundle is broken is refused.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, replace

from client.files import read_file
from sigcore import limits
from sigcore.errors import Malformed, NotFound, SigError
from sigcore.strict import Fields, shown
from stack.cli.artifact import SUFFIX
from stack.cli.policing import Police
from stack.cli.policy_choice import VARIABLE, chosen_policy
from stack.cli.table import ExitCode
from stack.cli.trusting import add_root_options
from stack.cli.usage import Usage

_CASES = 4096
_FORM = 'for example {"cases": [{"artifact": "a.msi", "expect": "allow"}]}; docs/policy.md has more'
_VERDICTS = ("allow", "refuse")


@dataclass(frozen=True, slots=True)
class Case:
    """One case; paths are usable as they stand."""

    artifact: str
    as_name: str | None
    bundles: tuple[str, ...]
    allowed: bool
    because: str


def add_case_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``sigbox policy test``."""
    parser.add_argument("cases", metavar="CASES", help="a JSON file: see docs/policy.md")
    parser.add_argument("--policy", metavar="FILE", help=f"default: ${VARIABLE}, or beside the trusted root")
    parser.add_argument(
        "--policy-root", metavar="NAME=FILE", action="append", default=[], help="a trusted root that a rule names"
    )
    parser.add_argument("--json", action="store_true", help="the verdicts as JSON on standard output")
    add_root_options(parser)


def run_cases(options: argparse.Namespace) -> int:
    """Decide every case; 0 only if all come out as expected."""
    options.files, options.as_name, options.and_bundle = (), None, []
    police = Police.of(chosen_policy(options), options)
    cases = load_cases(options.cases)
    failed, rows = 0, []
    for case in cases:
        given = argparse.Namespace(**vars(options) | {"as_name": case.as_name, "and_bundle": case.bundles[1:]})
        refusal = _refusal(replace(police, options=given), case)
        good = not refusal if case.allowed else bool(refusal) and case.because in refusal
        failed += not good
        rows.append(_row(case, refusal, good=good))
        if not options.json:
            print(f"{'ok  ' if good else 'FAIL'}  {ascii(case.as_name or case.artifact)[1:-1]}: {refusal or 'allowed'}")
    if options.json:
        print(json.dumps({"cases": rows, "failed": failed}, indent=2))
    else:
        print(f"{len(cases)} cases, {failed} not as expected")
    return ExitCode.REFUSED if failed else ExitCode.DONE


def _row(case: Case, refusal: str, *, good: bool) -> dict[str, object]:
    return {
        "artifact": case.artifact,
        "as": case.as_name,
        "expected": "allow" if case.allowed else "refuse",
        "verdict": "refuse" if refusal else "allow",
        "refusal": refusal,
        "asExpected": good,
    }


def _refusal(police: Police, case: Case) -> str:
    try:
        return police.decide(case.artifact, case.bundles[0]).refusal
    except NotFound:
        raise  # a path that is mistyped is no refusal
    except SigError as error:
        return error.message


def load_cases(path: str) -> tuple[Case, ...]:
    """The cases in a file.

    Raises:
        NotFound: no readable file. Usage: not the form above, or no case: nothing was decided that could be a verdict.
    """
    data, folder = read_file(path, what="the cases", limit=limits.POLICY), os.path.dirname(path)  # noqa: PTH120 - as in client.files
    try:
        fields = Fields.parse(data, what=path, limit=limits.POLICY)
        fields.only("cases")
        cases = tuple(_case(one, folder) for one in fields.objects("cases", limit=_CASES))
    except Malformed as error:
        raise Usage(error.message, error.hint or _FORM) from error
    if not cases:
        raise Usage(f"{path} has no cases: nothing was tried", _FORM)
    return cases


def _case(fields: Fields, folder: str) -> Case:
    fields.only("artifact", "as", "bundles", "expect", "because")
    artifact, expect = fields.text("artifact"), fields.text("expect")
    if expect not in _VERDICTS:
        raise Malformed(f"{fields.path}.expect is {shown(expect)}, expected {' or '.join(_VERDICTS)}")
    bundles = fields.texts("bundles", limit=limits.POLICY_NAMES) or (f"{artifact}{SUFFIX}",)
    return Case(
        _below(folder, artifact),
        fields.text("as") if "as" in fields else None,
        tuple(_below(folder, bundle) for bundle in bundles),
        expect == "allow",
        fields.optional_text("because"),
    )


def _below(folder: str, path: str) -> str:
    return os.path.join(folder, path)  # noqa: PTH118 - as in client.files
