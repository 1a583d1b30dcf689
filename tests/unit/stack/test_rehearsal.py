# SPDX-License-Identifier: Apache-2.0
"""What ends and when: each date is one at which the thing itself says so, a second after and not a second before."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sigcore.errors import NotFound, Refused, Unavailable
from stack import bootstrap, health, tls_authority
from stack.cli import main
from stack.cli.trust_rehearse import moment_of
from stack.cli.usage import Usage
from stack.config import Home, load_settings
from stack.trust.rehearsal import BREAKS, DUE, RENEWS, End, rehearse
from stack.trust.state import check_roles
from tsa.authority import TimestampAuthority

SECOND = timedelta(seconds=1)
NOW = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    data = tmp_path_factory.mktemp("made") / "data"
    assert main(["init", "--data", str(data), "--yes", "--url", "https://sig.example"]) == 0
    tls_authority.prepare(Home(data), load_settings(Home(data)), datetime.now(UTC))
    return Home(data)


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.path, tmp_path / "data"))


def end_of(home: Home, what: str) -> End:
    (found,) = [end for end in rehearse(home) if what in end.what]
    return found


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_a_tuf_role_ends_when_clients_refuse_it(made: Home, role: str):
    end = end_of(made, f"TUF {role} ")
    assert end.kind == (RENEWS if role in ("snapshot", "timestamp") else BREAKS)
    others = [one.when for one in rehearse(made) if one.what.startswith("TUF")]
    if end.when == min(others):
        check_roles(made.tuf_repository, end.when - SECOND)
    with pytest.raises(NotFound, match="expired"):
        check_roles(made.tuf_repository, end.when)


def test_the_authority_for_certificates_ends_when_it_is_not_ready_any_more(made: Home):
    end = min(one.when for one in rehearse(made) if one.prevent == "sigbox trust rotate ca")
    check = health.ca_check(bootstrap.load_ca(made)[1])
    check(end)
    with pytest.raises(Unavailable):
        check(end + SECOND)


def test_the_timestamp_authority_ends_when_it_does_not_start_any_more(made: Home):
    end = min(one.when for one in rehearse(made) if one.prevent == "sigbox trust rotate tsa")
    TimestampAuthority.of(*bootstrap.load_tsa(made), now=end)
    with pytest.raises(Refused):
        TimestampAuthority.of(*bootstrap.load_tsa(made), now=end + SECOND)


def test_the_own_tls_authority_ends_when_another_one_is_made(home: Home):
    end, settings = end_of(home, "TLS authority"), load_settings(home)
    before = home.tls_ca.read_bytes()
    tls_authority.prepare(home, settings, end.when)
    assert home.tls_ca.read_bytes() == before
    tls_authority.prepare(home, settings, end.when + SECOND)
    assert home.tls_ca.read_bytes() != before


def test_a_certificate_that_lies_elsewhere_is_looked_at_when_it_is_named(made: Home, tmp_path: Path, capsys):
    copy = shutil.copy(made.path / "tls" / "server.pem", tmp_path / "mine.pem")
    options = ["--data", str(made.path), "--tls", str(copy)]
    assert main(["trust", "rehearse", "+396d", *options]) == 0
    assert main(["trust", "rehearse", "+398d", *options]) == 1
    assert f"the TLS certificate {copy}" in capsys.readouterr().out


def test_a_policy_ends_and_its_delegated_role_too(home: Home, tmp_path: Path):
    policy = tmp_path / "policy.json"
    rule = {"match": {"file": "*"}, "allow": ["a"], "anyName": True}
    content = {
        "apiVersion": "policy/v1",
        "expires": "2099-12-31",
        "identities": {"a": {"issuer": "https://i.example", "email": "a@example.com"}},
        "artifacts": [rule],
    }
    policy.write_text(json.dumps(content))
    assert main(["trust", "policy", str(policy), "--data", str(home.path)]) == 0
    assert end_of(home, "the policy").when.year >= 2099
    assert end_of(home, "TUF policy").kind == BREAKS


def test_an_old_key_of_identity_tokens_is_due_and_breaks_nothing(home: Home, capsys):
    bootstrap.oidc_key(home, load_settings(home))
    key = home.path / "oidc" / "signing.key"
    os.utime(key, (NOW.timestamp(), datetime.now(UTC).timestamp() - 400 * 86400))
    assert end_of(home, "identity tokens").kind == DUE
    assert main(["trust", "rehearse", "+1d", "--data", str(home.path)]) == 0
    assert "sigbox trust rotate oidc" in capsys.readouterr().out


def test_what_prevents_it_prevents_it(home: Home, capsys):
    far = (end_of(home, "TUF root").when + timedelta(days=1)).strftime("%Y-%m-%d")
    assert main(["trust", "rehearse", far, "--json", "--data", str(home.path)]) == 1
    report = json.loads(capsys.readouterr().out)
    commands = sorted({row["prevent"] for row in report["ends"] if row["before"] and row["kind"] == BREAKS})
    assert commands[1:] == [f"sigbox trust {done}" for done in ("refresh", "rotate ca", "rotate tsa", "rotate tuf")]
    before = {end.what: end.when for end in rehearse(home)}
    for command in commands[1:]:
        assert main([*command.split()[1:], "--data", str(home.path)]) == 0
    after = rehearse(home)
    assert all(end.when >= before.get(end.what, end.when) for end in after)
    assert not {"certificate of sigbox certificate authority", "TUF root version 1"} & {end.what for end in after}


def test_what_should_have_renewed_itself_and_did_not_is_broken(home: Home, capsys):
    path = home.tuf_repository / "timestamp.json"
    document = json.loads(path.read_bytes())
    document["signed"]["expires"] = "2026-01-01T00:00:00Z"
    path.write_text(json.dumps(document))
    assert main(["trust", "rehearse", "+1d", "--data", str(home.path)]) == 1
    assert "BREAKS        TUF timestamp" in capsys.readouterr().out


def test_a_folder_of_one_role_is_not_rehearsed(home: Home, capsys):
    shutil.rmtree(home.path / "tsa")
    assert main(["trust", "rehearse", "+1d", "--data", str(home.path)]) == 2
    assert "no folder tsa" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-06-30", datetime(2027, 6, 30, 23, 59, 59, tzinfo=UTC)),
        ("2027-06-30T12:00:00Z", datetime(2027, 6, 30, 12, tzinfo=UTC)),
        ("+10d", datetime(2026, 5, 16, 7, 8, 9, tzinfo=UTC)),
        ("+0d", NOW.replace(microsecond=0)),
    ],
)
def test_dates_are_days_moments_or_days_from_now(text: str, moment: datetime):
    assert moment_of(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "soon", "2027-02-30", "2027-6-3", "+d", "-1d", "+999999d", "10000-01-01", "2027-06-30 "]
)
def test_what_is_no_date_is_bad_usage(text: str):
    with pytest.raises(Usage):
        moment_of(text, NOW)
