# SPDX-License-Identifier: Apache-2.0
"""Tables of the settings file about one role: what is taken, what is refused, and that they stay when the file is written anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigcore.errors import Malformed
from stack.config import Home, Settings, load_settings, save_settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    created = datetime(2026, 1, 2, tzinfo=UTC)
    save_settings(home, Settings("http://localhost:7780", created, ephemeral=False, url_follows_listen=False))
    return home


def write(home: Home, text: str) -> None:
    with home.settings_file.open("a", encoding="utf-8") as file:
        file.write(text)


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("10m", 600), ("30m", 1800), ("60s", 60), ("90s", 90)])
def test_a_lifetime_is_minutes_or_seconds_and_stays_when_the_file_is_written_anew(home, text, seconds):
    assert load_settings(home).certificate_lifetime_s == 600
    write(home, f'[ca]\ncertificate_lifetime = "{text}"\n')
    settings = load_settings(home)
    assert settings.certificate_lifetime_s == seconds
    save_settings(home, replace(settings, url="http://localhost:7781"))
    assert load_settings(home).certificate_lifetime_s == seconds


@pytest.mark.parametrize(
    "value",
    [
        '"0m"',
        '"59s"',
        '"31m"',
        '"1801s"',
        '"1h"',
        '"10"',
        "10",
        '"10 m"',
        '"-5m"',
        '"010m"',
        '"\u0661\u0660m"',
        '"99999m"',
        "true",
    ],
)
def test_what_nobody_can_mean_is_no_lifetime(home, value):
    write(home, f"[ca]\ncertificate_lifetime = {value}\n")
    with pytest.raises(Malformed, match="expected one minute to thirty"):
        load_settings(home)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[ca]\nlifetime = '10m'\n", r"\[ca\] has the unknown member 'lifetime'"),
        ("[[ca]]\ncertificate_lifetime = '10m'\n", "ca is .*, expected a table"),
    ],
)
def test_a_table_of_another_form_is_refused(home, text, message):
    write(home, text)
    with pytest.raises(Malformed, match=message):
        load_settings(home)


def test_the_kinds_of_entries_are_all_or_those_that_are_listed(home):
    assert load_settings(home).entry_types == ()
    write(home, '[log]\nentry_types = ["dsse", "hashedrekord", "dsse"]\n')
    assert load_settings(home).entry_types == ("hashedrekord", "dsse")


@pytest.mark.parametrize("value", ["[]", '"dsse"', '["helm"]', '["dsse", 1]', "true", '[["dsse"]]', '["DSSE"]', "[{}]"])
def test_what_is_no_list_of_kinds_is_refused(home, value):
    write(home, f"[log]\nentry_types = {value}\n")
    with pytest.raises(Malformed, match="expected a list of kinds"):
        load_settings(home)


def test_a_synchronised_clock_is_asked_for_by_true_alone(home):
    assert load_settings(home).require_synchronised_clock is False
    write(home, "[tsa]\nrequire_synchronised_clock = true\n")
    assert load_settings(home).require_synchronised_clock is True


def test_what_is_neither_true_nor_false_is_refused(home):
    write(home, '[tsa]\nrequire_synchronised_clock = "true"\n')
    with pytest.raises(Malformed, match="expected true or false"):
        load_settings(home)
