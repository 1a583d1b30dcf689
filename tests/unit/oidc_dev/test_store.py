# SPDX-License-Identifier: Apache-2.0
"""One contract for both stores, and what only a file can do."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from oidc_dev import account_file
from oidc_dev.accounts import Account
from oidc_dev.machines import SqliteMachines
from oidc_dev.mailbox import parse_email
from oidc_dev.store import MemoryAccounts, SqliteAccounts
from sigcore.errors import Malformed, NotFound, Refused, Unavailable

CREATED = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def account(email: str, password: str = "$argon2id$1", *, verified: bool = True) -> Account:
    return Account(email, password, verified, CREATED)


@pytest.fixture(params=["memory", "sqlite"])
def accounts(request, tmp_path):
    return MemoryAccounts() if request.param == "memory" else SqliteAccounts(tmp_path / "accounts.db")


def test_an_empty_store_knows_nobody(accounts):
    assert accounts.find("alice@example.com") is None
    assert accounts.list() == ()
    for call in (lambda: accounts.remove("a@b.c"), lambda: accounts.set_password("a@b.c", "x")):
        with pytest.raises(NotFound, match=r"a@b\.c"):
            call()


def test_what_is_added_is_found_whatever_the_capitals(accounts):
    alice, bob = account("Alice@example.com"), account("bob@example.com", verified=False)
    accounts.add(bob)
    accounts.add(alice)
    assert accounts.find("aLICE@EXAMPLE.com") == alice
    assert accounts.list() == (alice, bob)


def test_a_second_account_of_one_email_is_refused(accounts):
    accounts.add(account("alice@example.com"))
    with pytest.raises(Refused, match="already"):
        accounts.add(account("ALICE@example.com", "other"))
    assert accounts.find("alice@example.com").password == "$argon2id$1"


def test_a_password_changes_and_nothing_else(accounts):
    accounts.add(account("alice@example.com"))
    assert accounts.set_password("Alice@Example.com", "new") == account("alice@example.com", "new")
    assert accounts.find("alice@example.com") == account("alice@example.com", "new")


def test_a_password_that_was_changed_meanwhile_is_not_overwritten(accounts):
    accounts.add(account("alice@example.com", "old"))
    assert accounts.set_password("alice@example.com", "dearer", was="old").password == "dearer"
    accounts.set_password("alice@example.com", "by the operator")
    with pytest.raises(NotFound):
        accounts.set_password("alice@example.com", "dearer", was="old")
    assert accounts.find("alice@example.com").password == "by the operator"


def test_what_is_removed_is_gone(accounts):
    accounts.add(account("alice@example.com"))
    assert accounts.remove("ALICE@example.com").email == "alice@example.com"
    assert accounts.list() == ()


# --- the file ----------------------------------------------------------------------------------------------
def test_reading_makes_no_file(tmp_path):
    SqliteAccounts(tmp_path / "accounts.db").list()
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_its_owners_alone_and_stands_alone(tmp_path):
    path = tmp_path / "accounts.db"
    before = os.umask(0)
    try:
        SqliteAccounts(path).add(account("alice@example.com"))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_uid == tmp_path.stat().st_uid
    assert list(tmp_path.iterdir()) == [path]


def test_another_reader_sees_an_account_at_once(tmp_path):
    reader = SqliteAccounts(tmp_path / "with space?#%" / "accounts.db")
    reader.path.parent.mkdir()
    assert reader.find("alice@example.com") is None
    SqliteAccounts(reader.path).add(account("alice@example.com"))
    assert reader.find("alice@example.com") is not None


def test_writers_at_one_time_lose_nothing(tmp_path):
    def add(i: int) -> None:
        SqliteAccounts(tmp_path / "accounts.db").add(account(f"u{i}@example.com"))

    threads = [threading.Thread(target=add, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(SqliteAccounts(tmp_path / "accounts.db").list()) == 12


def test_a_file_that_is_no_database_is_said_to_be_so(tmp_path):
    path = tmp_path / "accounts.db"
    path.write_bytes(b"no database " * 100)
    for call in (lambda: SqliteAccounts(path).list(), lambda: SqliteAccounts(path).add(account("a@b.c"))):
        with pytest.raises(Unavailable, match=r"accounts\.db"):
            call()


def test_a_newer_format_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "accounts.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 3")
    database.close()
    with pytest.raises(Refused, match="format 3"):
        SqliteAccounts(path).add(account("a@b.c"))


def test_a_file_that_is_being_made_holds_nobody(tmp_path):
    (tmp_path / "accounts.db").touch()
    assert SqliteAccounts(tmp_path / "accounts.db").list() == ()


@pytest.mark.parametrize(
    "email", ["", "alice", "@example.com", "a@", "a b@example.com", "a@b@c", "<b>@example.com", "a@exa_mple.com",
              "\u00e9@example.com", "a@1.2.3.4", "a@" + "b" * 300, "a@b\n", "'or 1=1--"]
)  # fmt: skip
def test_what_no_certificate_could_hold_is_no_email(email):
    with pytest.raises(Malformed, match="email"):
        parse_email(email)


@pytest.mark.parametrize("email", ["alice@example.com", "a@b", "first.last+tag@sub.example.co", "o'neil@example.com"])
def test_a_plain_mailbox_is_taken_as_it_is(email):
    assert parse_email(email) == email


def test_an_account_is_locked_out_and_let_in_again(accounts):
    accounts.add(account("alice@example.com"))
    assert accounts.set_disabled("ALICE@example.com", disabled=True).disabled
    assert accounts.find("alice@example.com").disabled
    assert not accounts.set_disabled("alice@example.com", disabled=False).disabled
    assert accounts.find("alice@example.com") == account("alice@example.com")


def test_a_time_step_is_spent_once_and_a_new_secret_begins_anew(accounts):
    accounts.add(account("alice@example.com"))
    assert accounts.set_one_time("alice@example.com", b"sealed").one_time == b"sealed"
    assert accounts.last_step("alice@example.com") == 0
    assert [accounts.use_step("Alice@example.com", step) for step in (7, 7, 6, 8)] == [True, False, False, True]
    assert accounts.last_step("ALICE@example.com") == 8
    accounts.set_one_time("alice@example.com", b"")
    assert accounts.last_step("alice@example.com") == 0


def test_changes_to_nobody_are_said(accounts):
    for call in (lambda: accounts.set_disabled("a@b.c", disabled=True), lambda: accounts.set_one_time("a@b.c", b"")):
        with pytest.raises(NotFound, match=r"a@b\.c"):
            call()


def test_one_step_and_many_logins_at_one_time_are_one_login(tmp_path):
    path, found = tmp_path / "accounts.db", []
    SqliteAccounts(path).add(account("alice@example.com"))
    work = [
        threading.Thread(target=lambda: found.append(SqliteAccounts(path).use_step("alice@example.com", 5)))
        for _ in range(12)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(found) == [False] * 11 + [True]


# --- a file of the first format --------------------------------------------------------------------------------
FIRST = """
CREATE TABLE account (key TEXT PRIMARY KEY, email TEXT NOT NULL, password TEXT NOT NULL,
 verified INTEGER NOT NULL, created TEXT NOT NULL) STRICT;
