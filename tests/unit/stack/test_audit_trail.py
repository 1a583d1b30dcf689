# SPDX-License-Identifier: Apache-2.0
"""The record of who did what: it is there before an action is done, says no secret, and shows whatever is done to it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from stack import audit_trail
from stack.cli import main
from stack.cli.table import COMMANDS
from stack.config import Home, load_settings
from tests.stack_process import sigbox

Database = sqlite3.Connection


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A stack with some history: an account, a machine that was refused, an issuer, a rotation."""
    folder = tmp_path_factory.mktemp("made")
    data = folder / "data"
    assert main(["init", "--data", str(data), "--yes"]) == 0
    (folder / "password").write_text("a long secret of Alice\n")
    at = ("--data", str(data))
    assert main(["user", "add", "--email", "alice@example.com", "--password-file", str(folder / "password"), *at]) == 0
    assert main(["client", "add", "CI", "--subject", "https://ci.example", *at]) != 0
    assert main(["issuer", "add", "https://i.example", "--kind", "email", *at]) == 0
    assert main(["trust", "refresh", *at]) == 0
    return Home(data)


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.path, tmp_path / "data"))


def shown(home: Home, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["audit", "show", "--json", "--data", str(home.path)]) == 0
    entries: list[dict[str, object]] = json.loads(capsys.readouterr().out)["entries"]
    return entries


# --- what is recorded -----------------------------------------------------------------------------------------
def test_it_says_who_did_what_on_what_and_how_it_ended(made: Home, capsys):
    first, *entries = shown(made, capsys)
    assert (first["action"], first["stackCreated"]) == (
        "begin this record",
        json.loads(json.dumps(load_settings(made).created.strftime("%Y-%m-%dT%H:%M:%SZ"))),
    )
    assert [(entry["action"], entry["object"], entry["state"]) for entry in entries] == [
        ("init", "the stack", "done"),
        ("user add", "alice@example.com", "begun"),
        ("user add", "alice@example.com", "done"),
        ("client add", "CI", "begun"),
        ("client add", "CI", "failed"),
        ("issuer add", "https://i.example", "begun"),
        ("issuer add", "https://i.example", "done"),
        ("trust refresh", "the stack", "begun"),
        ("trust refresh", "the stack", "done"),
    ]
    assert {entry["by"]["uid"] for entry in entries} == {os.getuid()}
    ids = [entry["id"] for entry in entries[1:]]
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == 4


def test_no_secret_is_in_it(made: Home):
    every = b"".join(path.read_bytes() for path in (made.path / "audit").iterdir())
    assert b"long secret" not in every
    assert b"alice@example.com" in every


def test_every_command_that_changes_a_stack_is_recorded():
    """A new action of these commands is either one that reads, or audited."""
    reading = {"list", "show", "rehearse", "test", "export", "import"}
    assert set(COMMANDS["trust"].audited) == {
        "refresh",
        "policy",
        "rotate",
        "request",
        "accept",
        "root propose",
        "root accept",
    }
    assert not reading & {action for command in COMMANDS.values() for action in command.audited}
    audited = {name for name, command in COMMANDS.items() if command.audited}
    assert audited == {"init", "restore", "user", "client", "issuer", "trust", "witness"}


def test_a_restored_stack_says_that_it_was_restored_and_goes_on_with_its_record(home: Home, tmp_path: Path, capsys):
    before = shown(home, capsys)
    archive, target = tmp_path / "archive", Home(tmp_path / "restored")
    assert main(["backup", str(archive), "--data", str(home.path)]) == 0
    assert main(["restore", str(archive), "--data", str(target.path)]) == 0
    *kept, last = shown(target, capsys)
    assert kept == before
    assert (last["action"], last["object"], last["state"]) == ("restore", str(archive), "done")


def test_reading_records_nothing(home: Home, capsys):
    before = shown(home, capsys)
    for command in (["user", "list"], ["client", "list"], ["issuer", "list"], ["trust", "show"], ["audit", "verify"]):
        assert main([*command, "--data", str(home.path)]) == 0
    assert shown(home, capsys) == before


@pytest.mark.parametrize("first", [False, True], ids=["later", "the first ones of all"])
def test_actions_at_the_same_time_wait_for_each_other(home: Home, first: bool, capsys):  # noqa: FBT001 - a case
    def add(number: int) -> int:
        return sigbox("client", "add", f"m{number}", "--subject", "https://ci.example", "--data", home.path).returncode

    before = 1 if first else len(shown(home, capsys))
    if first:
        shutil.rmtree(home.path / "audit")
        (home.path / "anchor" / "audit.checkpoint").unlink()
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(add, range(6))) == [0] * 6
    assert len(shown(home, capsys)) == before + 12


