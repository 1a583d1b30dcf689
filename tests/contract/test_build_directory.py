# SPDX-License-Identifier: Apache-2.0
"""`sigbox env maven`: what a build has published into a directory is signed by one line, and nothing else in it is."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

from tests.stack_process import SIGBOX, environment, running_stack, sigbox

PLACE = "org/example/rocket/1.0"
PUBLISHED = ("rocket-1.0.jar", "rocket-1.0-sources.jar", "rocket-1.0.pom", "rocket-1.0.module")
BESIDE = (
    "rocket-1.0.jar.asc",
    "rocket-1.0.jar.md5",
    "rocket-1.0.jar.sha1",
    "rocket-1.0.pom.sha512",
    "maven-metadata.xml",
)


def program(folder: Path) -> Path:
    """A folder for the search path, with this checkout's ``sigbox`` in it."""
    made = folder / "bin" / "sigbox"
    made.parent.mkdir()
    made.write_text(f'#!/bin/sh\nexec {shlex.join(SIGBOX)} "$@"\n')
    made.chmod(0o755)
    return made.parent


def test_the_printed_lines_sign_and_verify_what_a_build_publishes(tmp_path: Path):
    folder = tmp_path / "DIR" / PLACE
    folder.mkdir(parents=True)
    for name in (*PUBLISHED, *BESIDE):
        (folder / name).write_text(name)
    with running_stack(tmp_path, "--ephemeral") as stack:
        lines = json.loads(sigbox("env", "maven", "--data", stack.data, "--json").stdout)
        [sign, verify] = [step["command"] for step in lines["steps"]]
        surroundings = environment(**lines["environment"], HOME=str(tmp_path))
        surroundings["PATH"] = f"{program(tmp_path)}{os.pathsep}{surroundings.get('PATH', '')}"

        def run(line: str) -> subprocess.CompletedProcess[str]:
            given = ["bash", "-c", line]
            return subprocess.run(given, cwd=tmp_path, env=surroundings, capture_output=True, text=True, check=False)

        for _ in range(2):  # a second time bundles are there, and are not signed themselves
            done = run(sign)
            assert done.returncode == 0, done.stderr
        assert {path.name for path in folder.glob("*.sigstore.json")} == {f"{name}.sigstore.json" for name in PUBLISHED}
        done = run(verify)
        assert (done.returncode, done.stderr.count("Verified OK")) == (0, len(PUBLISHED)), done.stderr
        (folder / PUBLISHED[0]).write_text("changed")
        assert run(verify).returncode != 0
