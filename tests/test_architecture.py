# SPDX-License-Identifier: Apache-2.0
"""The architecture holds; and each rule can fail, which a bad snippet per rule proves."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from tests import architecture_rules as rules
from tests.architecture_rules import Rule, Source, WholeRule

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = rules.load_sources(ROOT, *rules.PACKAGES)
EVERYTHING = (*SHIPPED, *rules.load_sources(ROOT, *rules.NOT_SHIPPED))


def name(value: object) -> str:
    return getattr(value, "__name__", "")


def source(path: str, text: str) -> Source:
    return Source(PurePosixPath(path), text)


def report(findings: list[str]) -> str:
    return f"{len(findings)} findings:\n" + "\n".join(findings)


@pytest.mark.parametrize("rule", rules.SHIPPED_RULES, ids=name)
def test_the_packages_keep(rule: Rule):
    findings = [finding for source in SHIPPED for finding in rule(source)]
    assert not findings, report(findings)


@pytest.mark.parametrize("rule", rules.EVERYWHERE_RULES, ids=name)
def test_all_sources_keep(rule: Rule):
    findings = [finding for source in EVERYTHING for finding in rule(source)]
    assert not findings, report(findings)


@pytest.mark.parametrize("rule", rules.WHOLE_RULES, ids=name)
def test_the_packages_together_keep(rule: WholeRule):
    findings = list(rule(SHIPPED))
    assert not findings, report(findings)


def test_every_package_is_looked_at_and_typed():
    assert {source.package for source in SHIPPED} == set(rules.PACKAGES)
    assert [p for p in rules.PACKAGES if not (ROOT / p / "py.typed").is_file()] == []


# --- each rule can fail ------------------------------------------------------------------------------
DEFERRED = "def f():\n    from {0} import x\n"
TYPE_CHECKING = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {0}\n"

BAD = [
    (rules.floors, "sigcore/note.py", "import ca.token"),
    (rules.floors, "sigcore/note.py", "from stack import config"),
    (rules.floors, "ca/token.py", DEFERRED.format("tlog.log")),
    (rules.floors, "tsa/http.py", TYPE_CHECKING.format("stack.compose")),
    (rules.floors, "client/sign.py", "import importlib\nimportlib.import_module('oidc_dev.claims')"),
    (rules.floors, "stack/compose.py", "from tests.stack_process import running_stack"),
    (rules.absolute_imports, "ca/token.py", "from . import principal"),
    (rules.absolute_imports, "stack/cli/up.py", DEFERRED.format("..config")),
    (rules.dynamic_imports, "tlog/log.py", "import importlib\nimportlib.import_module(name)"),
    (rules.dynamic_imports, "stack/serve.py", "__import__('os')"),
    (rules.pure_core, "sigcore/note.py", "import os"),
    (rules.pure_core, "sigcore/note.py", DEFERRED.format("pathlib")),
    (rules.pure_core, "sigcore/note.py", "import urllib.request"),
    (rules.pure_core, "sigcore/x509.py", "from cryptography import x509"),
    (rules.pure_core, "sigcore/x509.py", "import cryptography.x509"),
    (rules.pure_core, "sigcore/note.py", "import aiohttp"),
    (rules.pure_core, "sigcore/note.py", "data = open('f').read()"),
    (rules.pure_core, "sigcore/note.py", "print('x')"),
    (rules.frozen_core, "sigcore/note.py", "@dataclass\nclass Note:\n    text: str"),
    (rules.frozen_core, "sigcore/note.py", "@dataclass(frozen=True)\nclass Note:\n    text: str"),
    (rules.clocks, "ca/authority.py", "from datetime import datetime, UTC\nnow = datetime.now(UTC)"),
    (rules.clocks, "tlog/log.py", "import datetime\nclock = datetime.datetime.now"),
    (rules.clocks, "tsa/authority.py", "import time\nmilliseconds = int(time.time() * 1000)"),
    (rules.clocks, "tsa/authority.py", "from time import time_ns"),
    (rules.clocks, "tsa/authority.py", "from datetime import datetime as dt\nclock = dt.now"),
    (rules.clocks, "client/sign.py", "import time\ntext = time.gmtime()"),
    (rules.strict_decoding, "client/rekor.py", "import json\njson.loads(data)"),
    (rules.strict_decoding, "client/rekor.py", "import json as j\nj.loads(data)"),
    (rules.strict_decoding, "client/rekor.py", "from base64 import b64decode"),
    (rules.strict_decoding, "stack/cli/token.py", "import orjson\norjson.loads(data)"),
    (rules.strict_decoding, "sigcore/note.py", "key = bytes.fromhex(text)"),
    (rules.strict_decoding, "sigcore/note.py", "from datetime import datetime\nmoment = datetime.fromisoformat(text)"),
    (rules.http_at_the_edge, "ca/authority.py", "from aiohttp import web"),
    (rules.http_at_the_edge, "tlog/log.py", "from http import HTTPStatus"),
    (rules.spdx_line, "ca/token.py", "import os\n"),
    (rules.spdx_line, "ca/token.py", "\n# SPDX-License-Identifier: Apache-2.0\n"),
    (rules.telling_names, "ca/utils.py", ""),
    (rules.telling_names, "stack/helpers/token.py", ""),
    (rules.reasoned_exceptions, "ca/token.py", "x = 1  # noqa\n"),
    (rules.reasoned_exceptions, "ca/token.py", "x = 1  # noqa: S105\n"),
    (rules.reasoned_exceptions, "ca/token.py", "x = 1  # type: ignore\n"),
    (rules.reasoned_exceptions, "ca/token.py", "x = 1  # type: ignore[misc]\n"),
]

GOOD = [
    (rules.floors, "stack/compose.py", "from ca import http\nimport tlog.log"),
    (rules.floors, "ca/authority.py", "from sigcore import x509\nfrom ca import profile\nimport jwt"),
    (rules.dynamic_imports, "stack/cli/__init__.py", "import_module(command.module)"),
    (
        rules.pure_core,
        "sigcore/note.py",
        "from collections.abc import Mapping\nfrom cryptography.hazmat.primitives import hashes",
    ),
    (rules.pure_core, "ca/app.py", "import os"),
    (rules.clocks, "stack/serve.py", "datetime.now(UTC)"),
    (rules.clocks, "tsa/app.py", "datetime.now(UTC)"),
    (rules.clocks, "tlog/log.py", "datetime.fromtimestamp(ms / 1000, UTC)\nmoment.strftime('%Y')\ntime.monotonic()"),
    (rules.strict_decoding, "sigcore/strict.py", "json.loads(data)"),
    (rules.strict_decoding, "tlog/log.py", "json.dumps(x)\norjson.dumps(x)\nbase64.b64encode(x)"),
    (rules.clocks, "client/report.py", "from datetime import time\nfor time in times:\n    print(time.hour)"),
    (rules.strict_decoding, "ca/lint.py", "ALGORITHM = bytes.fromhex('300a')"),
    (rules.http_at_the_edge, "ca/http.py", "from aiohttp import web"),
    (rules.reasoned_exceptions, "ca/token.py", "x = 1  # noqa: S105 - a name, no secret\n"),
    (rules.reasoned_exceptions, "ca/token.py", "x = 1  # type: ignore[misc]  # the stub is wrong\ny = '# noqa'\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_a_rule_finds_what_it_is_for(rule: Rule, path: str, text: str):
    (finding, *_) = rule(source(path, text))
    assert finding.startswith(f"{path}:")


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_a_rule_lets_good_code_pass(rule: Rule, path: str, text: str):
    assert list(rule(source(path, text))) == []


def test_a_cycle_is_found_through_deferred_and_type_checking_imports():
    bad = [
        source("ca/__init__.py", ""),
        source("ca/a.py", "from ca import b"),
        source("ca/b.py", TYPE_CHECKING.format("ca.c")),
        source("ca/c.py", DEFERRED.format("ca.a")),
    ]
    assert list(rules.cycles(bad)) == [
        "import cycle: ca.a -> ca.b -> ca.c -> ca.a; move what both need into a third module"
    ]
    assert list(rules.cycles(bad[:3])) == []


@pytest.mark.parametrize(
    "text",
    [
        "isinstance(key, PublicKey)",
        "issubclass(kind, (int, keys.PublicKey))",
        "isinstance(key, int | PublicKey)",
        "match key:\n    case PublicKey():\n        pass",
    ],
)
def test_a_question_about_an_alias_that_is_a_text_is_found(text: str):
    keys = source("sigcore/keys.py", 'PublicKey: TypeAlias = "ec.Key | rsa.Key"\nReal: TypeAlias = ec.Key')
    (finding,) = rules.real_types([keys, source("ca/token.py", text)])
    assert finding.startswith("ca/token.py:"), finding
    assert "asks about PublicKey" in finding
    assert list(rules.real_types([keys, source("ca/token.py", text.replace("PublicKey", "Real"))])) == []


def test_one_long_file_is_over_the_budget_and_many_middling_ones_are_too():
    long = [source("ca/long.py", "x = 1\n" * 451), *(source(f"ca/m{i}.py", "x = 1\n" * 9) for i in range(40))]
    assert list(rules.file_budget(long)) == ["ca/long.py: 451 lines in a file, the budget is 450"]
    middling = [source(f"ca/m{i}.py", "x = 1\n" * 151) for i in range(3)]
    (finding,) = rules.file_budget(middling)
    assert "the median is 151, the budget 150" in finding
    (finding,) = rules.file_budget([*long[1:], *(source(f"ca/n{i}.py", "x = 1\n" * 360) for i in range(4))])
    assert "the 95th percentile is 360, the budget 350" in finding


def test_a_function_is_measured_without_its_docstring():
    body = "    '''What it does.\n\n    At length.\n    '''\n" + "    x = 1\n" * 61
    long = source("ca/long.py", f"def long():\n{body}" + "".join(f"def f{i}():\n    return 1\n" for i in range(40)))
    assert list(rules.function_budget([long])) == ["ca/long.py:1 long: 61 lines in a function's body, the budget is 60"]
    (finding,) = rules.function_budget([source("ca/m.py", "def f():\n" + "    x = 1\n" * 10)])
    assert "the median is 10, the budget 9" in finding
