# SPDX-License-Identifier: Apache-2.0
"""The README's first screen is what `sigbox env` prints, so it is as true as that; and it is one screen."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stack.clients.table import FIRST, guide
from stack.config import Home, Settings

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")
TOKEN = re.compile(r'"\$\(sigbox token [^)]*\)"')
SETTINGS = Settings("http://localhost:7780", datetime(2026, 1, 2, tzinfo=UTC), ephemeral=False, url_follows_listen=True)


def commands_of(block: str) -> list[str]:
    """The lines after a prompt, joined with those that continue them, without remarks."""
    joined = re.sub(r"\s*\\\n\s*", " ", block)
    return [re.sub(r"\s+# .*$", "", line) for line in re.findall(r"^\$ (.*)$", joined, re.MULTILINE)]


def block_after(text: str) -> list[str]:
    """The commands of the first block after ``text``."""
    return commands_of(README.split(text, 1)[1].split("```console\n")[1].split("```")[0])


@pytest.mark.parametrize("client", [client for client in FIRST if client != "gitsign"])
def test_the_lines_for_each_client_are_those_of_env(client):
    home = Home(Path("sigbox-data"))
    printed = [line for line in guide(client, home, SETTINGS).lines(everything=False) if not line.startswith("#")]
    assert block_after(f"\n**{client}**") == [TOKEN.sub('"$TOKEN"', line) for line in printed]


def test_the_lines_for_gitsign_are_those_of_env_or_come_from_it():
    home = Home(Path("sigbox-data"))
    printed = [TOKEN.sub('"$TOKEN"', line) for line in guide("gitsign", home, SETTINGS).lines(everything=False)]
    data, _, evaluate, *rest = block_after("\n**gitsign**")
    own = ("gitsign initialize", "export", "git config")
    assert rest == [line for line in printed if not line.startswith(("#", *own))]
    assert evaluate == f"""eval "$(sigbox env gitsign | grep -E '^({"|".join(own)})')\""""
    assert data == 'export SIGBOX_DATA="$PWD/sigbox-data"', "the repository is another folder"


def test_the_token_of_the_readme_is_that_of_env():
    [line] = [line for line in block_after("In another terminal") if "TOKEN" in line]
    assert line == 'export TOKEN="$(sigbox token --email alice@example.com)"'


def test_the_first_commands_are_targets_of_the_makefile():
    makefile = (Path(__file__).resolve().parent.parent / "Makefile").read_text("utf-8")
    for command in block_after("## Start"):
        assert re.search(rf"^{command.removeprefix('make ')}: ", makefile, re.MULTILINE), command


def test_what_a_newcomer_needs_stands_before_everything_else():
    first = README.split("\n## A stack of your own")[0]
    for needed in (
        "make demo",
        "make up",
        "cosign verify-blob",
        "sigstore-python",
        "sigstore-js",
        "gitsign",
        "sigbox env",
    ):
        assert needed in first
    assert len(first.splitlines()) <= 90


def test_the_japanese_readme_says_the_same_commands():
    japanese = (Path(__file__).resolve().parent.parent / "README.ja.md").read_text("utf-8")
    blocks = re.findall(r"```console\n(.*?)```", japanese, re.DOTALL)
    commands = [command for block in blocks for command in commands_of(block)]
    english = [
        command for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for command in commands_of(block)
    ]
    assert len(commands) > 15
    assert [command for command in commands if command not in english] == []
