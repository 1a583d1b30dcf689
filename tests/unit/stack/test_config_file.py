# SPDX-License-Identifier: Apache-2.0
"""What is not on the command line: the environment, then the file."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from sigcore.errors import Malformed
from stack.cli.up import add_arguments
from stack.config_file import fill


def options_of(environ: dict[str, str], text: str = "", *arguments: str, folder: Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    (folder / "stack.toml").write_text(text)
    options = parser.parse_args([*arguments, "--config", str(folder / "stack.toml")])
    fill(parser, options, environ)
    return options


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(tmp_path: Path):
    text = 'listen = "h:1"\nurl = "http://file"\nseed = 3\nephemeral = true\n'
    environ = {"SIGBOX_LISTEN": "h:2", "SIGBOX_URL": "http://variable"}
    options = options_of(environ, text, "--listen", "h:3", folder=tmp_path)
    found = (options.listen, options.url, options.seed, options.ephemeral)
    assert found == ("h:3", "http://variable", 3, True)


@pytest.mark.parametrize(
    "name", ["data", "listen", "tls", "workers", "quota", "ready-file", "log-format", "url", "seed"]
)
def test_an_empty_variable_is_as_one_that_is_not_set(tmp_path: Path, name):
    variable, option = f"SIGBOX_{name.replace('-', '_').upper()}", name.replace("-", "_")
    assert getattr(options_of({variable: ""}, folder=tmp_path), option) is None
    value = {"workers": 2, "quota": 2, "seed": 2, "log-format": "json"}.get(name, "h:1")
    options = options_of({variable: ""}, f"{name} = {value!r}", folder=tmp_path)
    assert str(getattr(options, option)) == str(value)


def test_to_a_switch_an_empty_variable_says_false(tmp_path: Path):
    assert options_of({"SIGBOX_EPHEMERAL": ""}, "ephemeral = true", folder=tmp_path).ephemeral is False
    assert options_of({}, "ephemeral = true", folder=tmp_path).ephemeral is True
    with pytest.raises(Malformed, match="SIGBOX_EPHEMERAL is 'perhaps', expected true or false"):
        options_of({"SIGBOX_EPHEMERAL": "perhaps"}, folder=tmp_path)


@pytest.mark.parametrize("text", ['seed = "x"', 'workers = ""', 'quota = "1e3"'])
def test_what_is_no_number_is_told_so_in_plain_words(tmp_path: Path, text):
    with pytest.raises(Malformed, match=r"in .* is .*: expected a whole number"):
        options_of({}, text, folder=tmp_path)


def test_no_text_at_all_is_no_directory(tmp_path: Path):
    with pytest.raises(argparse.ArgumentError, match="it is empty, expected a directory"):
        options_of({}, "", "--data", "", folder=tmp_path)
    assert options_of({}, "", "--data", ".", folder=tmp_path).data == Path()
    with pytest.raises(Malformed, match=r"data in .* is '': it is empty"):
        options_of({}, 'data = ""', folder=tmp_path)
