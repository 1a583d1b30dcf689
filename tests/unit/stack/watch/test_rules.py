# SPDX-License-Identifier: Apache-2.0
"""What watch rules can say, what they cannot, and which entries they alert of."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigcore.errors import SigError
from stack.console_rules import load_console_rules
from stack.watch.matching import sightings
from stack.watch.rules import Watching, load_watching
from tlog.catalog.facts import Facts, Kind, Term

RELEASE = """
[[watch]]
name = "release"
identity = "release@corp.example"
issuer = "https://login.corp.example"
verdict = "expected"
"""


def load(folder: Path, text: str) -> Watching:
    file = folder / "sigbox.toml"
    file.write_text(text)
    found = load_watching([file])
    assert found is not None
    return found


def facts(*names: str, issuers: tuple[str, ...] = ("https://login.corp.example",)) -> Facts:
    terms = [Term(Kind.IDENTITY, name) for name in names] + [Term(Kind.ISSUER, one) for one in issuers]
    return Facts("hashedrekord 0.0.2", tuple(terms))


def alerts(watching: Watching, found: Facts, log: str = "rekor") -> list[tuple[str, str, str]]:
    return [(one.rule, one.identity, one.issuer) for one in sightings(watching.rules, log, found)]


def test_an_expected_identity_alerts_from_any_other_issuer_and_from_none(tmp_path):
    rules = load(tmp_path, RELEASE)
    assert alerts(rules, facts("release@corp.example")) == []
    elsewhere = facts("release@corp.example", issuers=("https://evil.example",))
    assert alerts(rules, elsewhere) == [("release", "release@corp.example", "https://evil.example")]
    assert alerts(rules, facts("release@corp.example", issuers=())) == [("release", "release@corp.example", "")]
    assert alerts(rules, facts("other@corp.example", issuers=("https://evil.example",))) == []


def test_a_second_signer_cannot_hide_behind_an_expected_one(tmp_path):
    both = facts("release@corp.example", issuers=("https://login.corp.example", "https://evil.example"))
    assert alerts(load(tmp_path, RELEASE), both) == [("release", "release@corp.example", "https://evil.example")]


@pytest.mark.parametrize(
    ("identity", "name", "covered"),
    [
        ("root@corp.example", "root@corp.example", True),
        ("root@corp.example", "Root@CORP.example", True),
        ("root@corp.example", "xroot@corp.example", False),
        ("root@corp.example", "root@corp.example.evil", False),
        ("*@corp.example", "anybody@corp.example", True),
        ("*@corp.example", "a/b@corp.example", False),
        ("**@corp.example", "a/b@corp.example", True),
        ("https://git.example/a/**", "https://git.example/a/.github/workflows/x.yml@refs/heads/main", True),
        ("https://git.example/a/*", "https://git.example/ab/x", False),
        ("*@corp.example", "\u200bhidden@corp.example", True),
        ("*@corp.example", "full\uff57idth@corp.example", True),
        ("root@corp.example", "\uff52oot@corp.example", True),
        ("*@corp.example", "x" * 100_000 + "@corp.example", True),
        ("*@corp.example", "x" * 100_000 + "@evil.example", False),
    ],
)
def test_a_name_is_covered_as_people_read_it_and_as_a_whole(tmp_path, identity, name, covered):
    rules = load(tmp_path, f'[[watch]]\nname = "x"\nidentity = "{identity}"\n')
    assert bool(alerts(rules, facts(name))) is covered


def test_an_alarming_rule_is_about_its_issuer_and_its_logs_only(tmp_path):
    text = '[[watch]]\nname = "x"\nidentity = "*@corp.example"\nissuer = "https://evil.example"\nlogs = ["ct"]\n'
    rules = load(tmp_path, text)
    evil = facts("a@corp.example", issuers=("https://evil.example",))
    assert len(alerts(rules, evil, "ct")) == 1
    assert alerts(rules, evil, "rekor") == []
    assert alerts(rules, facts("a@corp.example"), "ct") == []


def test_an_entry_without_a_name_is_nobody_s_business(tmp_path):
    assert alerts(load(tmp_path, RELEASE), facts(issuers=("https://evil.example",))) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[watch]]\nidentity = "a"', "name"),
        ('[[watch]]\nname = "a b"\nidentity = "a"', "letters"),
        ('[[watch]]\nname = "a"', "identity"),
        ('[[watch]]\nname = "a"\nidentity = "^a$"', "no meaning"),
        ('[[watch]]\nname = "a"\nidentity = "a"\nverdict = "fine"', "verdict"),
        ('[[watch]]\nname = "a"\nidentity = "a"\nverdict = "expected"', "issuer"),
        ('[[watch]]\nname = "a"\nidentity = "a"\nlogs = ["rekor2"]', "logs"),
        ('[[watch]]\nname = "a"\nidentity = "a"\nlogs = []', "logs"),
        ('[[watch]]\nname = "a"\nidentity = "a"\nwebhook = "https://a.example"', "webhook"),
        ('[watch]\nname = "a"', "list of tables"),
        ('[[watch]]\nname = "a"\nidentity = "a"\n[[watch]]\nname = "a"\nidentity = "b"', "same name"),
        ('alerts = "x"\n[[watch]]\nname = "a"\nidentity = "a"', "a table"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_its_place(tmp_path, text, said):
    with pytest.raises(SigError, match=said):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "https://user@a.example/",
        "https://a.example\\@b.example/",
        "https:///x",
        "https://a.example/ b",
        "https://A.example/",
        "//a.example",
    ],
)
def test_a_webhook_that_two_programs_could_read_differently_is_refused(tmp_path, url):
    (tmp_path / "secret").write_text("0123456789abcdef")
    with pytest.raises(SigError, match="webhook is not") as caught:
        load(tmp_path, RELEASE + f"[alerts]\nwebhook = '{url}'\nsecret_file = 'secret'\n")
    assert url not in str(caught.value), "it may hold a secret"


def test_a_webhook_needs_a_secret_that_cannot_be_guessed(tmp_path):
    text = RELEASE + "[alerts]\nwebhook = 'https://a.example/hook'\nsecret_file = 'secret'\n"
    with pytest.raises(SigError, match="secret"):
        load(tmp_path, text)
    (tmp_path / "secret").write_text("short")
    with pytest.raises(SigError, match="5 bytes"):
        load(tmp_path, text)
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    webhook = load(tmp_path, text).webhook
    assert webhook is not None
    assert (webhook.url, webhook.secret, webhook.host) == (
        "https://a.example/hook",
        b"0123456789abcdef",
        "https://a.example",
    )


def test_a_stack_without_rules_has_none(tmp_path):
    file = tmp_path / "sigbox.toml"
    file.write_text('url = "http://localhost"\n')
    assert load_console_rules([file]).watching is None
