# SPDX-License-Identifier: Apache-2.0
"""Where several processes run tests they write in memory, if it has room; nothing is left there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.memory_folder import MEMORY, ROOM, available, has_room

ROOT = Path(__file__).resolve().parent.parent
TELLING = """
import os, pathlib, tempfile
def test_tells(tmp_path):
    pathlib.Path(os.environ["TOLD"]).write_text(f"{tmp_path}\\n{tempfile.gettempdir()}")
"""


@pytest.mark.parametrize("processes", [0, 2])
def test_several_processes_write_in_memory_and_leave_nothing(tmp_path: Path, processes: int):
    (tmp_path / "test_it.py").write_text(TELLING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-p", "tests.memory_folder", "-c", os.devnull]
    told = tmp_path / "told"
    done = subprocess.run(
        [*command, "-n", str(processes), "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TOLD": str(told)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    room = processes > 0 and available() >= ROOM and has_room(MEMORY)
    for place in map(Path, told.read_text().splitlines()):
        folder = next((one for one in (place, *place.parents) if one.name.startswith("sb-")), None)
        own = folder is not None and str(folder) != os.environ.get("TMPDIR")
        assert own == room
        assert folder is None or not own or not folder.exists()


def test_a_folder_that_is_not_there_or_too_small_has_no_room(tmp_path: Path):
    assert has_room(tmp_path, 1)
    assert not has_room(tmp_path, 1 << 60)
    assert not has_room(tmp_path / "none", 1)
