# SPDX-License-Identifier: Apache-2.0
"""Who is a host, and who only looks like one: clones, copies of a data directory, rows of an earlier version."""

from __future__ import annotations

import shutil
import time

import pytest

from sigcore.errors import Refused, Unavailable
from tests.unit.tlog.conftest import Hosts, patiently
from tests.until import until
from tlog.host_file import HostFile, Member
from tlog.log import Log
from tlog.storage import postgres_hosts


async def ended(hosts: Hosts, *names: str) -> None:
    """Each of ``names`` has served, has shown what there is, and has stopped."""
    logs = [await hosts.start(name) for name in names]
    for number, log in enumerate(logs):
        await patiently(log, hosts.entry(number))
    await until(lambda: len({log.size for log in logs}) == 1)
    for log in logs:
        await hosts.end(log)


def fail_over(hosts: Hosts) -> None:
    """What was written so far was written on another line of servers."""
    hosts.sql("UPDATE head SET lineage = 'before'")
    hosts.sql("UPDATE host SET lineage = 'before'")


def make_earlier(hosts: Hosts, *names: str) -> None:
    """The list as an earlier version has left it."""
    for name in names:
        hosts.sql(f"UPDATE host SET name = '{hosts.label(name)}' WHERE name = '{named(hosts, name)}'")
        hosts.identity(name).unlink()
    hosts.sql("ALTER TABLE host DROP COLUMN label, DROP COLUMN joined")


def named(hosts: Hosts, name: str) -> str:
    return HostFile(hosts.identity(name), "").load().name


def listed(hosts: Hosts) -> set[str]:
    return set(hosts.sql("SELECT name FROM host").splitlines())


async def waits_for(log: Log, *texts: str) -> None:
    await until(lambda: "not every host has said" in log.fault)
    for text in texts:
        assert text in log.fault


# --- clones ------------------------------------------------------------------------------------------------
async def test_two_hosts_of_one_name_and_path_are_two_on_the_list(hosts):
    hosts.labels = {"a": "machine:/srv/sigbox", "clone": "machine:/srv/sigbox"}
    await ended(hosts, "a", "clone")
    fail_over(hosts)
    clone = await hosts.start("clone")
    await waits_for(clone, f"machine:/srv/sigbox [{named(hosts, 'a')}]", f"WHERE name = '{named(hosts, 'a')}'")
    await hosts.start("a")
    await until(lambda: not clone.fault)


async def test_a_copy_of_the_folder_of_a_host_that_is_there_is_refused_until_it_is_a_host_of_its_own(
    hosts, monkeypatch
):
    monkeypatch.setattr(postgres_hosts, "FREED_S", 0.3)
    log = await hosts.start("a")
    await log.submit(hosts.entry(0))
    shutil.copytree(hosts.identity("a").parent, hosts.folder / "copy")
    with pytest.raises(
        Refused,
        match=r"copy of another host's: .* is used by another one now \(process \d+ of the database server, for 127\.0\.0\.1",
    ) as refused:
        await hosts.start("copy")
    assert str(hosts.identity("copy")) in refused.value.message
    assert "remove that file here" in refused.value.hint
    hosts.identity("copy").unlink()
    copy = await hosts.start("copy")
    assert (await copy.submit(hosts.entry(1))).index == 1
    assert listed(hosts) == {named(hosts, "a"), named(hosts, "copy")}


async def test_an_older_copy_of_a_folder_does_not_vouch_for_the_host_also_when_that_is_down(hosts):
    await ended(hosts, "a", "b")
    shutil.copytree(hosts.identity("a").parent, hosts.folder / "copy")
    await ended(hosts, "a")
    fail_over(hosts)
    with pytest.raises(Refused, match="has been used elsewhere since this copy was made"):
        await hosts.start("copy")
    await waits_for(await hosts.start("b"), f"a [{named(hosts, 'a')}]")


async def test_a_host_may_move_with_its_folder_and_what_it_left_behind_is_the_older_copy(hosts):
    await ended(hosts, "a")
    shutil.copytree(hosts.identity("a").parent, hosts.folder / "moved")
    moved = await hosts.start("moved")
    await until(lambda: not moved.fault)
    assert listed(hosts) == {named(hosts, "a")}
    assert hosts.sql("SELECT label FROM host") == "moved"
    await hosts.end(moved)
    with pytest.raises(Refused, match="has been used elsewhere"):
        await hosts.start("a")


