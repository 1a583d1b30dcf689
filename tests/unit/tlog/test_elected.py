# SPDX-License-Identifier: Apache-2.0
"""One log on several hosts, in one process: whoever is asked, the answers are those of one log."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from sigcore import keys
from sigcore.errors import Malformed, Refused, Unavailable
from sigcore.limits import ENTRY
from sigcore.precertificate import precert_entry
from sigcore.sct import verify_sct
from sigcore.x509 import parse_certificate
from tests.postgres_server import running_server
from tests.unit.tlog.conftest import HandClock, Hosts, patiently
from tests.unit.tlog.test_ct import CA
from tests.until import until
from tlog.anchor_file import load_anchored
from tlog.ct import CertificateLogService
from tlog.log import Receipt, Submission


async def test_entries_of_all_hosts_are_one_log(hosts, entry, whole_tree):
    logs = [await hosts.start_writer("a"), await hosts.start("b"), await hosts.start("c")]
    receipts = await asyncio.gather(*(logs[number % 3].submit(entry(number)) for number in range(600)))
    assert sorted(receipt.index for receipt in receipts) == list(range(600))
    assert not any(receipt.duplicate for receipt in receipts)
    for log in logs:
        await until(lambda log=log: log.size == 600)
    leaves = [await whole_tree(hosts, log) for log in logs]
    assert leaves[0] == leaves[1] == leaves[2]
    for number, receipt in enumerate(receipts):
        assert leaves[0][receipt.index] == entry(number).leaf
    assert [log.commits.entries for log in logs] == [600, 0, 0]
    await until(lambda: all(log.waiting == 0 for log in logs))  # what was brought twice is found once more


async def test_what_is_acknowledged_by_one_host_is_found_by_it_and_anchored_there(hosts, entry):
    await hosts.start("a")
    log = await hosts.start("b")
    receipt = await log.submit(entry(1))
    assert await log.find(entry(1).identity) == receipt.index
    anchored = load_anchored(hosts.folder / "b" / "anchor.checkpoint")
    assert (anchored.size, anchored.checkpoint) == (receipt.size, receipt.checkpoint)


@pytest.mark.parametrize("first", [0, 1])
async def test_the_same_entry_has_one_index_whoever_brings_it_and_however_often(hosts, entry, first):
    logs = [await hosts.start(name) for name in "ab"]
    at_once = await asyncio.gather(*(logs[(first + number) % 2].submit(entry(7)) for number in range(6)))
    later = [await log.submit(entry(7)) for log in (*logs, *logs)]
    assert {receipt.index for receipt in (*at_once, *later)} == {0}
    assert all(receipt.duplicate for receipt in later)
    assert (await logs[0].submit(entry(8))).index == 1


async def test_who_is_elected_between_an_offer_and_its_first_step_writes_it(hosts, entry):
    elected: Any = (await hosts.start("a"))._sequencer
    await until(lambda: elected._sequencer)
    sequencer, elected._sequencer = elected._sequencer, None
    brought = elected.offer(entry(7))
    elected._sequencer = sequencer
    assert (await asyncio.wait_for(brought, 30)).index == 0
    assert elected.waiting == 0


async def test_of_two_contents_of_one_identity_the_first_counts_on_every_host(hosts):
    """Certificate Transparency: another host's promise has another time."""
    logs = [await hosts.start(name) for name in "ab"]
    identity = hashlib.sha256(b"same").digest()
    made = [Submission(b"leaf %d" % number, identity, b"promise %d" % number) for number in range(4)]
    receipts = await asyncio.gather(*(logs[number % 2].submit(one) for number, one in enumerate(made)))
    assert len({(receipt.index, receipt.leaf, receipt.extra) for receipt in receipts}) == 1
    for one, receipt in zip(made, receipts, strict=True):
        assert receipt.duplicate or (receipt.leaf, receipt.extra) == (one.leaf, one.extra)


async def test_a_certificate_gets_one_promise_whichever_host_is_asked(hosts):
    services, key = [], keys.generate_p256()
    for name in "ab":
        service = CertificateLogService(
            hosts.shared(name), hosts.anchor_of(name), origin="ct.example", key=key, roots=(CA.root,), clock=hosts.clock
        )
        await service.start()
        services.append(service)
    precert = CA.precert()
    scts = await asyncio.gather(*(services[number % 2].add_pre_chain(CA.chain(precert)) for number in range(8)))
    hosts.clock.turn(seconds=3)
    scts += [await service.add_pre_chain(CA.chain(precert)) for service in services]
    assert len(set(scts)) == 1
    issuer = parse_certificate(CA.intermediate)
    verify_sct(scts[0], precert_entry(parse_certificate(precert), issuer.spki), key.public_key())
    for service in services:
        await service.stop()


async def test_when_the_writer_stops_the_next_one_goes_on(hosts, entry, whole_tree):
    logs = [await hosts.start(name) for name in "abc"]
    for number in range(3):
        assert (await logs[-1].submit(entry(number))).index == number
        await hosts.end(logs.pop(0)) if number < 2 else None
    assert (await logs[0].submit(entry(9))).index == 3
    assert len(await whole_tree(hosts, logs[0])) == 4
    assert (await (await hosts.start("a")).submit(entry(0))).duplicate


async def test_entries_that_wait_while_a_writer_is_elected_are_written(hosts, entry):
    writer, other = await hosts.start_writer("a"), await hosts.start("b")
    await other.submit(entry(0))
    hosts.sql(f"SELECT pg_terminate_backend({hosts.writing()})")
    receipts = await asyncio.gather(*(other.submit(entry(number)) for number in range(1, 50)), return_exceptions=True)
    assert {type(receipt) for receipt in receipts} <= {Unavailable, Receipt}
    again = await asyncio.gather(*(patiently(other, entry(number)) for number in range(50)))
    assert sorted(receipt.index for receipt in again) == list(range(50))
    await until(lambda: not writer.fault)


