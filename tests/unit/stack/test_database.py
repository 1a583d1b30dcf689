# SPDX-License-Identifier: Apache-2.0
"""Which servers of a database's URL have to show who they are, and what the doctor says of the others."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigcore.errors import Unavailable
from stack import bootstrap, database
from stack.config import Home, Settings, load_settings, save_settings
from stack.doctor import here
from stack.doctor.finding import Warned
from tests.ports import free_port

FAR = "postgresql://sigbox@db.corp.example/sigbox"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGSSLMODE", "PGHOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        (FAR, "db.corp.example"),
        (f"{FAR}?sslmode=prefer", "db.corp.example"),
        (f"{FAR}?sslmode=require", "db.corp.example"),
        (f"{FAR}?sslmode=disable", "db.corp.example"),
        ("postgresql://sigbox@db1:5432,localhost,db2/sigbox", "db1, db2"),
        ("postgresql://sigbox@[2001:db8::1]:5432,[::1]/sigbox", "2001:db8::1"),
        ("postgresql://a@b@10.0.0.1/sigbox", "10.0.0.1"),
        ("postgresql:///sigbox?host=/run/postgresql,db1:5432", "db1"),
    ],
)
def test_a_server_elsewhere_that_proves_nothing_is_named(url: str, hosts: str):
    found = database.unproven(url)
    assert f"the database on {hosts} is reached with " in found
    assert "anybody on the way" in found


@pytest.mark.parametrize(
    "url",
    [
        f"{FAR}?sslmode=verify-full",
        f"{FAR}?passfile=/x&sslmode=verify-ca",
        "postgresql:///sigbox",
        "postgresql:///sigbox?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/sigbox",
        "postgresql://sigbox@localhost:5432/sigbox",
        "postgresql://sigbox@127.0.0.1,[::1]:5432/sigbox",
    ],
)
def test_a_server_that_proves_itself_or_is_on_this_machine_is_well(url: str):
    assert not database.unproven(url)


def test_the_variables_of_libpq_count_where_the_url_says_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGHOST", "db3")
    assert "on db3 is" in database.unproven("postgresql:///sigbox")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert not database.unproven("postgresql:///sigbox")
    assert not database.unproven(FAR)
    assert database.unproven(f"{FAR}?sslmode=prefer")


def test_a_start_says_it_in_its_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = replace(stack_in(tmp_path), database=FAR)
    with caplog.at_level(logging.WARNING, "sigbox"):
        database.shared_store(Home(tmp_path), settings, "rekor", tmp_path / "anchor" / "rekor.checkpoint")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the log rekor: the database on db.corp.example" in caplog.text
    assert "sslmode=verify-full" in caplog.text


async def test_the_doctor_warns_of_it_and_fails_where_the_server_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_settings(Home(tmp_path), replace(stack_in(tmp_path), database=FAR))
    look = here.Here(Home(tmp_path), datetime.now(UTC))

    async def answers(_url: str, _log: str) -> str:
        return "PostgreSQL 15.1, without TLS"

    monkeypatch.setattr(database, "look_at", answers)
    with pytest.raises(Warned, match=r"PostgreSQL 15\.1, without TLS; the database on db\.corp\.example") as warned:
        await here.database(look)
    assert "sslmode=verify-full" in warned.value.hint
    monkeypatch.undo()
    save_settings(
        Home(tmp_path), replace(load_settings(Home(tmp_path)), database=f"postgresql://x@127.0.0.1:{free_port()}/x")
    )
    with pytest.raises(Unavailable, match="cannot be reached"):
        await here.database(look)


def stack_in(folder: Path) -> Settings:
    url = "http://localhost:7780"
    return bootstrap.prepare(Home(folder), url=url, default_url=url, ephemeral=False, now=datetime.now(UTC), seed=None)
