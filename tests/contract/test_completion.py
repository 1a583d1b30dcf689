# SPDX-License-Identifier: Apache-2.0
"""What the shell offers: in a real bash; for zsh and fish, that every command and option is there."""

from __future__ import annotations

import subprocess

import pytest

from stack.cli.completion import read_words
from stack.cli.table import COMMANDS
from tests.stack_process import sigbox


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    done = sigbox("completion", "bash")
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("completion") / "sigbox.bash"
    path.write_text(done.stdout)
    return path


def offered(script, *words: str, cwd=None) -> list[str]:
    """What bash would offer for the last word."""
    typed = " ".join(f"'{word}'" for word in ("sigbox", *words))
    program = (
        f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _sigbox; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True, cwd=cwd, timeout=20)
    assert done.stderr == ""
    return [line for line in done.stdout.split("\n") if line]


def test_commands_are_offered_by_their_beginning(script):
    assert set(offered(script, "")) == {*COMMANDS, "--help"}
    assert set(offered(script, "verify-b")) == {"verify-blob", "verify-blob-attestation"}


def test_options_actions_and_values_are_those_of_the_command(script):
    assert "--certificate-identity" in offered(script, "verify-blob", "--cert")
    assert "--certificate-identity" not in offered(script, "up", "--")
    assert set(offered(script, "user", "")) >= {"add", "list", "remove", "passwd"}
    assert "--email" in offered(script, "user", "add", "--")
    assert offered(script, "up", "--log-format", "j") == ["json"]
    assert offered(script, "sign-blob", "--rekor-version", "") == ["1", "2"]


def test_elsewhere_files_are_offered(script, tmp_path):
    (tmp_path / "release.tar.gz").touch()
    assert offered(script, "sign-blob", "rel", cwd=tmp_path) == ["release.tar.gz"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_know_every_command_and_option(shell):
    text = sigbox("completion", shell).stdout
    for word in read_words():
        assert word.path[-1] in text
        for option in word.options:
            for name in option.names:
                assert name.lstrip("-") in text, (word.path, name)


def test_another_shell_is_a_usage_error():
    done = sigbox("completion", "tcsh")
    assert done.returncode == 2
    assert "tcsh" in done.stderr
