# SPDX-License-Identifier: Apache-2.0
"""`sigbox demo` as a newcomer sees it: in a pipe, in terminals of two widths, and with the files kept."""

from __future__ import annotations

import re

import pytest

from tests.client_lines import Shell
from tests.stack_process import sigbox
from tests.terminal import in_terminal

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


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
    code, text = in_terminal(["demo"], tmp_path, columns=columns)
    assert code == 0, text
    assert ESCAPE.search(text)
    lines = ESCAPE.sub("", text).splitlines()
    wide = [line for line in lines if len(line) > columns and not re.search(r"\S{60}", line)]
    assert not wide
    assert max(map(len, lines)) > 70


def test_no_color_is_respected(tmp_path):
    code, text = in_terminal(["demo"], tmp_path, NO_COLOR="1")
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
    assert again.returncode == 2
    assert "exists already" in again.stderr
