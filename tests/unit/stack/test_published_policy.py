# SPDX-License-Identifier: Apache-2.0
"""The policy in the TUF repository: a delegated role with a key of its own, as python-tuf's client finds it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from tuf.api.metadata import Metadata

from stack.cli import main
from stack.config import Home
from stack.trust.delegated import DelegatedPolicy
from stack.trust.publish import publish
from stack.trust.repository import Repository
from stack.trust.versions import ROLES, Versions
from tests.unit.stack.test_repository import TARGETS, Interrupted, refreshed, writes_of

NOW = datetime.now(UTC)
KEY = ed25519.Ed25519PrivateKey.generate()
ONE, TWO = DelegatedPolicy(b'{"one": 1}', KEY), DelegatedPolicy(b'{"two": 2}', KEY)
BELOW = ("snapshot", "timestamp", "policy")


@pytest.fixture
def plain(tmp_path: Path) -> Repository:
    keys = {role: ed25519.Ed25519PrivateKey.generate() for role in ROLES}
    return Repository(tmp_path / "tuf", keys, Versions(tmp_path / "versions.json", durable=False), durable=False)


def fetched(folder: Path, cache: Path, *names: str) -> dict[str, bytes]:
    """What python-tuf's client gets, with what it had before; a name that is not there is left out."""
    updater = refreshed(folder, cache)
    infos = {name: updater.get_targetinfo(name) for name in names}
    return {name: Path(updater.download_target(info)).read_bytes() for name, info in infos.items() if info}


def policy_of(repository: Repository, cache: Path) -> bytes | None:
    found = fetched(repository.folder, cache, "policy.json", *TARGETS)
    assert {name: found[name] for name in TARGETS} == {name: target.data for name, target in TARGETS.items()}
    return found.get("policy.json")


def test_a_client_finds_the_policy_in_its_own_role(plain, tmp_path):
    plain.publish(TARGETS, NOW)
    assert policy_of(plain, tmp_path / "c") is None
    assert replace(plain, policy=ONE).publish(TARGETS, NOW) == ("targets", *BELOW)
    assert policy_of(plain, tmp_path / "c") == ONE.data
    assert replace(plain, policy=ONE).publish(TARGETS, NOW) == ()


def test_a_changed_policy_signs_nothing_of_targets(plain, tmp_path):
    replace(plain, policy=ONE).publish(TARGETS, NOW)
    assert policy_of(plain, tmp_path / "c") == ONE.data
    assert replace(plain, policy=TWO).publish(TARGETS, NOW) == BELOW
    assert policy_of(plain, tmp_path / "c") == TWO.data


def test_without_its_key_the_policy_stays_and_the_rest_is_renewed(plain, tmp_path):
    replace(plain, policy=ONE).publish(TARGETS, NOW)
    assert policy_of(plain, tmp_path / "c") == ONE.data
    assert plain.publish(TARGETS, NOW, force=True) == ROLES[1:]
    assert policy_of(plain, tmp_path / "c") == ONE.data
    assert replace(plain, policy=ONE).publish(TARGETS, NOW, force=True) == (*ROLES[1:], "policy")
    assert policy_of(plain, tmp_path / "c") == ONE.data


def test_another_key_is_delegated_by_targets(plain, tmp_path):
    replace(plain, policy=ONE).publish(TARGETS, NOW)
    assert policy_of(plain, tmp_path / "c") == ONE.data
    other = DelegatedPolicy(ONE.data, ed25519.Ed25519PrivateKey.generate())
    assert replace(plain, policy=other).publish(TARGETS, NOW) == ("targets", *BELOW)
    assert policy_of(plain, tmp_path / "c") == ONE.data


def test_u01_the_role_can_speak_for_nothing_else(plain, tmp_path):
    """Its key is trusted for one path, by the client and not by us: a second target in its metadata is never found."""
    repository = replace(plain, policy=ONE)
    repository.publish(TARGETS, NOW)
    (path,) = plain.folder.glob("*.policy.json")
    metadata = Metadata.from_bytes(path.read_bytes())
    metadata.signed.targets["evil.json"] = metadata.signed.targets["policy.json"]
    metadata.sign(ONE.signer())
    path.write_bytes(metadata.to_bytes())
    assert set(fetched(plain.folder, tmp_path / "c", "policy.json", "evil.json")) == {"policy.json"}


