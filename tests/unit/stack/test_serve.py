# SPDX-License-Identifier: Apache-2.0
"""``sigbox up`` in this process, as far as its first start fails."""

import gc
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from sigcore.errors import Malformed, Refused
from sigcore.trustroot import parse_trusted_root
from stack import bootstrap
from stack import serve as serving
from stack.cli import main
from stack.config import Home, load_settings
from stack.serve import serve
from stack.start import Plan
from stack.trust.documents import encode_documents
from stack.trust.rotation import rotate_authority


def test_a_first_start_that_fails_takes_away_what_its_threads_have_still_to_write(tmp_path, monkeypatch):
    key, written = bootstrap.oidc_key, []

    def slow(*arguments):
        time.sleep(0.3)
        written.append(key(*arguments))
        return written[0]

    monkeypatch.setattr(bootstrap, "oidc_key", slow)
    config = tmp_path / "stack.toml"
    config.write_text('[[watch]]\nname = "a"\nidentity = "^root$"\n')
    data = tmp_path / "data"
    try:
        with pytest.raises(Malformed, match="watch 1"):
            serve(Plan(Home(data), "127.0.0.1", 0, None, control=False, config=config, ready_file=None))
    finally:
        gc.enable()
    assert written, "the start has ended before its thread"
    assert not data.exists()


def test_the_process_that_publishes_is_forked_before_there_is_a_port_a_lock_a_key_or_a_thread(tmp_path, monkeypatch):
    data, seen = tmp_path / "data", []

    def fork(home: Home) -> NoReturn:
        seen.append((home.path.exists(), opened(), threading.active_count()))
        raise Refused("far enough")

    monkeypatch.setattr(serving, "first_publication", fork)
    before = opened(), threading.active_count()
    try:
        with pytest.raises(Refused, match="far enough"):
            serve(Plan(Home(data), "127.0.0.1", 0, None, control=False, config=None, ready_file=None))
    finally:
        gc.enable()
    assert seen == [(False, *before)]


def opened() -> list[str]:
    """What this process has open, but for the list itself."""
    found = (Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - a list, before any is looked at
    return sorted(str(path.readlink()) for path in found if path.is_symlink())


def test_no_key_is_rotated_between_the_reading_of_keys_and_the_writing_of_documents(tmp_path, monkeypatch):
    data, config = tmp_path / "data", tmp_path / "stack.toml"
    assert main(["init", "--data", str(data), "--yes"]) == 0
    config.write_text('[[watch]]\nname = "a"\nidentity = "^root$"\n')  # ends the start once the documents are there
    home, rotations = Home(data), []

    def rotate() -> None:
        rotations.append(rotate_authority(home, load_settings(home), "ca", datetime.now(UTC) + timedelta(days=1)))

    thread = threading.Thread(target=rotate)

    def prove(*_secrets) -> None:
        thread.start()
        thread.join(1)  # it waits for this start; if it did not, it would be done by now

    monkeypatch.setattr(bootstrap, "prove", prove)
    try:
        with pytest.raises(Malformed, match="watch 1"):
            serve(Plan(home, "127.0.0.1", 0, None, control=False, config=config, ready_file=None))
    finally:
        gc.enable()
    thread.join()
    assert [done.number for done in rotations] == [2]
    said = encode_documents(home, bootstrap.load_material(home).public, load_settings(home))
    assert {path: path.read_bytes() for path in said} == said
    assert len(parse_trusted_root(home.trusted_root.read_bytes()).certificate_authorities) == 2
