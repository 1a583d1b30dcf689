# SPDX-License-Identifier: Apache-2.0
"""The publication of a start: what its process has, when it publishes, and how it ends whatever becomes of the start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from sigcore.errors import Refused
from stack import bootstrap
from stack.config import Home
from stack.trust import first_publication as first
from stack.trust import publish
from stack.trust.documents import save_documents
from tests.stack_process import ROOT, environment
from tests.until import wait_until

NOW = datetime.now(UTC)

START = """
import os, sys, time
from pathlib import Path
from stack.config import Home
from stack.trust.first_publication import first_publication
with first_publication(Home(Path(sys.argv[1]))) as publication:
    print(publication._child, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "data")
    settings = bootstrap.prepare(home, url=None, default_url="http://localhost:7780", ephemeral=True, now=NOW)
    save_documents(home, bootstrap.load_material(home).public, settings)
    return home


def child_of(publication: first.FirstPublication) -> int:
    assert publication._child is not None
    return publication._child


def is_there(process: int) -> bool:
    """Also not as a zombie of whoever adopted it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def streams(process: int) -> list[str]:
    """What the three of it lead to."""
    return [str(Path(f"/proc/{process}/fd/{number}").readlink()) for number in range(3)]


def test_it_publishes_what_is_there_when_it_is_told_and_names_the_roles(home: Home):
    with first.first_publication(home) as publication:
        assert not home.tuf_repository.exists()
        publication.begin()
        assert publication.finish() == "root targets snapshot timestamp"
        assert home.tuf_root.exists()
    with first.first_publication(home) as publication:
        publication.begin()
        assert publication.finish() == "", "everything is fresh"


def test_why_it_could_not_publish_is_said(home: Home):
    (home.path / "tuf" / "root.key").unlink()
    with first.first_publication(home) as publication:
        publication.begin()
        with pytest.raises(Refused, match=r"cannot be published.*root\.key does not exist"):
            publication.finish()


def test_whatever_it_dies_of_is_refused(home: Home):
    with first.first_publication(home) as publication:
        os.kill(child_of(publication), signal.SIGKILL)
        publication.begin()
        with pytest.raises(Refused, match="ended without a word"):
            publication.finish()


def test_a_defect_of_ours_is_named(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(publish, "publish", lambda *_, **_options: 1 // 0)
    with first.first_publication(home) as publication:
        publication.begin()
        with pytest.raises(Refused, match="ZeroDivisionError"):
            publication.finish()


def test_it_is_not_waited_for_forever(home: Home):
    with first.first_publication(home) as publication, pytest.raises(Refused, match="in time"):
        publication.finish(patience_s=0.05)  # nobody tells it to begin


def test_a_start_that_fails_publishes_nothing_and_leaves_no_process(home: Home):
    process = 0

    def start() -> NoReturn:
        nonlocal process
        with first.first_publication(home) as publication:
            process = child_of(publication)
            raise ValueError("the start")

    with pytest.raises(ValueError, match="the start"):
        start()
    assert process
    assert not is_there(process)
    assert not home.tuf_repository.exists()


def test_it_ends_with_a_start_that_is_killed(home: Home):
    with subprocess.Popen(
        [sys.executable, "-c", START, str(home.path)], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    ) as start:
        assert start.stdout is not None
        process = int(start.stdout.readline())
        assert is_there(process)
        start.kill()
        wait_until(lambda: not is_there(process))
    assert not home.tuf_repository.exists()


def test_it_keeps_no_reader_of_what_the_start_says_waiting(home: Home):
    with first.first_publication(home) as publication:
        wait_until(lambda: streams(child_of(publication)) == ["/dev/null"] * 3)


def test_sigterm_ends_it_without_the_handlers_of_the_start(home: Home):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append(os.getpid()))
    try:
        with first.first_publication(home) as publication:
            os.kill(child_of(publication), signal.SIGTERM)
            publication.begin()
            with pytest.raises(Refused, match="ended without a word"):
                publication.finish()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not seen


def test_what_ignores_the_death_of_children_can_start(home: Home):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with first.first_publication(home) as publication:
            publication.begin()
            assert publication.finish() == "root targets snapshot timestamp"
    finally:
        signal.signal(signal.SIGCHLD, before)
