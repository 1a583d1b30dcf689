# SPDX-License-Identifier: Apache-2.0
"""`sigbox init` as a person meets it at a terminal, and `sigbox up` on what it made."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from stack.config import Home, load_settings
from tests.stack_process import running_stack, sigbox
from tests.terminal import in_terminal


def test_at_a_terminal_it_asks_six_questions_and_enter_takes_the_default(tmp_path: Path):
    code, screen = in_terminal(["init"], tmp_path, typed=b"\n" * 6)
    assert code == 0, screen
    assert screen.count("?") == 6
    assert "root fingerprint\n  sha256:" in screen
    settings = load_settings(Home(tmp_path / "sigbox-data"))
    assert (settings.url, settings.organization, settings.url_follows_listen) == (
        "http://localhost:7780",
        "sigbox localhost",
        True,
    )


def test_the_directory_is_not_asked_for_where_it_is_given(tmp_path: Path):
    for data, exported in ((["--data", "d"], {}), ([], {"SIGBOX_DATA": str(tmp_path / "e")})):
        code, screen = in_terminal(["init", *data], tmp_path, typed=b"\n" * 5, **exported)
        assert code == 0, screen
        assert screen.count("?") == 5


def test_a_wrong_answer_is_asked_for_again(tmp_path: Path):
    (tmp_path / "pass").write_text("correct horse\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    answers = (
        *("full", "d"),
        *("yes", "auto"),
        *("ftp://x", "http://sig.example", "https://sig.example"),
        *("A" * 41, "ACME"),
        *(
            "login.example,sigbox,corp.example",
            "https://login.example,sigbox",
            "https://login.example,sigbox,corp.example",
        ),
        *("nowhere", "pass"),
    )
    code, screen = in_terminal(["init"], tmp_path, typed="".join(f"{answer}\n" for answer in answers).encode())
    assert code == 0, screen
    for message in (
        "and not empty",
        "neither 'auto' nor two files",
        "expected http(s)://HOST",
        "expected https://HOST",
        "1 to 40 printable characters",
        "expected ISSUER,CLIENT_ID,MAIL-DOMAIN",
        "does not say for which mail domains",
        "the passphrase file nowhere does not exist",
    ):
        assert message in screen, message
    check_answered(tmp_path, screen)


def check_answered(folder: Path, screen: str) -> None:
    """What those six answers make, however they were given."""
    home = Home(folder / "d")
    settings = load_settings(home)
    assert (settings.url, settings.organization, settings.url_follows_listen) == ("https://sig.example", "ACME", False)
    (row,) = tomllib.loads(home.settings_file.read_text())["upstreams"]
    assert (row["issuer"], row["client_id"], row["domains"]) == ("https://login.example", "sigbox", ["corp.example"])
    assert "register there the redirect URI\n" in screen
    assert "https://sig.example/auth/upstream/company/callback" in screen
    assert f"sigbox up --data {home.path} --passphrase-file {folder}/pass --tls auto" in screen
    assert (
        f"{home.path}: one folder of keys for each role (ca, console, ct, oidc, rekor, rekor-v1, tls, tsa, tuf)"
        in screen
    )
    fingerprint = hashlib.sha256(home.tuf_root.read_bytes()).hexdigest()
    assert f"sha256:{fingerprint}" in screen
    secrets = [*home.path.glob("*/*.key")]
    assert all(b"ENCRYPTED" in key.read_bytes() for key in secrets)
    assert {key.parent.name for key in home.path.glob("*/tls.key")} == {
        "ca",
        "console",
        "ct",
        "oidc",
        "rekor",
        "tsa",
        "tuf",
    }
    assert home.tls_ca.exists()


def test_every_question_is_an_option_and_a_variable(tmp_path: Path):
    answers = {
        "data": "d",
        "tls": "auto",
        "url": "https://sig.example",
        "organization": "ACME",
        "login": "https://login.example,sigbox,corp.example",
        "passphrase_file": "pass",
    }
    options = [word for name, answer in answers.items() for word in (f"--{name.replace('_', '-')}", answer)]
    variables = {f"SIGBOX_{name.upper()}": answer for name, answer in answers.items()}
    for number, (words, exported) in enumerate(((options, {}), ([], variables))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "pass").write_text("correct horse\n")
        code, screen = in_terminal(["init", *words], folder, **exported)
        assert code == 0, screen
        assert "?" not in screen
        if words:
            check_answered(folder, screen)
        else:  # what the environment has, the next command finds there too
            assert "redirect URI" in screen
            assert load_settings(Home(folder / "d")).organization == "ACME"


def test_an_option_wins_over_its_variable_and_a_stack_that_is_there_reads_none(tmp_path: Path):
    exported = {"SIGBOX_ORGANIZATION": "Other", "SIGBOX_URL": "https://other.example"}
    done = sigbox("init", "--data", tmp_path / "d", "--organization", "ACME", **exported)
    assert done.returncode == 0, done.stderr
    settings = load_settings(Home(tmp_path / "d"))
    assert (settings.name, settings.url) == ("ACME", "https://other.example")
    again = sigbox("init", "--data", tmp_path / "d", SIGBOX_URL="https://third.example")
    assert again.returncode == 0
    assert "nothing was changed" in again.stdout


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
        (("--tls", "yes"), "neither 'auto' nor two files"),
        (("--tls", "auto", "--url", "http://h"), "the URL is http"),
        (("--tls", "auto", "--service", "ca=http://h"), "the URL is http"),
        (("--login", "https://h,id"), "for which mail domains"),
        (("--login", "h"), "expected ISSUER"),
        (("--login", "https://[,id,corp.example"), "expected ISSUER"),
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
    assert done.returncode == 2
    assert "holds no stack but other files, such as thesis.txt" in done.stderr


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
    with running_stack(tmp_path, "--data", data, "--passphrase-file", file, forked=False) as stack:
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


def test_a_script_reads_what_was_made_as_one_document(tmp_path: Path):
    first = sigbox("init", "--data", tmp_path / "d", "--json")
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    root = Path(made["tuf_root"]).read_bytes()
    assert (made["made"], made["url"], made["data"]) == (True, "http://localhost:7780", str(tmp_path / "d"))
    assert made["fingerprint"] == hashlib.sha256(root).hexdigest()
    again = json.loads(sigbox("init", "--data", tmp_path / "d", "--json").stdout)
    assert again == {**made, "made": False}
    signed = json.loads(sigbox("trust", "refresh", "--data", tmp_path / "d", "--json").stdout)["signed"]
    assert {row["role"] for row in signed} == {"targets", "snapshot", "timestamp"}


def test_a_failure_is_a_document_for_a_script_and_names_what_is_there(tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    done = sigbox("init", "--data", tmp_path / "full", "--json")
    assert done.returncode != 0
    failure = json.loads(done.stdout)
    assert failure["exitCode"] == done.returncode
    assert str(tmp_path / "full") in failure["error"]