async def test_a_host_that_has_lost_its_folder_is_another_host_and_the_lost_one_is_waited_for(hosts):
    await ended(hosts, "a", "b")
    lost = named(hosts, "a")
    shutil.rmtree(hosts.identity("a").parent)
    fail_over(hosts)
    await hosts.start("a")
    await waits_for(await hosts.start("b"), f"a [{lost}]")


@pytest.mark.parametrize("left", [None, 1])
async def test_an_anchor_that_went_back_vouches_for_nothing_on_a_new_line(hosts, left):
    log = await hosts.start("a")
    if left:
        await log.submit(hosts.entry(0))
        shutil.copyfile(hosts.anchor_file("a"), hosts.folder / "older")
    await log.submit(hosts.entry(1))
    await log.submit(hosts.entry(2))
    await hosts.end(log)
    await hosts.end(await hosts.start("a"))  # what it has shown is on the list with its next joining
    hosts.anchor_file("a").unlink()
    if left:
        shutil.copyfile(hosts.folder / "older", hosts.anchor_file("a"))
    fail_over(hosts)
    for _ in range(2):  # a try is no way round
        with pytest.raises(Refused, match=f"remembers {left or 0} entries, but this host has shown") as refused:
            await hosts.start("a")
    hosts.sql(refused.value.hint[refused.value.hint.index("DELETE FROM") :])
    assert (await patiently(await hosts.start("a"), hosts.entry(9))).index == (3 if left else 2)


async def test_an_anchor_that_went_back_follows_again_where_the_database_is_the_one_that_was_shown(hosts):
    await ended(hosts, "a", "b")
    hosts.anchor_file("a").unlink()
    log = await hosts.start("a")
    assert (await patiently(log, hosts.entry(9))).index == 2


async def test_a_damaged_identity_is_said_with_what_to_do(hosts):
    await ended(hosts, "a")
    for content in (b"", b"0123456789abcdef\n", b"0123456789abcdef 1", b"0123456789ABCDEF 1\n", bytes(30)):
        hosts.identity("a").write_bytes(content)
        with pytest.raises(Unavailable, match="damaged") as unavailable:
            await hosts.start("a")
        assert "remove the file" in unavailable.value.hint


def test_a_folder_of_anchors_that_is_not_there_is_not_made(tmp_path):
    """It may be a disk that is not mounted."""
    with pytest.raises(Unavailable, match="is not there") as unavailable:
        HostFile(tmp_path / "anchor" / "rekor.host", "label").load()
    assert "mount the disk" in unavailable.value.hint
    assert not (tmp_path / "anchor").exists()


def test_an_identity_is_random_and_kept_for_its_owner(tmp_path):
    files = [HostFile(tmp_path / name, "label") for name in "ab"]
    members = [file.load() for file in files]
    assert [file.load() for file in files] == members
    assert members[0].name != members[1].name
    assert {member.joined for member in members} == {0}
    files[0].save(Member(members[0].name, 7))
    assert files[0].load() == Member(members[0].name, 7)
    assert files[0].path.stat().st_mode & 0o777 == 0o600


async def test_a_host_that_comes_back_ends_the_session_that_it_had_before(hosts):
    """A network that is cut tells the server nothing; the host does not wait until that notices."""
    store = hosts.shared("a")
    await store.join(lambda: None, lambda: None, -1)
    former = store._bus
    began = time.monotonic()
    await store.join(lambda: None, lambda: None, -1)
    assert time.monotonic() - began < postgres_hosts.FREED_S
    await until(former.is_closed)
    await store.close()


# --- rows of an earlier version ----------------------------------------------------------------------------
async def test_hosts_of_an_earlier_version_take_their_rows_over_and_those_not_seen_yet_are_waited_for(hosts):
    await ended(hosts, "a", "b")
    make_earlier(hosts, "a", "b")
    fail_over(hosts)
    log = await hosts.start("a")
    assert listed(hosts) == {named(hosts, "a"), "b"}
    await waits_for(log, "missing: b (", "WHERE name = 'b'")
    await hosts.start("b")
    assert listed(hosts) == {named(hosts, "a"), named(hosts, "b")}
    await until(lambda: not log.fault)