def test_u13_a_publication_that_was_interrupted_gets_the_next_version(plain, tmp_path):
    replace(plain, policy=ONE).publish(TARGETS, NOW)
    before = tmp_path / "before"
    shutil.copytree(plain.folder, before)
    replace(plain, policy=TWO).publish(TARGETS, NOW)
    assert policy_of(plain, tmp_path / "c") == TWO.data
    shutil.rmtree(plain.folder)
    before.rename(plain.folder)
    assert plain.publish(TARGETS, NOW, force=True) == ROLES[1:]
    assert policy_of(plain, tmp_path / "other") == ONE.data
    assert replace(plain, policy=ONE).publish(TARGETS, NOW) == BELOW
    assert policy_of(plain, tmp_path / "c") == ONE.data
    assert (plain.folder / "3.policy.json").exists()


@pytest.mark.parametrize("error", [Interrupted(), OSError(28, "No space left on device")], ids=["killed", "disk full"])
@pytest.mark.parametrize("before", [None, ONE], ids=["first", "changed"])
def test_u13_a_publication_that_ends_at_any_write_leaves_the_old_policy_or_the_new_one(
    plain, tmp_path, monkeypatch, before, error
):
    """Whatever write is the last; and no version of a role ever has two contents."""
    replace(plain, policy=before).publish(TARGETS, NOW)
    old = before.data if before else None
    seen: dict[str, bytes] = {}
    for stop_at in range(1, 50):
        done = writes_of(replace(plain, policy=TWO), TARGETS, monkeypatch, stop_at, error, NOW)
        assert policy_of(plain, tmp_path / "c") in (old, TWO.data)
        for path in plain.folder.glob("[1-9]*.json"):
            assert seen.setdefault(path.name, path.read_bytes()) == path.read_bytes(), path.name
        if done < stop_at:
            break
    else:
        pytest.fail("the publication never came to its end")
    assert stop_at > 4
    assert policy_of(plain, tmp_path / "c") == TWO.data


# --- as it is typed --------------------------------------------------------------------------------------------
POLICY = {
    "apiVersion": "policy/v1",
    "expires": "2099-12-31",
    "identities": {"alice": {"issuer": "https://idp.example", "email": "alice@example.com"}},
    "artifacts": [{"match": {"file": "*"}, "allow": ["alice"], "anyName": True}],
}


def test_trust_policy_publishes_what_clients_would_take_and_nothing_else(tmp_path, capsys):
    home, file = Home(tmp_path / "d"), tmp_path / "policy.json"

    def typed(**changes) -> int:
        file.write_text(json.dumps(POLICY | changes, indent=1))
        return main(["trust", "policy", str(file), "--data", str(home.path)])

    assert main(["init", "--data", str(home.path), "--yes"]) == 0
    assert typed(expires="2020-01-01") == 3
    assert typed(bogus=1) == 2
    assert not home.policy.exists()
    assert typed() == 0
    out, err = capsys.readouterr()
    assert "signed: targets, snapshot, timestamp, policy" in out
    assert "warning" not in err.replace("\n  hint", "")
    found = fetched(home.tuf_repository, tmp_path / "c", "policy.json", "trusted_root.json")
    assert json.loads(found["policy.json"]) == POLICY
    assert found["policy.json"] == home.policy.read_bytes()
    assert b" " not in found["policy.json"]
    assert main(["trust", "show", "--data", str(home.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policy"] == "2100-01-01T00:00:00Z"
    assert main(["trust", "show", "--data", str(home.path)]) == 0
    assert "  policy good until 2100-01-01T00:00:00Z" in capsys.readouterr().out
    away = home.policy_key.rename(tmp_path / "away.key")
    assert typed(expires="2098-01-01") == 3
    assert "the key of the published policy is not here" in capsys.readouterr().err
    assert publish(home, datetime.now(UTC) + timedelta(days=60)) == ("snapshot", "timestamp")
    away.rename(home.policy_key)
    assert typed(expires="2098-01-01") == 0
    found = fetched(home.tuf_repository, tmp_path / "c", "policy.json")
    assert json.loads(found["policy.json"])["expires"] == "2098-01-01"


def test_what_is_gravely_wrong_with_a_policy_is_said_when_it_is_published(tmp_path, capsys):
    home, file = Home(tmp_path / "d"), tmp_path / "policy.json"
    wide = {"issuer": "https://i.example", "san": "**"}
    rule = {"match": {"file": "*"}, "allow": ["all"], "anyName": True}
    file.write_text(json.dumps(POLICY | {"identities": {"all": wide}, "groups": {}, "artifacts": [rule]}))
    assert main(["init", "--data", str(home.path), "--yes"]) == 0
    capsys.readouterr()
    assert main(["trust", "policy", str(file), "--data", str(home.path)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "warning: all: the san '**' leaves the host open: everybody is meant"
