# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jwt
import pytest

from sigcore import keys
from sigcore.errors import Malformed, NotFound, Refused
from stack.broker import load_brokered
from stack.config import Home, Settings, load_settings, save_settings
from stack.console_login import load_login_demand
from stack.issuers import load_issuers
from stack.login_rules import load_login_rules
from stack.upstreams import load_upstreams
from stack.watch.rules import load_watching

KEY = keys.generate_p256()
JWK = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "a"}
GOOD = '[[issuers]]\nurl = "https://ci.example.com"\njwks = "ci.jwks"\n'
SETTINGS = Settings("http://localhost:7780", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), False, True)


@pytest.fixture
def config(tmp_path: Path):
    (tmp_path / "ci.jwks").write_text(json.dumps({"keys": [JWK]}))

    def write(text: str) -> Path:
        file = tmp_path / "sigbox.toml"
        file.write_text(text)
        return file

    return write


async def test_an_issuer_with_what_is_not_said_by_default(config):
    (issuer,) = load_issuers(config(GOOD)).issuers
    assert (issuer.url, issuer.kind, issuer.audience) == ("https://ci.example.com", "email", "sigstore")
    assert (await issuer.keys.find("a")).key == KEY.public_key()


def test_several_issuers_of_both_kinds(config):
    other = GOOD.replace("ci.example", "id.example") + 'kind = "uri"\nsubject_domain = "https://example.com"\n'
    people, machines = load_issuers(config(GOOD + 'audience = "me"\n' + other)).issuers
    assert (people.kind, people.audience) == ("email", "me")
    assert (machines.kind, machines.subject_domain) == ("uri", "https://example.com")


def test_a_table_says_what_fulcios_form_says(config):
    row = """[[issuers]]
url = "https://git.example.com"
kind = "gitlab-pipeline"
jwks = "ci.jwks"
allow = ["https://git.example.com/build/**"]
deny = ["**@refs/heads/tmp-*"]
values = { url = "https://git.example.com/sub" }
[[issuers]]
url = "https://*.clusters.example.com"
kind = "kubernetes"
private_addresses = true
[[issuers]]
url = "https://dex.example.com"
issuer_claim = "$.federated_claims.connector_id"
skip_email_verification = true
"""
    found = load_issuers(config(row))
    git, dex = found.issuers
    assert (git.kind, git.names.deny) == ("gitlab-pipeline", ("**@refs/heads/tmp-*",))
    assert git.values == (("url", "https://git.example.com/sub"),)
    assert (dex.issuer_claim, dex.skip_email_verification) == ("$.federated_claims.connector_id", True)
    assert [pattern.issuer.kind for pattern in found.patterns] == ["kubernetes"]
    assert found.discovers


@pytest.mark.parametrize("text", ["", 'format = 1\nurl = "x"\n', "issuers = []\n"])
def test_no_table_no_issuer(config, text):
    assert load_issuers(config(text)).issuers == ()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[[issuers]\n", Malformed, "is not TOML"),
        ("[issuers]\n", Malformed, r"write \[\[issuers\]\]"),
        ('issuers = "x"\n', Malformed, r"write \[\[issuers\]\]"),
        ("issuers = [1]\n", Malformed, "expected a table"),
        (GOOD + 'spelt_wrong = "x"\n', Malformed, "issuer 1: .*unknown member 'spelt_wrong'"),
        (GOOD.replace("ci.jwks", "absent"), NotFound, "issuer 1: the issuer's key set .*absent does not exist"),
        (GOOD.replace("ci.jwks", "."), Refused, "cannot be read"),
        (GOOD.replace("ci.jwks", "sigbox.toml"), Malformed, "not JSON"),
        (GOOD.replace("https://", ""), Malformed, "expected an http"),
        (GOOD + 'kind = "own"\n', Malformed, "use one of email, uri"),
        (GOOD + "kind = 7\n", Malformed, "kind is 7, expected a string"),
        (GOOD + 'kind = "uri"\n', Malformed, "subject domain"),
        (
            GOOD + GOOD + 'kind = "uri"\nsubject_domain = "https://evil.example"\n',
            Malformed,
            "issuer 2: .*cannot answer",
        ),
        (GOOD + "audience = 2026-01-01\n", Malformed, "issuer 1: audience is datetime.*expected a string"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(config, text, kind, message):
    with pytest.raises(kind, match=message):
        load_issuers(config(text))


def test_issuers_in_the_settings_file_outlive_a_change_of_the_url(config, tmp_path: Path):
    home = Home(tmp_path)
    save_settings(home, SETTINGS)
    config(home.settings_file.read_text() + f"\n# our build machines\n{GOOD}")
    moved = replace(SETTINGS, url="https://sigstore.example")
    for _ in range(2):
        save_settings(home, moved)
    assert load_settings(home) == moved
    assert load_issuers(home.settings_file).issuers[0].url == "https://ci.example.com"
    assert home.settings_file.read_text().count("# our build machines\n[[issuers]]") == 1


@pytest.mark.parametrize(
    "load",
    [
        load_issuers,
        load_upstreams,
        load_brokered,
        lambda file: load_login_rules([file]),
        lambda file: load_login_demand([file]),
        lambda file: load_watching([file]),
        lambda file: load_settings(Home(file.parent)),
    ],
)
def test_toml_without_a_bottom_is_no_toml(load, tmp_path):
    """The reader of Python's library runs out of stack, and says so by no error of its own."""
    (tmp_path / "sigbox.toml").write_text("# issuers, login\nx = " + "[" * 5_000)
    with pytest.raises(Malformed):
        load(tmp_path / "sigbox.toml")
