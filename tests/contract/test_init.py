# SPDX-License-Identifier: Apache-2.0
"""`sigbox init` as a person meets it at a terminal, and `sigbox up` on what it made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stack.config import Home, load_settings
from tests.stack_process import running_stack, sigbox
from tests.terminal import in_terminal


def test_at_a_terminal_it_asks_three_questions_and_enter_takes_the_default(tmp_path: Path):
    code, screen = in_terminal(["init", "--data", "d"], tmp_path, typed=b"\n\n\n")
    assert code == 0, screen
    assert screen.count("?") == 3
    assert "root fingerprint\n  sha256:" in screen
    settings = load_settings(Home(tmp_path / "d"))
    assert (settings.url, settings.organization, settings.url_follows_listen) == (
        "http://localhost:7780",
        "sigbox localhost",
        True,
    )


def test_a_wrong_answer_is_asked_for_again(tmp_path: Path):
    (tmp_path / "pass").write_text("correct horse\n")
    typed = b"ftp://x\nhttps://sig.example\nACME\nnowhere\npass\n"
    code, screen = in_terminal(["init", "--data", "d"], tmp_path, typed=typed)
    assert code == 0, screen
    assert "expected http(s)://HOST" in screen
    assert "the passphrase file nowhere does not exist" in screen
    assert f"sigbox up --data {tmp_path}/d --passphrase-file {tmp_path}/pass" in screen
    settings = load_settings(Home(tmp_path / "d"))
    assert (settings.url, settings.organization, settings.url_follows_listen) == ("https://sig.example", "ACME", False)


def test_questions_that_nobody_answers_make_nothing(tmp_path: Path):
    code, screen = in_terminal(["init", "--data", "d"], tmp_path, typed=b"\x04")
    assert code == 3, screen
    assert "--yes" in screen
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("option", [["--yes"], ["--url", "https://sig.example"], ["--organization", "ACME"]])
def test_with_options_nothing_is_asked_even_at_a_terminal(tmp_path: Path, option):
    code, screen = in_terminal(["init", "--data", "d", *option], tmp_path)
    assert code == 0, screen
    assert "?" not in screen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--url", "https://h/path"), "more than a host"),
        (("--organization", "a\nb"), "printable"),
        (("--passphrase-file", "none"), "does not exist"),
    ],
)
def test_options_that_cannot_be_used_make_nothing(tmp_path: Path, options, message):
    done = sigbox("init", "--data", "d", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("precious")
    done = sigbox("init", "--yes", "--data", tmp_path)
    assert done.returncode == 3
    assert "thesis.txt" in done.stderr


def test_up_serves_what_init_made_with_its_passphrase_and_not_without(tmp_path: Path):
    data, file = tmp_path / "d", tmp_path / "pass"
    file.write_text("correct horse\n")
    done = sigbox("init", "--data", data, "--organization", "ACME", "--passphrase-file", file)
    assert done.returncode == 0, done.stderr
    root = (data / "public" / "tuf" / "1.root.json").read_bytes()
    without = sigbox("up", "--data", data, "--listen", "127.0.0.1:0")
    assert without.returncode == 3
    assert "is encrypted" in without.stderr
    assert "--passphrase-file" in without.stderr
    with running_stack(tmp_path, "--data", data, "--passphrase-file", file) as stack:
        assert stack.tuf_root.read_bytes() == root
        token = sigbox("token", "--data", data, "--email", "a@example.com", "--passphrase-file", file).stdout.strip()
        (tmp_path / "f").write_text("content")
        trust = ("--trust-config", stack.trust_config)
        signed = sigbox("sign-blob", "f", "--identity-token", token, *trust, cwd=tmp_path)
        assert signed.returncode == 0, signed.stderr
        shown = json.loads(sigbox("trust", "show", "--data", data, "--json").stdout)
        assert shown["url"] == stack.url
        started = Path(f"/proc/{stack.process.pid}/environ").read_bytes()
        assert b"correct horse" not in started + Path(f"/proc/{stack.process.pid}/cmdline").read_bytes()
