# SPDX-License-Identifier: Apache-2.0
"""Two stacks that witness each other, over HTTP: both start, whichever is first, and either notices what the other one lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.stack_process import sigbox
from tests.until import wait_until
from tests.witness_pair import Side, carries, done, fetch, make_pair

ALICE = "alice@example.com"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Each demands the cosignature of the other; the second one has workers."""
    sides = make_pair(tmp_path_factory.mktemp("pair"), quorum=1, workers=True)
    try:
        for side in sides:
            side.start()
        for side in sides:
            wait_until(lambda side=side: side.ready() == "ok")
        yield sides
    finally:
        for side in sides:
            side.stop()


def signed(side: Side, folder: Path, name: str = "file") -> CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(name)
    stack = side.running()
    trust = ("--trust-config", stack.trust_config)
    return sigbox("sign-blob", name, *trust, "--identity-token", stack.token(ALICE), cwd=folder)


def envelope(folder: Path, name: str = "file") -> str:
    entry = json.loads((folder / f"{name}.sigstore.json").read_bytes())["verificationMaterial"]["tlogEntries"][0]
    found: str = entry["inclusionProof"]["checkpoint"]["envelope"]
    return found


def test_each_demands_the_other_and_both_have_started(pair):
    for side, other in (pair, pair[::-1]):
        wait_until(lambda side=side, other=other: side.cosigned_by(other))


def test_a_bundle_carries_the_cosignature_and_verifies(pair, tmp_path):
    for side, other in (pair, pair[::-1]):
        folder, stack = tmp_path / side.host, side.running()
        result = signed(side, folder)
        assert result.returncode == 0, result.stderr
        assert carries(envelope(folder), side, other)
        policy = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
        result = sigbox("verify-blob", "file", "--trust-config", stack.trust_config, *policy, cwd=folder)
        assert result.returncode == 0, result.stderr


def test_the_list_says_how_far_and_a_change_counts_at_once(pair):
    first, second = pair
    (row,) = json.loads(done("witness", "list", "--json", "--data", first.data))["logs"]
    assert (row["origin"], row["key"]) == (second.host, second.shown()["log"])
    assert row["size"] >= 1
    body = f"old 0\n\n{second.checkpoint()[1]}".encode()
    assert fetch(f"{first.url}/witness/add-checkpoint", body)[0] == 409  # known, at another size
    done("witness", "remove", second.host, "--data", first.data)
    assert fetch(f"{first.url}/witness/add-checkpoint", body)[0] == 404
    (first.folder / "logs").write_text(f"# of the other side\n{second.shown()['log']}\n")
    assert second.host in sigbox("witness", "add", first.folder / "logs", "--data", first.data).stderr
    assert fetch(f"{first.url}/witness/add-checkpoint", body) == (409, f"{row['size']}\n".encode())


def test_what_is_no_log_is_not_witnessed(pair, tmp_path):
    first, second = pair
    key, witness = second.shown()["log"], second.shown()["witness"]["key"]
    other_key = first.shown()["log"].replace("localhost", second.host)
    (tmp_path / "empty").write_text("# none\n")
    for given, status in ((witness, 2), (f"x{key}", 2), ("nothing", 2), (tmp_path / "empty", 2), (other_key, 2)):
        assert sigbox("witness", "add", given, "--data", first.data).returncode == status, given
    assert sigbox("witness", "remove", "nobody", "--data", first.data).returncode == 2
    assert len(json.loads(done("witness", "list", "--json", "--data", first.data))["logs"]) == 1


def test_while_a_demanded_witness_is_away_no_checkpoint_advances_and_nobody_is_promised_anything(pair, tmp_path):
    first, second = pair
    before = first.checkpoint()
    second.stop()
    result = signed(first, tmp_path)
    assert result.returncode == 4, result.stderr
    assert "of its witnesses cosigned, 1 must" in result.stderr
    assert not (tmp_path / "file.sigstore.json").exists()
    assert first.checkpoint() == before
    assert "127.0.0.1/witness" in first.ready()
    assert first.figure("sigbox_witness_up") == 0
    second.start()
    wait_until(lambda: first.ready() == second.ready() == "ok")
    assert first.figure("sigbox_witness_up") == 1
    assert first.cosigned_by(second)
    assert doctor(first) == ("ok", "the checkpoint is cosigned by 127.0.0.1/witness")
    result = signed(first, tmp_path, "again")
    assert result.returncode == 0, result.stderr
    assert carries(envelope(tmp_path, "again"), first, second)


