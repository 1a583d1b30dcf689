# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sigcore.errors import Malformed, NotFound, Refused
from stack.config import Home, Settings, home_at, load_settings, parse_database, parse_listen, parse_url, save_settings

SETTINGS = Settings("http://localhost:7780", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), False, True)


def test_settings_survive_the_disk(tmp_path: Path):
    save_settings(Home(tmp_path), SETTINGS)
    assert load_settings(Home(tmp_path)) == SETTINGS


@pytest.mark.parametrize("kind", ["hashedrekord", "dsse"])
def test_the_kind_of_envelopes_in_rekor_v2_survives_the_disk(tmp_path: Path, kind):
    settings = replace(SETTINGS, rekor_v2_dsse=kind)
    save_settings(Home(tmp_path), settings)
    assert load_settings(Home(tmp_path)) == settings


@pytest.mark.parametrize("value", ['"intoto"', '""', "5"])
def test_another_kind_of_envelopes_is_refused(tmp_path: Path, value):
    home = Home(tmp_path)
    save_settings(home, SETTINGS)
    home.settings_file.write_text(home.settings_file.read_text() + f"rekor_v2_dsse = {value}\n")
    with pytest.raises(Malformed, match=r"rekor_v2_dsse is .* \(expected hashedrekord or dsse\)"):
        load_settings(home)


def test_an_empty_directory_holds_no_stack(tmp_path: Path):
    with pytest.raises(NotFound, match="holds no stack"):
        load_settings(Home(tmp_path))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (("format = 1", "format = 2"), Refused, "has layout 2"),
        (("http://localhost:7780", "ftp://localhost"), Malformed, "expected http"),
        (("2026-01-02T", "2026-13-02T"), Malformed, "no moment of the calendar"),
        (('url = "', "url = "), Malformed, "cannot be read"),
        (("ephemeral = false", "other = false"), Malformed, "cannot be read"),
    ],
)
def test_damaged_settings_are_refused_with_the_place(tmp_path: Path, change, kind, message):
    home = Home(tmp_path)
    save_settings(home, SETTINGS)
    home.settings_file.write_text(home.settings_file.read_text().replace(*change))
    with pytest.raises(kind, match=message):
        load_settings(home)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("format = 99\nnew = true\n", Refused, "has layout 99, this version knows 1"),  # of another shape altogether
        ('format = "1"\n', Malformed, "has the format '1', expected 1"),
        ("format = true\n", Malformed, "has the format True"),
        ("format = 0\n", Malformed, "has the format 0"),
        ("", Malformed, "sigbox.toml cannot be read: it has no format"),
        ("format = 1\n", Malformed, "sigbox.toml cannot be read: it has no url"),
    ],
)
def test_the_format_is_judged_before_what_it_says_about(tmp_path: Path, text, kind, message):
    home = Home(tmp_path)
    home.settings_file.write_text(text)
    with pytest.raises(kind) as caught:
        load_settings(home)
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["HTTP://localhost:1", "http://LOCALHOST:1", "http://Sigstore.corp.example"])
def test_capitals_in_a_url_are_named_as_what_they_are(text):
    with pytest.raises(Malformed, match="has capitals"):
        parse_url(text)


def test_a_data_directory_whose_name_is_no_text_is_refused(tmp_path: Path, monkeypatch):
    for odd in (tmp_path / "b\udcff", str(tmp_path / "b\udcff")):
        with pytest.raises(Malformed, match=r"data directory .* is not UTF-8"):
            home_at(odd)
    assert home_at(tmp_path / "\u00e9 \u65e5").path == tmp_path / "\u00e9 \u65e5"
    monkeypatch.setenv("SIGBOX_DATA", "b\udcff")
    with pytest.raises(Malformed, match="is not UTF-8"):
        home_at(None)
    monkeypatch.setenv("SIGBOX_DATA", "")
    assert home_at(None).path == Path("sigbox-data").absolute()


def test_names_follow_from_the_url():
    assert SETTINGS.issuer == "http://localhost:7780/auth"
    assert SETTINGS.host == "localhost"
    assert "UNTRUSTED" not in SETTINGS.organization
    assert "UNTRUSTED" in Settings(SETTINGS.url, SETTINGS.created, True, True).organization


@pytest.mark.parametrize(("text", "value"), [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:7780", ("::1", 7780))])
def test_listening_addresses(text, value):
    assert parse_listen(text) == value


@pytest.mark.parametrize("text", ["7780", ":7780", "localhost", "localhost:", "localhost:x", "localhost:65536", "h:-1"])
def test_bad_listening_addresses(text):
    with pytest.raises(Malformed, match="HOST:PORT"):
        parse_listen(text)


def test_a_trailing_slash_is_dropped():
    assert parse_url("https://sigstore.corp.example/") == "https://sigstore.corp.example"


@pytest.mark.parametrize(
    "text",
    [
        "localhost:7780",
        "http://",
        "http://localhost:77[80",
        "http://localhost:x",
        "http://localhost:0",
        "http://localhost:65536",
        "http://h/path",
        "http://h?q",
        "http://u:p@h",
        "http://h h",
        "http://H_/",
        "//h",
        "http://h/#x",
        "http://[::1",
        "http://[1.2.3.4]:7780",
    ],
)
def test_urls_with_more_than_an_origin_are_refused(text):
    with pytest.raises(Malformed, match="URL"):
        parse_url(text)


@pytest.mark.parametrize("text", ["http://[::1]:7780", "https://[2001:db8::1]", "http://[::ffff:1.2.3.4]/"])
def test_an_ipv6_address_is_told_what_to_write_instead(text):
    with pytest.raises(Malformed, match="IPv6 address") as error:
        parse_url(text)
    assert "name" in error.value.hint


@pytest.mark.parametrize(
    "rest",
    [
        "user:secret@db/sigbox",
        "user:sec/ret@db/sigbox",
        "user:sec?ret@db/sigbox",
        "user:@db/sigbox",
        "db/sigbox?password=secret",
        "db/sigbox?sslmode=require&PASSWORD=secret",
        "db/sigbox?%70assword=secret",
        "db/sigbox?sslkey=/etc/key&sslpassword=secret",
    ],
)
def test_a_password_anywhere_in_the_url_of_a_database_is_refused_and_not_repeated(rest):
    with pytest.raises(Malformed, match="has a password in it") as malformed:
        parse_database(f"postgresql://{rest}")
    assert "ret" not in malformed.value.message + malformed.value.hint


@pytest.mark.parametrize(
    "rest",
    [
        "db",
        "user@db:5432/sigbox",
        "user@db1:5432,db2:5433/sigbox?target_session_attrs=primary&passfile=/a:b@c",
        "user@[::1]:5432/sigbox",
        "/sigbox?host=/run/postgresql",
    ],
)
def test_urls_of_databases_without_a_password_are_taken_as_they_are(rest):
    assert parse_database(f"postgresql://{rest}") == f"postgresql://{rest}"


@pytest.mark.parametrize(
    "text", ["mysql://db/x", "postgresql:db", 'postgresql://db/"', "postgresql://db/a b", "postgresql://db/\\"]
)
def test_what_is_no_url_of_a_database_or_cannot_stand_in_settings_is_malformed(text):
    with pytest.raises(Malformed, match="no URL of PostgreSQL"):
        parse_database(text)