async def test_a_leaf_that_no_bundle_can_hold_is_malformed_on_every_host(hosts):
    for name in "ab":
        log = await hosts.start(name)
        with pytest.raises(Malformed, match="bytes long"):
            await log.submit(Submission(bytes(ENTRY + 1), bytes(32)))


async def test_no_head_is_signed_earlier_than_an_entry_below_it_was_promised(hosts, entry, monkeypatch):
    ahead = HandClock()
    ahead.turn(seconds=4)
    writer, other = await hosts.start_writer("a"), await hosts.start("b", ahead)
    await writer.submit(entry(0))
    promised_ms = other.clock.now_ms()
    await other.submit(entry(1))
    await until(lambda: writer.size == 2)  # what it has committed, another host may show first
    assert writer.head.timestamp_ms >= promised_ms
    monkeypatch.setattr("tlog.elected.PATIENCE_S", 1.5)
    ahead.turn(minutes=1)
    with pytest.raises(Unavailable, match="no host has written the entry"):
        await other.submit(entry(2))
    assert writer.size == 2
    assert (await writer.submit(entry(3))).index == 2


# --- after a failover or a restored copy --------------------------------------------------------------------
async def test_a_host_that_has_shown_more_than_the_database_holds_does_not_serve(hosts, entry):
    for number, log in enumerate([await hosts.start(name) for name in "ab"]):
        await log.submit(entry(number))
    for log in tuple(hosts.logs):
        await until(lambda log=log: log.size == 2)
        await hosts.end(log)
    hosts.sql("DELETE FROM entry WHERE idx = 1")
    hosts.sql("UPDATE head SET size = 1")
    for name in "ab":
        with pytest.raises(Refused):
            await hosts.start(name)
    hosts.sql("TRUNCATE entry")
    hosts.sql("UPDATE head SET size = 0")
    with pytest.raises(Refused, match="has 0 entries, but a checkpoint of 2 has been published"):
        await hosts.start("a")


async def test_on_another_line_of_servers_the_writer_waits_for_the_word_of_every_host(hosts, entry):
    """What is missing in a promoted replica or a restored copy, only those know who have shown it."""
    writer, other = await hosts.start("a"), await hosts.start("b")
    await other.submit(entry(0))
    await hosts.end(writer)
    await hosts.end(other)
    hosts.sql("UPDATE head SET lineage = 'before'")
    hosts.sql("UPDATE host SET lineage = 'before'")
    other = await hosts.start("b")
    await until(lambda: "not every host has said" in other.fault)
    assert "missing: a [" in other.fault
    with pytest.raises(Unavailable, match="not every host has said"):
        await other.submit(entry(1))
    assert other.size == 1  # reading goes on
    await hosts.start("a")
    await until(lambda: not other.fault)
    assert (await patiently(other, entry(1))).index == 1


async def test_a_host_that_is_gone_for_good_is_struck_off_by_the_command_in_the_message(hosts, entry):
    for name in "ab":
        await (await hosts.start(name)).submit(entry(0))
    for log in tuple(hosts.logs):
        await hosts.end(log)
    hosts.sql("UPDATE head SET lineage = 'before'")
    hosts.sql("UPDATE host SET lineage = 'before'")
    left = await hosts.start("b")
    await until(lambda: "DELETE FROM" in left.fault)
    hosts.sql(left.fault[left.fault.index("DELETE FROM") :].rstrip(")"))
    await until(lambda: not left.fault)
    assert (await patiently(left, entry(1))).index == 1


async def test_a_database_that_is_away_for_long_is_no_damage(hosts, entry, monkeypatch):
    log = await hosts.start("a")
    await log.submit(entry(0))
    monkeypatch.setattr("tlog.log.RETRY_S", 0.01)
    audit, away = log.audit, [Unavailable("the log's database cannot be reached")] * 10

    async def sometimes(**options):
        if away:
            raise away.pop()
        return await audit(**options)

    monkeypatch.setattr(log, "audit", sometimes)
    await log.audit_in_background()
    assert (log.damage, log.audited.entries) == ("", 1)


async def test_a_writer_that_finds_another_line_of_servers_does_not_go_on_without_the_roll(hosts):
    """What it has not seen, because its commit had no answer, another host may have shown."""
    store = hosts.shared("a")
    await store.join(lambda: None, lambda: None, -1)
    await store.take_over()
    await store.call_roll()
    await store.reopen()
    store._line = "before"
    with pytest.raises(Unavailable, match="was failed over from before to"):
        await store.reopen()
    await store.close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_no_host_serves_from_a_server_that_forgets(tmp_path, postgres, setting):
    with running_server(f"{setting} = off\n") as server:
        hosts = Hosts(tmp_path, server)
        with pytest.raises(Refused, match=f"{setting} = off: what it acknowledges does not survive"):
            await hosts.start("a")


async def test_a_server_that_forgets_since_the_hosts_joined_gets_no_writer_and_says_why(tmp_path, postgres):
    with running_server() as server:
        hosts = Hosts(tmp_path, server)
        writer, other = await hosts.start_writer("a"), await hosts.start("b")
        await writer.submit(hosts.entry(0))
        hosts.sql("ALTER ROLE sigbox SET synchronous_commit = off")
        await hosts.end(writer)
        await until(lambda: "synchronous_commit = off: what it acknowledges does not survive" in other.fault)
        hosts.sql("ALTER ROLE sigbox RESET synchronous_commit")
        assert (await patiently(other, hosts.entry(1))).index == 1
        await hosts.end(other)
