# SPDX-License-Identifier: Apache-2.0
"""What a process may write of its memory after it has said that it holds keys."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from stack.core_dumps import forbid_core_dumps
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
asked = int(sys.argv[1])
if asked >= 0 and (hard == resource.RLIM_INFINITY or asked <= hard):
    resource.setrlimit(resource.RLIMIT_CORE, (asked, asked))
forbid_core_dumps()
print(*resource.getrlimit(resource.RLIMIT_CORE))
"""


@pytest.mark.parametrize(
    ("before", "left"), [(-1, {"1 1", "0 0"}), (1 << 30, {"1 1", "0 0"}), (1, {"1 1", "0 0"}), (0, {"0 0"})]
)
def test_f14_no_limit_leaves_room_for_a_dump(before: int, left: set[str]):
    """One byte is less than any dump has, and keeps programs that take dumps through a pipe from being given one."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(before)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() in left


ATTACHING = """
import ctypes, os, subprocess, sys
from stack.core_dumps import forbid_attaching
asked = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
exec(asked)
forbid_attaching()
exec(asked)
if os.fork() == 0:
    exec(asked)
    os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", asked], check=True)
"""


def test_f14_who_holds_keys_and_what_it_forks_is_attached_to_by_nobody_and_other_programs_are_as_ever():
    done = subprocess.run([sys.executable, "-c", ATTACHING], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["1", "0", "0", "1"]
