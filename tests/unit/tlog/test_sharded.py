# SPDX-License-Identifier: Apache-2.0
"""Trees of Rekor v1 behind one index, from the outside: what is said of each entry is computed again by other means."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from itertools import count

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys
from sigcore.errors import Refused, Unavailable
from tests.unit.sigcore.v1_proposals import hashedrekord
from tlog import rekor_v1
from tlog.anchor import MemoryAnchor
from tlog.sharded import Sharded
from tlog.signature_log import RekorV1
from tlog.storage.memory import Memory, MemoryStore
from tlog.storage.search_index import MemoryIndex

ENTRIES = "/api/v1/log/entries"
HOST = "log.example"


class Place:
    """Where one tree is kept; opening it again is a restart."""

    def __init__(self) -> None:
        self.key, self.memory, self.anchor = keys.generate_p256(), Memory(), MemoryAnchor()

    def tree(self, clock) -> RekorV1:
        return RekorV1(MemoryStore(self.memory), self.anchor, MemoryIndex(), host=HOST, key=self.key, clock=clock)


class Site:
    """A log of several trees behind HTTP."""

    def __init__(self, clock, serve) -> None:
        self.places, self.clock, self._serve = [Place()], clock, serve
        self.opened: list[RekorV1] = []

    async def start(self):
        first, *later = (place.tree(self.clock) for place in self.places)
        await first.start()
        self.opened.append(first)
        self.rekor = Sharded(first)
        for tree in later:
            await self.enter(tree)
        app = web.Application()
        app.add_routes(rekor_v1.make_routes(self.rekor))
        return await self._serve(app)

    async def enter(self, tree: RekorV1) -> None:
        if tree not in self.opened:
            await tree.open()
            self.opened.append(tree)
        await self.rekor.succeed(tree)

    def next(self) -> RekorV1:
        self.places.append(Place())
        return self.places[-1].tree(self.clock)

    async def stop(self) -> None:
        while self.opened:
            await self.opened.pop().stop()


@pytest.fixture
async def site(hand_clock, aiohttp_client):
    site = Site(hand_clock, aiohttp_client)
    yield site
    await site.stop()


@pytest.fixture
def proposals():
    """Each another one."""
    return (hashedrekord(f"artifact {number}".encode()) for number in count())


async def add(client, proposal: dict) -> tuple[str, dict]:
    response = await client.post(ENTRIES, json=proposal)
    assert response.status == 201, await response.text()
    ((entry_id, entry),) = (await response.json()).items()
    assert response.headers["ETag"] == entry_id
    return entry_id, entry


async def got(client, path: str):
    response = await client.get(path)
    assert response.status == 200, (path, await response.text())
    return await response.json()


async def retrieved(client, **query) -> list[tuple[str, dict]]:
    response = await client.post(f"{ENTRIES}/retrieve", json=query)
    assert response.status == 200
    return [item for one in await response.json() for item in one.items()]


async def status_of(client, path: str) -> int:
    return (await client.get(path)).status


# --- computed again: RFC 6962 section 2.1 as it is written there, and nothing of ours ----------------------------
def root_of(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + root_of(leaves[:split]) + root_of(leaves[split:])).digest()


def path_of(place: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if place < split:
        return [*path_of(place, leaves[:split]), root_of(leaves[split:])]
    return [*path_of(place - split, leaves[split:]), root_of(leaves[:split])]


def check_signature(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> None:
    key.verify(signature, data, ec.ECDSA(hashes.SHA256()))


def check_entry(
    entry_id: str, entry: dict, tree_id: int, place: int, before: int, leaves: list[bytes], pem: bytes
) -> None:
    """Index over all trees and promise; place, path, root and checkpoint of its own tree."""
    key = serialization.load_pem_public_key(pem)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    log_id, body = hashlib.sha256(spki).hexdigest(), base64.b64decode(entry["body"])
    assert body == leaves[place]
    assert entry_id == f"{tree_id:016x}{hashlib.sha256(bytes(1) + body).hexdigest()}"
    assert (entry["logIndex"], entry["logID"]) == (before + place, log_id)
    promised = {name: entry[name] for name in ("body", "integratedTime", "logID", "logIndex")}
    data = json.dumps(promised, sort_keys=True, separators=(",", ":")).encode()
    check_signature(key, base64.b64decode(entry["verification"]["signedEntryTimestamp"]), data)
    proof = entry["verification"]["inclusionProof"]
    assert (proof["logIndex"], proof["treeSize"]) == (place, len(leaves))
    assert proof["rootHash"] == root_of(leaves).hex()
    assert proof["hashes"] == [node.hex() for node in path_of(place, leaves)]
    text, _, line = proof["checkpoint"].partition("\n\n")
    assert text == f"{HOST} - {tree_id}\n{len(leaves)}\n{base64.b64encode(root_of(leaves)).decode()}"
    name, signed = line.removeprefix("— ").split()
    hint, signature = base64.b64decode(signed)[:4], base64.b64decode(signed)[4:]
    assert (name, hint.hex()) == (HOST, log_id[:8])
    check_signature(key, signature, f"{text}\n".encode())


async def test_l20_two_trees_of_3_and_5_entries_have_one_index_and_each_its_own_proofs(site, proposals):
    client = await site.start()
    answers = [await add(client, next(proposals)) for _ in range(2)]
    await site.enter(site.next())
    answers += [await add(client, next(proposals)) for _ in range(4)]
    assert [entry["logIndex"] for _, entry in answers] == [1, 2, 4, 5, 6, 7]

    info = await got(client, "/api/v1/log")
    (old,) = info["inactiveShards"]
    assert (old["treeSize"], info["treeSize"]) == (3, 5)
    trees = [int(old["treeID"])] * 3 + [int(info["treeID"])] * 5
    by_index = [next(iter((await got(client, f"{ENTRIES}?logIndex={index}")).items())) for index in range(8)]
    bodies = [base64.b64decode(entry["body"]) for _, entry in by_index]
    assert len(set(bodies)) == 8
    for index, (entry_id, entry) in enumerate(by_index):
        before, end = (0, 3) if index < 3 else (3, 8)
        pem = await (await client.get(f"/api/v1/log/publicKey?treeID={trees[index]}")).read()
        check_entry(entry_id, entry, trees[index], index - before, before, bodies[before:end], pem)
        for one in (entry_id, entry_id[16:]):
            ((found_id, found),) = (await got(client, f"{ENTRIES}/{one}")).items()
            check_entry(found_id, found, trees[index], index - before, before, bodies[before:end], pem)
    assert await status_of(client, f"{ENTRIES}?logIndex=8") == 404
    for shown, size in ((old, 3), (info, 5)):
        leaves = bodies[:3] if size == 3 else bodies[3:]
        assert shown["rootHash"] == root_of(leaves).hex()
        assert shown["signedTreeHead"].split("\n")[1] == str(size)

    both = await retrieved(client, logIndexes=[7, 0, 99, 3, 2])
    assert [entry["logIndex"] for _, entry in both] == [7, 0, 3, 2]
    both = await retrieved(client, entryUUIDs=[by_index[1][0], by_index[6][0][16:], by_index[0][0][:16] + "0" * 64])
    assert [entry["logIndex"] for _, entry in both] == [1, 6]
    wrong_tree = f"{by_index[6][0][:16]}{by_index[1][0][16:]}"
    assert await status_of(client, f"{ENTRIES}/{wrong_tree}") == 404


async def test_each_tree_has_its_key_and_its_proofs(site, proposals):
    client = await site.start()
    await add(client, next(proposals))
    before = await got(client, "/api/v1/log")
    assert before["inactiveShards"] == []
    await site.enter(site.next())
    info = await got(client, "/api/v1/log")
    (old,) = info["inactiveShards"]
    assert {name: before[name] for name in old} == old, "it is what it was"
    assert old["treeID"] != info["treeID"]
    asked = {
        tree: await (await client.get(f"/api/v1/log/publicKey{tree}")).text()
        for tree in ("", f"?treeID={info['treeID']}", f"?treeID={old['treeID']}")
    }
    newest, same, first = asked.values()
    assert newest == same != first
    assert first == site.rekor.trees[0].public_key_pem
    proof = await got(client, f"/api/v1/log/proof?lastSize=2&treeID={old['treeID']}")
    assert proof["rootHash"] == old["rootHash"]
    assert len(proof["hashes"]) == 1
    assert (await got(client, "/api/v1/log/proof?lastSize=1"))["rootHash"] == info["rootHash"]
    for path in ("/api/v1/log/proof?lastSize=2", "/api/v1/log/proof?lastSize=1&treeID=77"):
        assert await status_of(client, path) == 400, "the active tree has one entry; there is no tree 77"
    assert await status_of(client, "/api/v1/log/publicKey?treeID=77") == 400


async def test_an_entry_that_an_older_tree_has_may_be_added_and_both_are_found(site, proposals):
    client = await site.start()
    proposal = next(proposals)
    old_id, old = await add(client, proposal)
    await site.enter(site.next())
    new_id, new = await add(client, proposal)
    assert old_id[16:] == new_id[16:]
    assert old_id[:16] != new_id[:16]
    assert (old["logIndex"], new["logIndex"]) == (1, 3)
    assert old["logID"] != new["logID"]
    again = await client.post(ENTRIES, json=proposal)
    assert (again.status, again.headers["Location"]) == (409, f"{ENTRIES}/{new_id}")
    assert list(await got(client, f"{ENTRIES}/{new_id[16:]}")) == [new_id], "the newest first, as upstream"
    assert list(await got(client, f"{ENTRIES}/{old_id}")) == [old_id]
    for query in ({"entries": [proposal]}, {"entryUUIDs": [new_id[16:]]}):
        assert [entry_id for entry_id, _ in await retrieved(client, **query)] == [new_id, old_id]
    digest = proposal["spec"]["data"]["hash"]["value"]
    found = await client.post("/api/v1/index/retrieve", json={"hash": digest})
    assert await found.json() == [old_id, new_id]


async def test_who_brings_entries_while_the_tree_changes_notices_nothing(site, proposals):
    client = await site.start()
    trees = [site.next() for _ in range(2)]

    async def bring() -> list[tuple[str, dict]]:
        return [await add(client, next(proposals)) for _ in range(12)]

    bringing = [asyncio.create_task(bring()) for _ in range(8)]
    for tree, least in zip(trees, (20, 55), strict=True):
        while sum(one.log.size for one in site.rekor.trees) < least:
            assert not any(task.done() for task in bringing)
            await asyncio.sleep(0)
        await site.enter(tree)
    added = [one for task in bringing for one in await task]
    sizes = [tree.log.size for tree in site.rekor.trees]
    assert len(sizes) == 3
    assert sum(sizes) == 96 + 3, "what was answered, and three first entries"
    assert min(sizes) > 2
    firsts = {0, sizes[0], sizes[0] + sizes[1]}
    assert {entry["logIndex"] for _, entry in added} == set(range(99)) - firsts
    for entry_id, entry in added:
        ((now_id, now),) = (await got(client, f"{ENTRIES}?logIndex={entry['logIndex']}")).items()
        assert now_id == entry_id
        assert {name: now[name] for name in ("body", "integratedTime", "logID", "logIndex")} == {
            name: entry[name] for name in ("body", "integratedTime", "logID", "logIndex")
        }, "what was promised once is what is so"


async def test_a_start_goes_on_where_it_was(site, proposals):
    client = await site.start()
    for _ in range(2):
        await add(client, next(proposals))
        await site.enter(site.next())
    added = await add(client, next(proposals))
    before = [await got(client, f"{ENTRIES}?logIndex={index}") for index in range(6)]
    info = await got(client, "/api/v1/log")
    await site.stop()
    client = await site.start()
    assert await got(client, "/api/v1/log") == info
    for index, answer in enumerate(before):
        ((entry_id, old),) = answer.items()
        ((again, new),) = (await got(client, f"{ENTRIES}?logIndex={index}")).items()
        assert (entry_id, old["logIndex"], old["verification"]["inclusionProof"]) == (
            again,
            new["logIndex"],
            new["verification"]["inclusionProof"],
        )
    assert (await add(client, next(proposals)))[1]["logIndex"] == added[1]["logIndex"] + 1


async def test_trees_that_do_not_fit_together_are_refused(site, proposals):
    client = await site.start()
    await add(client, next(proposals))
    await site.enter(site.next())
    await site.stop()
    newer = site.places.pop()
    client = await site.start()  # as after a restore that has lost the newer tree
    await add(client, next(proposals))
    await site.stop()
    site.places.append(newer)
    with pytest.raises(Refused, match="has not begun after the 3 entries before it"):
        await site.start()


async def test_a_change_that_fails_loses_nothing_and_is_done_again(site, proposals, monkeypatch):
    client = await site.start()
    await add(client, next(proposals))
    tree = site.next()
    begin = tree.begin

    async def fail(*_marks: bytes) -> None:
        raise Unavailable("the disk is away")

    monkeypatch.setattr(tree, "begin", fail)
    with pytest.raises(Unavailable, match="the disk is away"):
        await site.enter(tree)
    refused = await client.post(ENTRIES, json=(proposal := next(proposals)))
    assert (refused.status, "next tree" in await refused.text()) == (503, True)
    assert await status_of(client, f"{ENTRIES}?logIndex=1") == 200
    assert (await got(client, "/api/v1/log"))["inactiveShards"] == []
    monkeypatch.setattr(tree, "begin", begin)
    await site.enter(tree)
    assert (await add(client, proposal))[1]["logIndex"] == 3


async def test_a_tree_whose_outcome_is_not_known_is_followed_by_none(site, proposals, monkeypatch):
    client = await site.start()
    await add(client, next(proposals))
    old, tree = site.rekor.active, site.next()
    monkeypatch.setattr(old.log._sequencer, "_fault", "it is being read back")
    with pytest.raises(Unavailable, match="it is being read back"):
        await site.enter(tree)
    assert tree.log.size == 0
    monkeypatch.setattr(old.log._sequencer, "_fault", "")
    await site.enter(tree)
    assert (await add(client, next(proposals)))[1]["logIndex"] == 3


async def test_a_tree_takes_nothing_past_its_window_while_none_follows(site, proposals, hand_clock):
    client = await site.start()
    site.rekor.active.log.ends_ms = site.rekor.active.log.clock.latest_ms() + 1000
    await add(client, next(proposals))
    hand_clock.turn(seconds=2)
    assert (await client.post(ENTRIES, json=(proposal := next(proposals)))).status == 503
    await site.enter(site.next())
    assert (await add(client, proposal))[1]["logIndex"] == 3
