# SPDX-License-Identifier: Apache-2.0
"""Where CI is set, a test that does not run is a failure, unless ``expected_skips.txt`` names it with a reason.

A skip that nobody reads is a test that nobody has. The list has one line per test: its node id, `` # ``, the reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

EXPECTED = Path(__file__).with_name("expected_skips.txt")


def parse_expected(text: str) -> dict[str, str]:
    """Node id -> reason; a line without a reason is an error."""
    expected = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            test, mark, reason = line.partition(" # ")
            if not mark or not reason.strip():
                raise pytest.UsageError(f"{EXPECTED.name} names {test.strip()} without a reason after ` # `")
            expected[test.strip()] = reason.strip()
    return expected


class UnexpectedSkips:
    """Collects what was skipped or failed as expected, and fails the session for what is not on the list."""

    def __init__(self, expected: dict[str, str]) -> None:
        self.expected = expected
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and report.nodeid not in self.expected:
            self.found[report.nodeid] = _reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped and report.nodeid not in self.expected:
            self.found[report.nodeid] = _reason(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.found and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.found:
            terminalreporter.section(
                f"{len(self.found)} tests did not run and {EXPECTED.name} does not say why", red=True
            )
            for line in self.lines():
                terminalreporter.line(line)

    def lines(self) -> Iterator[str]:
        yield from (f"{test}: {reason}" for test, reason in sorted(self.found.items()))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    return str(getattr(report, "wasxfail", "skipped"))


def pytest_configure(config: pytest.Config) -> None:
    """Active where CI is set; elsewhere a skip is a line in the summary. Of several processes the one that hears of all tests decides."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(UnexpectedSkips(parse_expected(EXPECTED.read_text("utf-8"))))
