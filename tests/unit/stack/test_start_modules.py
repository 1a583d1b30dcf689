# SPDX-License-Identifier: Apache-2.0
"""What a start may import before it is ready: the list in ``start_modules.txt``, and little beside what the libraries are made of.

Half of a start is imports, and each module costs some tenths of a millisecond; so one that is not there is a decision. It is imported
where it is first needed, or after everything answers (``stack.running.keep_up``), or it comes into the list with its reason in the
commit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack_process import ROOT, environment

LIST = Path(__file__).with_name("start_modules.txt")
OURS = ("ca", "client", "oidc_dev", "sigcore", "stack", "tlog", "tsa")
BESIDE = (
    "_ctypes",
    "cryptography.hazmat.backends",
    "cryptography.hazmat.bindings.openssl",
    "ctypes",
    "hmac",
    "resource",
    "secrets",
)
"""What the libraries below do not import, or for the first Ed25519 key only; with all that is in it."""

LIBRARIES = """
import argparse, json, sys
from stack.quick_import import import_server
import_server()
import orjson, uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives import serialization
print(json.dumps(sorted(sys.modules)))
"""

START = """
import json, os, signal, sys
ready, found = sys.argv[1:]

def heard(event, arguments):
    if event == "os.rename" and arguments[1] == ready:
        with open(found, "w") as file:
            json.dump(sorted(sys.modules), file)
        os.kill(os.getpid(), signal.SIGTERM)

sys.argv = ["sigbox", "up", "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", ready]
from stack.cli import main
sys.addaudithook(heard)
sys.exit(main())
"""


def run(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", *command],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of a plain ephemeral stack at the moment when its ready file appears."""
    folder = tmp_path_factory.mktemp("start")
    run(START, str(folder / "ready.json"), str(folder / "modules.json"))
    return set(json.loads((folder / "modules.json").read_text()))


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in OURS


def test_a_start_imports_those_of_our_modules_that_are_on_the_list(imported: set[str]):
    listed = LIST.read_text().splitlines()[1:]
    assert listed == sorted(set(listed))
    assert sorted(name for name in imported if is_ours(name)) == listed


def test_a_start_imports_nothing_else_beside_its_libraries(imported: set[str]):
    libraries = set(json.loads(run(LIBRARIES)))
    more = {name for name in imported - libraries if not is_ours(name)}
    assert {name for name in more if not f"{name}.".startswith(tuple(f"{one}." for one in BESIDE))} == set()