def doctor(side: Side) -> tuple[str, str]:
    """State and words of its check of the witnesses."""
    report = json.loads(sigbox("doctor", "--json", "--no-sign", "--data", side.data).stdout)
    (check,) = (check for check in report["checks"] if check["name"] == "witnesses")
    return check["state"], check["found"]


def test_a_log_with_witnesses_is_not_rotated(pair):
    result = sigbox("trust", "rotate", "rekor-v2", "--data", pair[0].data)
    assert result.returncode == 3
    assert "would take its next tree for a fork" in result.stderr


def test_an_older_copy_with_its_anchor_is_refused_by_the_witness_and_told_by_the_log(pair, tmp_path):
    """What the log itself cannot know: everything of it, the anchor too, is of before."""
    first, second = pair
    first.stop()
    old = tmp_path / "old"
    shutil.copytree(first.data, old)
    first.start()
    wait_until(lambda: first.ready() == "ok")
    assert signed(first, tmp_path).returncode == 0
    first.stop()
    new = tmp_path / "new"
    first.data.rename(new)
    shutil.copytree(old, first.data)
    first.start()
    wait_until(lambda: "an old copy of it was put in place, or the log is forked" in first.ready())
    status, text = first.checkpoint()
    assert (status, "shows no checkpoint" in text) == (503, True)
    state, found = doctor(first)
    assert (state, "answered 503" in found) == ("failed", True)
    assert signed(first, tmp_path, "other").returncode == 4
    assert "no cosignature of the witness 127.0.0.1/witness: it has seen" in first.running().output()

    first.stop()  # the control: what was put away goes on
    shutil.rmtree(first.data)
    new.rename(first.data)
    first.start()
    wait_until(lambda: first.ready() == "ok")
    assert first.cosigned_by(second)


def test_without_a_quorum_a_witness_that_is_away_keeps_nobody(pair, tmp_path):
    first, second = pair
    first.stop()
    first.ask(second, 0)
    first.start()
    wait_until(lambda: first.cosigned_by(second))
    second.stop()
    for number in range(2):
        result = signed(first, tmp_path, str(number))
        assert result.returncode == 0, result.stderr
        assert not carries(envelope(tmp_path, str(number)), first, second)
    assert doctor(first) == ("warning", f"the checkpoint is not cosigned by 127.0.0.1/witness at {second.url}/witness")
    assert first.running().output().count("no cosignature of the witness") == 1
    assert first.figure("sigbox_witness_up") == 0
    second.start()
    wait_until(lambda: first.cosigned_by(second))  # the idle head is brought to it
    assert first.figure("sigbox_witness_up") == 1


def test_where_hosts_share_a_database_nobody_is_witness_or_asked(tmp_path):
    data = tmp_path / "data"
    done("init", "--data", data)
    up = ("up", "--data", data, "--listen", "127.0.0.1:0", "--database", "postgresql://nobody@localhost:1/none")
    shown = json.loads(done("witness", "show", "--json", "--data", data))
    assert shown["witness"] is None
    done("witness", "add", shown["log"].strip(), "--data", data)
    result = sigbox(*up)
    assert result.returncode == 3
    assert "shares a database with other hosts" in result.stderr
    done("witness", "remove", "localhost", "--data", data)
    witness = json.loads(done("witness", "show", "--json", "--data", data))["witness"]
    with (data / "sigbox.toml").open("a") as file:
        file.write(f'\n[[log.witnesses]]\nurl = "{witness["url"]}"\nkey = "{witness["key"]}"\n')
    result = sigbox(*up)
    assert result.returncode == 3
    assert "[[log.witnesses]] is for a log in files" in result.stderr