async def test_two_that_had_one_row_in_an_earlier_version_are_two_from_then_on(hosts):
    hosts.labels = {"a": "machine:/srv/sigbox", "clone": "machine:/srv/sigbox"}
    await ended(hosts, "a", "clone")
    hosts.sql(f"DELETE FROM host WHERE name = '{named(hosts, 'clone')}'")
    hosts.identity("clone").unlink()
    make_earlier(hosts, "a")
    await ended(hosts, "a", "clone")
    assert listed(hosts) == {named(hosts, "a"), named(hosts, "clone")}
    fail_over(hosts)
    await waits_for(await hosts.start("clone"), f"[{named(hosts, 'a')}]")


@pytest.mark.parametrize("memory", ["none", "older"])
async def test_a_row_of_an_earlier_version_is_not_taken_over_by_who_does_not_remember_as_much(hosts, memory):
    log = await hosts.start("a")
    await log.submit(hosts.entry(0))
    shutil.copyfile(hosts.anchor_file("a"), hosts.folder / "older")
    await log.submit(hosts.entry(1))
    await hosts.end(log)
    await ended(hosts, "a", "b")
    make_earlier(hosts, "a", "b")
    hosts.anchor_file("a").unlink()
    if memory == "older":
        shutil.copyfile(hosts.folder / "older", hosts.anchor_file("a"))
    fail_over(hosts)
    await hosts.start("a")
    assert listed(hosts) == {"a", "b", named(hosts, "a")}
    await waits_for(await hosts.start("b"), "missing: a (")


async def test_a_host_of_an_earlier_version_goes_on_beside_the_others(hosts):
    """It knows three columns, and is on the list as before."""
    await ended(hosts, "a")
    hosts.sql("INSERT INTO host (name, lineage, size, at) VALUES ('old', 'before', 1, now())")
    hosts.sql("UPDATE head SET lineage = 'before'")
    log = await hosts.start("a")
    await waits_for(log, "missing: old (")
    hosts.sql("UPDATE host SET lineage = (SELECT lineage FROM host WHERE label = 'a') WHERE name = 'old'")
    await until(lambda: not log.fault)


async def test_a_line_as_an_earlier_version_wrote_it_is_the_same_line(hosts):
    await ended(hosts, "a", "b")
    line = hosts.sql("SELECT lineage FROM head").rpartition("/")[0]
    hosts.sql(f"UPDATE head SET lineage = '{line}'")
    hosts.sql(f"UPDATE host SET lineage = '{line}'")
    assert (await patiently(await hosts.start("b"), hosts.entry(9))).index == 2


async def test_a_dump_that_was_restored_into_the_same_server_is_another_line(hosts):
    """A host that has shown less than was lost would begin a second history."""
    await ended(hosts, "a", "b")
    for statement in (
        "CREATE TABLE restored (LIKE head INCLUDING ALL)",
        "INSERT INTO restored SELECT * FROM head",
        "DROP TABLE head",
        "ALTER TABLE restored RENAME TO head",
        "ALTER TABLE head OWNER TO sigbox",
    ):
        hosts.sql(statement)
    left = await hosts.start("b")
    await waits_for(left, f"missing: a [{named(hosts, 'a')}] (")
    await hosts.start("a")
    await until(lambda: not left.fault)


# --- room ------------------------------------------------------------------------------------------------
async def test_a_host_whose_disk_is_full_hands_the_log_over_reads_on_and_comes_back(hosts):
    """F04"""
    full = {"a": "the disk is full", "b": ""}
    logs = {"a": await hosts.start_writer("a"), "b": await hosts.start("b")}
    await patiently(logs["a"], hosts.entry(0))
    for name, log in logs.items():
        log.heed(lambda name=name: full[name])
    with pytest.raises(Unavailable, match="the disk is full"):
        await logs["a"].submit(hosts.entry(1))
    assert (await patiently(logs["b"], hosts.entry(1))).index == 1
    await until(lambda: logs["a"].size == 2 and "the disk is full" in logs["a"].fault)
    assert logs["b"].commits.entries == 1
    full["b"] = "the disk is full"
    with pytest.raises(Unavailable, match="the disk is full"):
        await logs["b"].submit(hosts.entry(2))
    full["a"] = ""
    assert (await patiently(logs["a"], hosts.entry(2))).index == 2
