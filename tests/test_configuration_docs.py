# SPDX-License-Identifier: Apache-2.0
"""docs/configuration.md names every option, variable and key that there is, and none that is not."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from stack import broker, console_login, issuers, login_rules, role_rules, upstreams
from stack.cli.table import COMMANDS
from stack.config import IN_TOKEN, ROLE_TABLES, ROLES, Home, Settings, save_settings
from stack.watch import rules as watch
from tests import architecture_rules as rules

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "configuration.md").read_text("utf-8")
FOREIGN = {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"}
"""Variables that we set for others, or only put out of the way."""


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}")[1].split("\n## ")[0]


def first_cells(text: str) -> set[str]:
    return set(re.findall(r"^\| `([\w.-]+)[^`]*` \|", text, re.MULTILINE))


def options_of(command: str) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(COMMANDS[command].module).add_arguments(parser)
    return {option for option in parser._option_string_actions if option.startswith("--")}


def test_every_option_of_init_and_up_is_described_at_the_right_command():
    rows = re.findall(r"^\| `(--[\w-]+)[^`]*` \| (\w+) \|", section("Options"), re.MULTILINE)
    described = {command: {option for option, of in rows if of in (command, "both")} for command in ("init", "up")}
    assert described == {command: options_of(command) for command in ("init", "up")}


def test_every_option_of_serve_and_every_service_is_described():
    assert set(re.findall(r"^\| `(--[\w-]+)", section("Options of `sigbox serve`"), re.MULTILINE)) == options_of(
        "serve"
    )
    assert set(ROLES) <= set(re.findall(r"^\| `(\w+)` \|", section("Services"), re.MULTILINE))


def test_every_key_of_the_settings_file_is_described(tmp_path):
    settings = Settings(
        "http://localhost:7780", datetime(2026, 1, 2, tzinfo=UTC), ephemeral=False, url_follows_listen=True
    )
    save_settings(
        Home(tmp_path), replace(settings, name="ACME", rekor_v2_dsse="dsse", database="postgresql://db/sigbox")
    )
    keys = set(re.findall(r"^(\w+) =", (tmp_path / "sigbox.toml").read_text(), re.MULTILINE))
    assert first_cells(section("The settings file")) == keys


def test_every_key_that_can_be_in_a_token_is_described():
    assert first_cells(section("Keys in tokens")) >= set(IN_TOKEN)


def test_every_variable_that_is_read_is_described():
    sources = "\n".join(source.text for source in rules.load_sources(ROOT, *rules.PACKAGES))
    read = set(re.findall(r"\b(SIGBOX_[A-Z_]+)\b", sources))
    read |= set(
        re.findall(
            r"(?:environ(?:ment|)(?:\.get\(|\[)|\")(\w*(?:NO_COLOR|CREDENTIALS_DIRECTORY|SIGSTORE_ID_TOKEN|COSIGN_PASSWORD|COSIGN_REPOSITORY|TUF_ROOT|TUF_MIRROR|TUF_ROOT_JSON|SIGSTORE_[A-Z_]+))\b",
            sources,
        )
    )
    as_options = {f"SIGBOX_{option[2:].replace('-', '_').upper()}" for option in options_of("up")}
    named = first_cells(section("Environment"))
    assert named >= read - FOREIGN - as_options
    assert named <= read | as_options


def test_every_member_of_an_issuer_is_described():
    assert first_cells(section("Other issuers")) == set(issuers._MEMBERS)


def test_every_member_of_the_tables_about_others_is_described():
    assert first_cells(section("Providers of others")) == set(upstreams._MEMBERS)
    assert first_cells(section("Jobs of CI systems")) == set(broker._MEMBERS)


def test_every_member_of_the_login_rules_is_described():
    assert first_cells(section("Logins")) == set(login_rules._MEMBERS)


def test_every_member_of_the_tables_about_a_role_is_described():
    for table, title in (
        ("ca", "Certificates"),
        ("ct", "Certificate log"),
        ("log", "Entries"),
        ("tsa", "Timestamps"),
    ):
        assert first_cells(section(title)) == set(role_rules.MEMBERS[table])
    assert set(role_rules.MEMBERS) == ROLE_TABLES


def test_every_member_of_the_tables_about_the_console_is_described():
    assert first_cells(section("Watch rules")) == set(watch._MEMBERS)
    assert first_cells(section("Alerts")) == set(watch._ALERT_MEMBERS)
    assert first_cells(section("Logins to the console")) == set(console_login._MEMBERS)


def test_every_public_file_is_described():
    found = first_cells(section("Public files")) | {"tuf", "keys"}
    names = {
        path.name
        for path in (Home(Path("x")).trusted_root, Home(Path("x")).signing_config, Home(Path("x")).trust_config)
    }
    assert found >= names | {"signing_config_v1.json", "signing_config_v2.json"}
