# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium without windows, driven by Playwright: a browser per module, a profile per visitor, and an eye on what pages do.

``with chromium() as browser, visitor(browser) as tab:`` gives a page. When the block ends, everything that a page must not do has
failed the test: script errors, violations of its own policy, dialogs, requests to other hosts than loopback.
"""

from __future__ import annotations

import re
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect, sync_playwright

from tests.missing import missing

EXECUTABLES = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
"""The first that is there. Both render alike; a profile costs the first a quarter, since it has no window to build around a page."""
ARGUMENTS = [
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LOOPBACK = re.compile(r"(https?://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?(/|\Z)|data:|about:|blob:)")
WAIT_MS = 60_000
"""A bound for failure on a busy machine, not an expectation."""


@dataclass
class Tab:
    """A page in a profile of its own, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Collect what a page must not do."""
        self.page.on("console", self._console)
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.problems.append(f"script error: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports an answer's status and the favicon that is not there in the same way; neither is the page's doing.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not LOOPBACK.match(request.url):
            self.problems.append(f"request to {request.url}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser. Where it is not installed the test is skipped, and in CI it fails."""
    executable = next((one for one in EXECUTABLES if one.exists()), None)
    if executable is None:
        missing(f"{EXECUTABLES[0]} is absent; on Debian: apt-get install {EXECUTABLES[0].name}")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visitor(browser: Browser, **context: Any) -> Iterator[Tab]:
    """A tab in a fresh profile; ``context`` are options of Playwright's ``new_context``."""
    profile = browser.new_context(**context)
    try:
        profile.set_default_timeout(WAIT_MS)
        tab = Tab(profile.new_page())
        tab.watch()
        yield tab
        assert not tab.problems
    finally:
        profile.close()


@dataclass(frozen=True, slots=True)
class Hook:
    """A program that stands in for the user's browser: it writes down which page a client wants to be opened."""

    program: Path
    note: Path

    @classmethod
    def make(cls, folder: Path) -> Hook:
        """The program, in a folder of its own below ``folder``.

        A client finds it by ``BROWSER`` (Python), or as ``xdg-open`` with that folder first in ``PATH`` (Go).
        """
        program, note = folder / "hook" / "browser", folder / "browser.url"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"note = {str(note)!r}\n"
            "with open(note + '.part', 'w') as file:\n    file.write(sys.argv[1])\n"
            "os.replace(note + '.part', note)\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (program.parent / "xdg-open").symlink_to(program)
        return cls(program, note)

    def url(self, timeout_s: float = 60) -> str:
        """The page, as soon as the client has asked for it."""
        deadline = time.monotonic() + timeout_s
        while not self.note.exists():
            assert time.monotonic() < deadline, "the client opened no browser"
            time.sleep(0.02)
        return self.note.read_text("utf-8")