INSERT INTO account VALUES ('alice@example.com', 'Alice@example.com', '$argon2id$1', 1, '2026-11-23T12:00:00Z');
PRAGMA user_version = 1;
"""


@pytest.mark.parametrize(
    "first",
    [
        lambda accounts: accounts.find("alice@example.com"),
        lambda accounts: accounts.list(),
        lambda accounts: accounts.set_disabled("alice@example.com", disabled=False),
        lambda accounts: accounts.last_step("alice@example.com"),
    ],
)
def test_accounts_of_the_first_format_are_brought_to_ours_f18(tmp_path, first):
    path = tmp_path / "accounts.db"
    with sqlite3.connect(path) as database:
        database.executescript(FIRST)
    database.close()
    accounts = SqliteAccounts(path)
    first(accounts)
    assert accounts.list() == (account("Alice@example.com"),)
    assert accounts.use_step("alice@example.com", 1)
    assert SqliteMachines(path).list() == ()


def test_a_migration_that_is_cut_leaves_the_first_format_f18(tmp_path, monkeypatch):
    path = tmp_path / "accounts.db"
    with sqlite3.connect(path) as database:
        database.executescript(FIRST)
    database.close()
    good = account_file._STEPS
    for cut in range(len(good[1])):
        broken = (good[0], (*good[1][:cut], "SELECT * FROM nowhere"))
        monkeypatch.setattr(account_file, "_STEPS", broken)
        with pytest.raises(Unavailable):
            SqliteAccounts(path).list()
    monkeypatch.setattr(account_file, "_STEPS", good)
    assert SqliteAccounts(path).list() == (account("Alice@example.com"),)