@pytest.mark.parametrize("name", ["x" * 100_000, "\udcff\n\x1b[31m", ""])
def test_whatever_it_is_done_to_can_be_recorded_and_shown(home: Home, name: str, capsys):
    assert main(["client", "add", name, "--subject", "https://ci.example", "--data", str(home.path)]) != 0
    assert shown(home, capsys)[-1]["state"] == "failed"
    assert main(["audit", "show", "--data", str(home.path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


# --- what cannot be recorded is not done ------------------------------------------------------------------------
def test_an_action_that_cannot_be_recorded_is_not_done(home: Home, capsys):
    shutil.rmtree(home.path / "audit")
    (home.path / "audit").write_text("in the way")
    assert main(["client", "add", "ci", "--subject", "https://ci.example", "--data", str(home.path)]) != 0
    error = capsys.readouterr().err
    assert "the action cannot be recorded" in error
    assert "hint:" in error
    assert main(["client", "list", "--json", "--data", str(home.path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"clients": []}


def test_keys_that_are_encrypted_need_the_passphrase_to_record(tmp_path: Path, capsys):
    secret, data = tmp_path / "secret", tmp_path / "data"
    secret.write_text("correct horse\n")
    assert main(["init", "--data", str(data), "--yes", "--passphrase-file", str(secret)]) == 0
    assert b"ENCRYPTED" in (data / "audit" / "log.key").read_bytes()
    command = ["client", "add", "ci", "--subject", "https://ci.example", "--data", str(data)]
    assert main(command) == 3
    assert "--passphrase-file" in capsys.readouterr().err
    assert main([*command, "--passphrase-file", str(secret)]) == 0
    assert main(["audit", "verify", "--data", str(data)]) == 0
    shutil.rmtree(data / "audit")
    (data / "anchor" / "audit.checkpoint").unlink()
    assert main(["client", "remove", "ci", "--data", str(data)]) == 3, "no key in the clear beside encrypted ones"


def test_an_action_that_was_done_and_could_not_be_recorded_says_both(home: Home, capsys, monkeypatch):
    record = audit_trail.record

    def fail_at_the_end(*arguments: object) -> None:
        if arguments[3] != audit_trail.BEGUN:
            raise audit_trail.Unavailable("the action cannot be recorded: the disk is full", "make room")
        record(*arguments)

    monkeypatch.setattr("stack.cli.audited.record", fail_at_the_end)
    assert main(["client", "add", "ci", "--subject", "https://ci.example", "--data", str(home.path)]) == 4
    assert "`client add` was done, but the action cannot be recorded" in capsys.readouterr().err


def test_a_folder_of_one_role_records_nothing_of_its_own(home: Home, capsys):
    shutil.rmtree(home.path / "audit")
    shutil.rmtree(home.path / "ca")
    assert main(["client", "add", "ci", "--subject", "https://ci.example", "--data", str(home.path)]) == 3
    assert "not the whole data directory" in capsys.readouterr().err


# --- tampering ---------------------------------------------------------------------------------------------------
def edit(database: Database) -> None:
    database.execute(
        "UPDATE entry SET leaf = CAST(replace(CAST(leaf AS TEXT), 'alice', 'malla') AS BLOB) WHERE idx = 2"
    )


def edit_without_trace(database: Database) -> None:
    """The same length, and the checksum of what the tree does not cover made to fit."""
    (leaf,) = database.execute("SELECT leaf FROM entry WHERE idx = 3").fetchone()
    database.execute("UPDATE entry SET leaf = ? WHERE idx = 3", (leaf.replace(b'"uid":', b'"uie":'),))


def delete(database: Database) -> None:
    database.execute("DELETE FROM entry WHERE idx = 4")


def delete_and_close_the_gap(database: Database) -> None:
    database.execute("DELETE FROM entry WHERE idx = 4")
    database.execute("UPDATE entry SET idx = idx - 1 WHERE idx > 4")
    database.execute("UPDATE head SET size = size - 1")


def reorder(database: Database) -> None:
    for before, after in ((2, -1), (5, 2), (-1, 5)):
        database.execute("UPDATE entry SET idx = ? WHERE idx = ?", (after, before))


def truncate(database: Database) -> None:
    database.execute("DELETE FROM entry WHERE idx >= 6")


def truncate_and_say_so(database: Database) -> None:
    database.execute("DELETE FROM entry WHERE idx >= 6")
    database.execute("UPDATE head SET size = 6")


def add(database: Database) -> None:
    database.execute(
        "INSERT INTO entry SELECT idx + 1, identity, guard, leaf, extra FROM entry ORDER BY idx DESC LIMIT 1"
    )
    database.execute("UPDATE head SET size = size + 1")


@pytest.mark.parametrize(
    "tamper",
    [edit, edit_without_trace, delete, delete_and_close_the_gap, reorder, truncate, truncate_and_say_so, add],
    ids=lambda tamper: tamper.__name__,
)
def test_whatever_is_done_to_it_is_found(home: Home, tamper: Callable[[Database], None], capsys):
    with closing(sqlite3.connect(home.path / "audit" / "log.db")) as database:
        before = database.execute("SELECT * FROM entry").fetchall()
        tamper(database)
        database.commit()
        assert database.execute("SELECT * FROM entry").fetchall() != before
    for command in ("verify", "show", "head"):
        assert main(["audit", command, "--data", str(home.path)]) == 1, tamper.__name__
    assert capsys.readouterr().out == ""


@pytest.fixture
def grown(home: Home, tmp_path: Path) -> tuple[Home, Path]:
    """A record with a history that is older than it, and a head that was kept of it as it is."""
    shutil.copytree(home.path / "audit", tmp_path / "older")
    shutil.copy(home.path / "anchor" / "audit.checkpoint", tmp_path / "older.checkpoint")
    assert main(["client", "add", "ci", "--subject", "https://ci.example", "--data", str(home.path)]) == 0
    head = tmp_path / "head"
    head.write_text(sigbox("audit", "head", "--data", home.path).stdout)
    return home, head


def put_older_back(home: Home, tmp_path: Path) -> None:
    shutil.rmtree(home.path / "audit")
    shutil.copytree(tmp_path / "older", home.path / "audit")


def test_an_older_record_is_no_match_for_its_anchor(grown: tuple[Home, Path], tmp_path: Path, capsys):
    put_older_back(grown[0], tmp_path)
    assert main(["audit", "verify", "--data", str(grown[0].path)]) == 1
    assert "a checkpoint of" in capsys.readouterr().err
    assert main(["client", "remove", "ci", "--data", str(grown[0].path)]) != 0


def test_an_older_record_with_an_older_anchor_is_no_match_for_a_head_that_was_kept(
    grown: tuple[Home, Path], tmp_path: Path, capsys
):
    home, head = grown
    at = ["--data", str(home.path)]
    assert main(["audit", "verify", "--head", str(head), *at]) == 0
    put_older_back(home, tmp_path)
    shutil.copy(tmp_path / "older.checkpoint", home.path / "anchor" / "audit.checkpoint")
    assert main(["audit", "verify", *at]) == 0, "on this machine alone nothing tells"
    assert main(["audit", "verify", "--head", str(head), *at]) == 1
    assert main(["client", "add", "other", "--subject", "https://ci.example", *at]) == 0
    assert main(["audit", "verify", "--head", str(head), *at]) == 1, "nor does it help to go on from there"


def test_a_record_that_is_begun_anew_is_no_match_for_a_head_that_was_kept(grown: tuple[Home, Path], capsys):
    home, head = grown
    shutil.rmtree(home.path / "audit")
    assert main(["audit", "show", "--data", str(home.path)]) == 1, "the anchor remembers it"
    (home.path / "anchor" / "audit.checkpoint").unlink()
    assert main(["client", "remove", "ci", "--data", str(home.path)]) == 0
    assert main(["audit", "verify", "--head", str(head), "--data", str(home.path)]) == 1


def test_a_record_without_its_anchor_is_not_added_to(home: Home, capsys):
    (home.path / "anchor" / "audit.checkpoint").unlink()
    for _ in range(2):
        assert main(["client", "add", "ci", "--subject", "https://ci.example", "--data", str(home.path)]) != 0
        assert "lost its anchor" in capsys.readouterr().err
    assert main(["audit", "verify", "--data", str(home.path)]) == 1


@pytest.mark.parametrize("content", [b"", b"\xff", b"sigbox\n1\n"])
def test_what_is_no_head_is_refused(made: Home, tmp_path: Path, content: bytes):
    head = tmp_path / "head"
    head.write_bytes(content)
    assert main(["audit", "verify", "--head", str(head), "--data", str(made.path)]) == 1
