# SPDX-License-Identifier: Apache-2.0
"""Runs what `sigbox env CLIENT` prints, as somebody who pastes it into a shell: bash, a home of its own, nothing else set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stack_process import ROOT, RunningStack, sigbox

CONTENT = b"the content that its author meant\n"


def guide_for(stack: RunningStack, client: str) -> dict[str, Any]:
    """`sigbox env CLIENT --json`, parsed."""
    done = sigbox("env", client, "--data", stack.data, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def commands_of(guide: dict[str, Any], version: str = "") -> list[str]:
    """The commands in order. Left out are those about container images, which need a registry, and of another version.

    Of a ``version`` are the lines that trust, and those that are for that version alone; without one, the lines for no
    version in particular.
    """
    steps = [s for s in guide["steps"] if s["version"] == version or (version and s["purpose"] == "trust")]
    return [step["command"] for step in steps if "IMAGE" not in step["command"]]


class Shell:
    """A shell of a user who has ``tools`` (folders for PATH) and our `sigbox`; FILE is a file that he has, PREDICATE.json a statement about it."""

    def __init__(self, folder: Path, *tools: Path, **extra: str) -> None:
        self.folder = folder
        self.artifact = folder / "release.txt"
        self.artifact.write_bytes(CONTENT)
        (folder / "PREDICATE.json").write_text('{"buildDefinition": {}, "runDetails": {}}')
        programs = folder / "bin"
        programs.mkdir()
        ours = programs / "sigbox"
        ours.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m stack.cli "$@"\n')
        ours.chmod(0o755)
        self.environment = {
            "PATH": os.pathsep.join(map(str, (programs, *tools, "/usr/bin", "/bin"))),
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "localhost,127.0.0.1",
            **{name: str(folder / name) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")},
            **extra,
        }

    def run(self, command: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """One line, FILE filled in."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command.replace("FILE", self.artifact.name)],
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def succeed(self, command: str, environment: dict[str, str] | None = None) -> str:
        """The same; it must end with 0. The answer is everything that it printed."""
        done = self.run(command, environment)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def follow(stack: RunningStack, client: str, shell: Shell, version: str = "") -> list[str]:
    """Run every line for ``client`` in order; then change the file: the verification that passed must now fail."""
    guide = guide_for(stack, client)
    commands = commands_of(guide, version)
    for command in commands:
        shell.succeed(command, guide["environment"])
    verify = next(s["command"] for s in guide["steps"] if s["purpose"] == "verify" and s["version"] == version)
    shell.artifact.write_bytes(CONTENT + b"changed")
    changed = shell.run(verify, guide["environment"])
    if client != "sigstore-js":  # its attestation carries the content; the file is not asked for
        assert changed.returncode != 0, f"{verify} took a changed file:\n{changed.stdout}{changed.stderr}"
    shell.artifact.write_bytes(CONTENT)
    return commands
