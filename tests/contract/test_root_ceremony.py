# SPDX-License-Identifier: Apache-2.0
"""Three people take over the root of a stack that serves, two of them sign, and the stack goes on without a root key of its own.

The clock of the stack and of its clients is turned (``clock.c``), so that what is still good was signed after the server's key had gone.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stack.config import Home
from stack.trust.lifetimes import LIFETIME
from stack.trust.state import load_state
from tests.faults.recorder import build
from tests.stack_process import RunningStack, environment, running_stack, sigbox

pytestmark = pytest.mark.slow

ALICE = "alice@example.com"
DAY = 86400
PEOPLE = ("alice", "bob", "carol")
NGCLIENT = """
import sys
from pathlib import Path
from tuf.ngclient import Updater
mirror, root, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
(folder / "metadata").mkdir(parents=True, exist_ok=True)
(folder / "targets").mkdir(exist_ok=True)
updater = Updater(str(folder / "metadata"), mirror + "/", str(folder / "targets"), mirror + "/targets/", bootstrap=root.read_bytes())
updater.refresh()
print(updater._trusted_set.root.version)
print(updater.download_target(updater.get_targetinfo("trusted_root.json")))
"""


def told(*arguments: str | Path, cwd: Path, code: int = 0, **more: str) -> str:
    done = sigbox(*arguments, cwd=cwd, **more)
    assert done.returncode == code, f"{arguments}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def people_sign(folder: Path, *names: str) -> list[Path]:
    """Each signs a copy of the proposed root, in a folder of his own where there is nothing but his key."""
    copies = []
    for name in names:
        copy = folder / name / "root.proposed.json"
        copy.write_bytes((folder / "root.proposed.json").read_bytes())
        own = ("--key", f"{name}.key", "--passphrase-file", folder / "passphrase")
        told("trust", "root", "sign", copy, *own, "--yes", cwd=copy.parent)
        copies.append(copy)
    return copies


def walks(stack: RunningStack, folder: Path) -> None:
    """A client that has nothing but 1.root.json: python-tuf's, and ours, which then verifies."""
    command = [sys.executable, "-c", NGCLIENT, stack.tuf_mirror, str(stack.tuf_root), str(folder / "ngclient")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    version, target = done.stdout.split()
    assert int(version) == load_state(Home(stack.data)).roles[0].version
    assert Path(target).read_bytes() == stack.trusted_root.read_bytes()
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    told("initialize", "--mirror", stack.tuf_mirror, "--root", stack.tuf_root, cwd=folder, **home)
    (folder / "file").write_text("a file\n")
    told("sign-blob", "file", "--identity-token", stack.token(ALICE), cwd=folder, **home)
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    assert "Verified OK" in told("verify-blob", "file", *who, cwd=folder, **home)


def test_three_people_take_over_the_root_and_the_stack_goes_on_without_a_root_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, clock = tmp_path / "data", tmp_path / "clock"
    (tmp_path / "passphrase").write_text("correct horse\n")
    for name in (*PEOPLE, "before", "fresh"):
        (tmp_path / name).mkdir()
    for name in PEOPLE:
        words = ("trust", "root", "key", f"{name}.key", "--passphrase-file", tmp_path / "passphrase")
        told(*words, cwd=tmp_path / name)
    with running_stack(tmp_path, "--data", data) as stack:
        walks(stack, tmp_path / "before")
        added = [word for name in PEOPLE for word in ("--add", tmp_path / name / f"{name}.pub")]
        change = (*added, "--remove", "server", "--threshold", "2")
        assert "needs 2 more of" in told("trust", "root", "propose", *change, "--data", data, cwd=tmp_path)
        copies = people_sign(tmp_path, "alice", "carol")
        told("trust", "root", "accept", copies[0], "--data", data, cwd=tmp_path, code=3)
        assert "root version 2 is published" in told("trust", "root", "accept", *copies, "--data", data, cwd=tmp_path)
        (data / "tuf" / "root.key").unlink()
        walks(stack, tmp_path / "before")  # the stack was not stopped
    clock.write_text(str(int(LIFETIME["timestamp"].total_seconds()) + DAY))
    monkeypatch.setenv("LD_PRELOAD", str(build(tmp_path, "clock")))
    monkeypatch.setenv("TURNED_CLOCK", str(clock))
    with running_stack(tmp_path, "--data", data) as stack:
        for name in ("fresh", "before"):
            walks(stack, tmp_path / name)
        told("trust", "refresh", "--data", data, cwd=tmp_path)
        refused = told("trust", "rotate", "tuf", "--data", data, cwd=tmp_path, code=3)
        assert "sigbox trust root propose --new-online-keys" in refused
        told("trust", "root", "propose", "--new-online-keys", "--data", data, cwd=tmp_path)
        told("trust", "root", "accept", *people_sign(tmp_path, "bob", "alice"), "--data", data, cwd=tmp_path)
        for name in ("fresh", "before"):
            walks(stack, tmp_path / name)
        checks = json.loads(told("doctor", "--no-sign", "--json", "--data", data, cwd=tmp_path))["checks"]
    assert {check["state"] for check in checks if check["name"] in ("contents", "metadata")} == {"ok"}
    record = json.loads(told("audit", "show", "--json", "--data", data, cwd=tmp_path))["entries"]
    accepted = [entry["state"] for entry in record if entry["action"] == "trust root accept"]
    assert accepted == ["begun", "failed", "begun", "done", "begun", "done"]
