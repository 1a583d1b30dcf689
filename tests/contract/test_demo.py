# SPDX-License-Identifier: Apache-2.0
"""`sigbox demo` as a newcomer sees it: in a pipe, in terminals of two widths, and with the files kept."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from tests.client_lines import Shell
from tests.stack_process import SIGBOX, environment, sigbox

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def in_terminal(columns: int, folder: Path, **extra: str) -> tuple[int, str]:
    """Run the demo on a pseudo-terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    set_here = {name: value for name, value in environment(**extra).items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*SIGBOX, "demo"], cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=set_here, close_fds=True
    )
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:
        pass  # Linux says EIO when the other side has closed
    finally:
        os.close(ours)
    return process.wait(60), text.decode().replace("\r\n", "\n")


def test_in_a_pipe_the_story_is_plain_text_and_ends_well(tmp_path):
    done = sigbox("demo", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    for needed in (
        "Console: http://localhost:",
        "sha256:",
        "Verified OK",
        "REFUSED",
        "Trusted:",
        "bytes",
        "try: openssl",
    ):
        assert needed in done.stdout
    assert [title[0] for title in re.findall(r"^(\d)\. .*$", done.stdout, re.MULTILINE)] == list("123456")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [80, 120])
def test_in_a_terminal_it_has_colours_and_fits(columns, tmp_path):
    code, text = in_terminal(columns, tmp_path)
    assert code == 0, text
    assert ESCAPE.search(text)
    lines = ESCAPE.sub("", text).splitlines()
    wide = [line for line in lines if len(line) > columns and not re.search(r"\S{60}", line)]
    assert not wide
    assert max(map(len, lines)) > 70


def test_no_color_is_respected(tmp_path):
    code, text = in_terminal(100, tmp_path, NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in text


def test_what_is_kept_can_be_looked_at_and_verified_after_the_stack_has_gone(tmp_path):
    kept = tmp_path / "kept"
    done = sigbox("demo", "--keep", kept)
    assert done.returncode == 0, done.stderr
    told = done.stdout.replace(" \\\n", " ")
    shell = Shell(tmp_path)
    shell.folder = kept
    tries = [line for line in re.findall(r"^\s+try: (.*)$", told, re.MULTILINE) if "..." not in line]
    assert len(tries) >= 5
    for line in tries:
        shell.succeed(line)
    verify = re.findall(r"^\s+\$ (sigbox verify-blob .*)$", told, re.MULTILINE)
    assert len(verify) == 2
    assert "Verified OK" in shell.succeed(verify[0], {"SIGBOX_TRUST_CONFIG": "trust_config.json"})
    assert (kept / "token").stat().st_mode & 0o777 == 0o600
    again = sigbox("demo", "--keep", kept)
    assert again.returncode == 3
    assert "exists already" in again.stderr
