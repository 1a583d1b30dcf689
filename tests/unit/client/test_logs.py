# SPDX-License-Identifier: Apache-2.0
"""Reading logs: what is handed out was led to a signed head, and what a log signs is held against what it signed before."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from client.logs import seen
from client.logs.choice import choose_log, generation_of, logs_before, other_trees
from client.logs.decoded import decode_entry, read_named
from client.logs.reader import LogReader, SignedHead
from client.logs.rekor_v1 import RekorV1Log
from client.logs.seen import Forked, SeenHeads, follow, state_folder
from client.transport import Response, ServiceRefused
from sigcore import merkle
from sigcore.errors import Malformed, NotFound, Refused, SigError
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.trustroot import TrustedRoot, Validity
from tests.unit.client.minilog import NOW, MiniLogV1, answer_v1
from tests.unit.client.minisig import EMAIL, ISSUER, MiniSigstore
from tests.unit.client.served_logs import NOT_FOUND, URL, Served, body, instance, served_v1, served_v2

SIZES = (1, 2, 7, 8, 13, 256, 257, 300)
BOTH = pytest.mark.parametrize("serve", [served_v1, served_v2], ids=["v1", "v2"])


def older(served: Served) -> int:
    return served.log.older if isinstance(served.log, MiniLogV1) else 0


# --- reading -----------------------------------------------------------------------------------------
@BOTH
@pytest.mark.parametrize("size", SIZES)
async def test_every_entry_that_is_looked_at_is_proved(serve, size: int):
    served, reader = serve(size)
    head = await reader.head()
    assert (head.size, head.root) == (size, merkle.root_of(size, served.log.node))
    for index in {0, size // 2, size - 1}:
        entry = await reader.entry(older(served) + index, head)
        assert (entry.index, entry.body, entry.proof.size) == (older(served) + index, body(index), size)
    with pytest.raises(NotFound, match="no entry"):
        await reader.entry(older(served) + size, head)


@BOTH
async def test_all_entries_from_one_on_come_in_their_order(serve):
    served, reader = serve(300)
    head = await reader.head()
    assert [entry.body async for entry in reader.entries(250, head)] == [body(number) for number in range(250, 300)]
    assert [entry.index async for entry in reader.entries(300, head)] == []
    assert [entry.index async for entry in reader.entries(299, head)] == [older(served) + 299]


@BOTH
@pytest.mark.parametrize("first", SIZES)
@pytest.mark.parametrize("second", [8, 300])
async def test_roots_of_earlier_trees_are_found_and_proved(serve, first: int, second: int):
    served, reader = serve(300)
    head = await reader.head()
    if first > second:
        return
    roots = [await reader.root(size, head) for size in (first, second)]
    assert roots == [merkle.root_of(size, served.log.node) for size in (first, second)]
    proof = await reader.consistency(first, second, head)
    merkle.verify_consistency(first=first, second=second, first_root=roots[0], second_root=roots[1], proof=proof)


async def test_v1_finds_an_entry_by_its_leaf_hash_with_and_without_the_number_of_its_tree():
    served, reader = served_v1(20)
    leaf_hash = merkle.hash_leaf(body(7)).hex()
    for entry_id in (leaf_hash, f"{4242:016x}{leaf_hash}"):
        assert (await reader.find(entry_id)).index == served.log.older + 7
    with pytest.raises(NotFound):
        await reader.find("00" * 32)
    with pytest.raises(Malformed, match="64 or 80"):
        await reader.find("00" * 31)


async def test_v2_is_read_below_either_prefix_and_says_that_it_has_no_ids():
    served, reader = served_v2(3)
    served.prefix = ""
    assert (await reader.head()).size == 3
    assert served.asked == ["/api/v2/checkpoint", "/checkpoint"]
    await reader.entry(1, await reader.head())
    assert all(not path.startswith("/api") for path in served.asked[1:])
    with pytest.raises(NotFound, match="by their index"):
        await reader.find("00" * 32)


async def test_where_a_partial_tile_is_gone_the_complete_one_is_taken():
    served, reader = served_v2(300)
    head = served.head(260)
    served.change = lambda path, answer: NOT_FOUND if "001.p/" in path else answer
    served.log.leaves += [body(number) for number in range(300, 512)]
    entry = await reader.entry(258, head)
    assert (entry.body, entry.proof.size) == (body(258), 260)


# --- lies --------------------------------------------------------------------------------------------
def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("kind", ["tile/0/", "tile/1/", "tile/entries/"])
async def test_v2_one_changed_byte_of_a_tile_is_refused(kind: str):
    served, reader = served_v2(700)
    served.change = lambda path, answer: Response(200, flipped(answer.body)) if kind in path else answer
    head = await reader.head()
    with pytest.raises(SigError):
        await reader.entry(699 if kind == "tile/entries/" else 0, head)


def changed(**members: object):
    """An answer whose only entry has other members."""

    def change(path: str, answer: Response) -> Response:
        if "entries" not in path:
            return answer
        ((name, entry),) = json.loads(answer.body).items()
        return Response(200, json.dumps({name: {**entry, **members}}).encode())

    return change


@pytest.mark.parametrize(
    "members",
    [
        {"body": "eyJhIjoxfQ=="},
        {"logID": "00" * 32},
        {"logIndex": 1001},
        {"integratedTime": 1},
        {"verification": {}},
    ],
    ids=lambda members: next(iter(members)),
)
async def test_v1_an_answer_that_says_something_else_is_refused(members):
    served, reader = served_v1(20)
    head = await reader.head()
    served.change = changed(**members)
    with pytest.raises(SigError):
        await reader.entry(1007, head)


async def test_v1_a_genuine_entry_of_another_place_is_refused():
    served, reader = served_v1(20)
    head = await reader.head()
    other = served.json(served.entry_v1(1008))
    served.change = lambda path, answer: other if "entries" in path else answer
    with pytest.raises(Refused, match="entry 1008"):
        await reader.entry(1007, head)
    with pytest.raises(Refused, match="another entry"):
        await reader.find(merkle.hash_leaf(body(7)).hex())


def promising(served: Served, hidden: int, shown: int) -> None:
    """The log promises, under the index of the ``hidden`` leaf of its tree, the one that is ``shown``."""
    log = served.log

    def entry(index: int) -> dict[str, object]:
        place, head = shown if index == log.older + hidden else index - log.older, served.head()
        path = merkle.inclusion_proof(place, head.size, log.node)
        proof = InclusionProof(place, head.size, head.root, path, head.envelope)
        plain = LogEntry(index, log.id, "hashedrekord", "0.0.1", int(NOW.timestamp()), log.leaves[place], proof)
        return answer_v1(log.promise(plain))

    served.entry_v1 = entry


async def test_v1_a_leaf_of_another_place_hides_no_entry():
    """L20: the promise names the index, the proof the place in the tree; both must be that of the entry."""
    served, reader = served_v1(20)
    head = await reader.head()
    promising(served, hidden=7, shown=0)
    with pytest.raises(Refused, match="place 0 of the tree"):
        await reader.entry(served.log.older + 7, head)
    with pytest.raises(Refused, match="place 0 of the tree"):
        [entry async for entry in reader.entries(5, head)]
    with pytest.raises(Refused, match="place 0 of the tree"):
        await reader.root(7, head)


@pytest.mark.parametrize("count", [0, 3], ids=["of the same size", "grown"])
async def test_v1_entries_of_another_tree_than_the_one_that_is_followed_are_a_fork(count: int):
    """V20: the log signs one tree for whoever follows it, and proves its entries in another one."""
    served, reader = served_v1(20)
    head = await reader.head()
    other = MiniLogV1(served.log.origin, key=served.log.key, leaves=[*served.log.leaves])
    other.leaves[7] = body(1000)
    other.leaves += [body(20 + number) for number in range(count)]
    served.log = other
    for read in (lambda: reader.entry(other.older + 7, head), lambda: collected(reader, head)):
        with pytest.raises(Forked) as found:
            await read()
        assert head.envelope in found.value.evidence
        assert f"size {len(other.leaves)}" in found.value.evidence


async def test_v1_entries_are_proved_under_a_later_head_of_the_same_tree():
    served, reader = served_v1(20)
    head = await reader.head()
    grow(served, 5)
    assert [entry.body for entry in await collected(reader, head)] == [body(number) for number in range(20)]
    assert sum("/proof" in path for path in served.asked) == 1


# --- Rekor v1 after a rotation: several trees with a key each, behind one index ---------------------------------
def rotated(older: int, newer: int, *, follow: int) -> tuple[Served, RekorV1Log]:
    """A log whose old tree has ``older`` entries and its new one ``newer``; ``follow`` is which of them is read."""
    old = Served(MiniLogV1("log.example", leaves=[body(number) for number in range(older)], older=0))
    new = Served(MiniLogV1("log.example", leaves=[body(older + number) for number in range(newer)], older=older))

    new.answer_v1 = partial(answer_for_either, old, new, older)  # type: ignore[method-assign]  # entries are of both
    logs = instance(old.log), instance(new.log)
    return new, RekorV1Log(new, URL, logs[follow], (logs[1 - follow],))


def answer_for_either(old: Served, new: Served, older: int, path: str, sent: bytes | None) -> Response:
    """As a log of both trees; what it says of itself is of the new one, and in ``inactiveShards`` of the old one."""
    if path == "/api/v1/log":
        now, ended = (json.loads(Served.answer_v1(one, path, None).body) for one in (new, old))
        del ended["inactiveShards"]
        return Served.json(now | {"inactiveShards": [ended | {"treeID": "41"}]})
    if path.endswith("/retrieve") and sent is not None:
        indexes = json.loads(sent)["logIndexes"]
        return Served.json([(old if index < older else new).entry_v1(index) for index in indexes])
    index = int(path.partition("logIndex=")[2] or older)
    return Served.answer_v1(old if index < older or path.endswith("treeID=41") else new, path, sent)


@pytest.mark.parametrize("follow", [0, 1], ids=["the old tree", "the new tree"])
async def test_v1_either_tree_is_followed_by_its_key_and_all_entries_are_read(follow: int, tmp_path: Path):
    _, reader = rotated(3, 5, follow=follow)
    head, _ = await seen.follow(reader, SeenHeads(str(tmp_path)))
    assert (head.size, reader.first, reader.starts, reader.ended) == ((3, 0), (5, 3))[follow] + ((0, 3), follow == 0)
    assert await reader.root(2, head) != head.root
    last = reader.first + head.size
    assert [(await reader.entry(index, head)).body for index in range(last)] == [body(index) for index in range(last)]
    assert [one.index for one in await collected(reader, head)] == [*range(reader.first, last)]
    with pytest.raises(NotFound):
        await reader.entry(last, head)


async def test_v1_an_entry_of_the_new_tree_by_the_key_of_the_old_one_is_refused():
    """Whoever has stolen the old key signs a tree with it that is the same but for that."""
    served, reader = rotated(3, 5, follow=1)
    head = await reader.head()
    stolen = served.answer_v1.args[0].log.key
    forged = Served(MiniLogV1("log.example", key=stolen, leaves=served.log.leaves, older=3))
    assert (await reader.entry(2, head)).log_id == forged.log.id, "of the old tree the same key is good"
    served.change = lambda path, answer: forged.answer_v1(path, None) if "logIndex=" in path else answer
    with pytest.raises(Refused, match="entry 5 is of the log"):
        await reader.entry(5, head)


async def test_v1_an_entry_by_a_key_that_is_not_trusted_is_refused_in_any_tree():
    served, _ = rotated(3, 5, follow=1)
    alone = RekorV1Log(served, URL, instance(served.log))
    head = await alone.head()
    assert (await alone.entry(3, head)).index == 3
    with pytest.raises(Refused, match="an entry of the log"):
        await alone.entry(2, head)


def test_v1_a_reader_knows_the_trees_before_its_own():
    log, others = instance(served_v1(1)[0].log), [instance(served_v1(1)[0].log) for _ in range(2)]
    older = replace(others[0], validity=Validity(NOW - timedelta(days=1), NOW))
    newer = replace(others[1], validity=Validity(NOW + timedelta(days=1)))
    elsewhere = replace(older, base_url="http://other.example", log_id=bytes(32))
    root = TrustedRoot(
        logs=(newer, log, older, elsewhere), ct_logs=(), certificate_authorities=(), timestamp_authorities=()
    )
    assert other_trees(root, log) == (older, newer)
    reader = RekorV1Log(served_v1(1)[0], URL, log, other_trees(root, log))
    (before,) = reader.before()
    assert (before.log, before.others) == (older, (log, newer))


async def collected(reader: LogReader, head: SignedHead) -> list[LogEntry]:
    return [entry async for entry in reader.entries(0, head)]


async def test_v2_a_reader_that_follows_for_months_keeps_the_tiles_of_few_heads():
    served, reader = served_v2(300)
    for _ in range(20):
        grow(served, 1)
        head = await reader.head()
        await reader.entry(head.size - 1, head)
    assert len(reader._nodes) <= 2


@BOTH
async def test_a_head_that_another_key_has_signed_is_refused(serve):
    served, reader = serve(20)
    stranger, _ = serve(20)
    served.change = lambda _path, _answer: stranger.answer(served.asked[-1], None)
    with pytest.raises(Refused):
        await reader.head()


async def test_v1_a_size_that_the_signed_head_does_not_say_is_refused():
    served, reader = served_v1(20)

    def change(_path: str, answer: Response) -> Response:
        return Response(200, json.dumps({**json.loads(answer.body), "treeSize": 21}).encode())

    served.change = change
    with pytest.raises(Refused, match="has signed 20"):
        await reader.head()


@pytest.mark.parametrize("status", [404, 405, 403])
async def test_what_is_no_log_refuses_in_its_own_words(status: int):
    served, reader = served_v2(1)
    served.change = lambda _path, _answer: Response(status, b'{"message": "who are you"}')
    with pytest.raises(ServiceRefused, match="who are you"):
        await reader.head()


# --- what was seen before ------------------------------------------------------------------------------
def grow(served: Served, count: int) -> None:
    served.log.leaves += [body(number) for number in range(len(served.log.leaves), len(served.log.leaves) + count)]


@BOTH
async def test_a_growing_log_is_followed_and_remembered(serve, tmp_path: Path):
    served, reader = serve(5)
    seen = SeenHeads(str(tmp_path / "state"))
    assert (await follow(reader, seen))[1] is None
    for _ in range(3):
        grow(served, 7)
        head, before = await follow(reader, seen)
        assert (head.size, before.size) == (len(served.log.leaves), len(served.log.leaves) - 7)
    head, before = await follow(reader, seen)
    assert head.checkpoint == before.checkpoint
    (file,) = (tmp_path / "state").iterdir()
    assert file.read_text() == before.envelope
    assert file.stat().st_mode & 0o777 == 0o600


@BOTH
@pytest.mark.parametrize("count", [0, 7], ids=["of the same size", "grown"])
async def test_a_log_that_shows_another_history_is_refused_with_both_checkpoints(serve, count: int, tmp_path: Path):
    served, reader = serve(5)
    seen = SeenHeads(str(tmp_path))
    first, _ = await follow(reader, seen)
    served.log.leaves[2] = body(1000)
    grow(served, count)
    with pytest.raises(Forked) as found:
        await follow(reader, seen)
    assert first.envelope in found.value.evidence
    assert served.origin in found.value.evidence.split("shown now")[1]
    assert seen.load(reader.log, served.origin, reader.generation) == first  # what was seen stays


@BOTH
async def test_a_log_that_went_back_is_refused(serve, tmp_path: Path):
    served, reader = serve(9)
    seen = SeenHeads(str(tmp_path))
    await follow(reader, seen)
    del served.log.leaves[5:]
    with pytest.raises(Forked, match="went back"):
        await follow(reader, seen)


async def test_a_remembered_checkpoint_that_was_edited_is_not_believed(tmp_path: Path):
    _, reader = served_v2(9)
    seen = SeenHeads(str(tmp_path))
    await follow(reader, seen)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace("\n9\n", "\n8\n"))
    with pytest.raises(Refused, match="none of this log"):
        await follow(reader, seen)


async def test_logs_and_trees_do_not_share_a_file(tmp_path: Path):
    seen = SeenHeads(str(tmp_path))
    readers: list[LogReader] = [served_v1(3)[1], served_v2(3)[1], served_v2(4)[1]]
    for reader in readers:
        await follow(reader, seen)
    log = instance(served_v2(1)[0].log)
    assert len(list(tmp_path.iterdir())) == 3
    assert seen.path(log, "a") != seen.path(log, "b")


def test_the_state_lies_where_the_user_says():
    assert state_folder({"SIGBOX_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}) == "/s/logs"
    assert state_folder({"XDG_STATE_HOME": "/x", "HOME": "/h"}) == "/x/sigbox/logs"
    assert state_folder({"HOME": "/h"}) == "/h/.local/state/sigbox/logs"


# --- which log ---------------------------------------------------------------------------------------
def test_the_log_is_chosen_by_generation_id_and_url():
    v1, v2 = instance(served_v1(1)[0].log), instance(served_v2(1)[0].log)
    elsewhere = replace(instance(served_v2(1)[0].log), base_url="http://other.example")
    root = TrustedRoot(logs=(v1, v2, elsewhere), ct_logs=(), certificate_authorities=(), timestamp_authorities=())
    assert (generation_of(v1), generation_of(v2)) == (1, 2)
    assert choose_log(root, now=NOW, generation=1) is v1
    assert choose_log(root, now=NOW, url=f"{v2.base_url}/") is v2
    assert choose_log(root, now=NOW, url="http://other.example") is elsewhere
    assert choose_log(root, now=NOW, log_id=v1.log_id.hex()[:12].upper()) is v1
    assert generation_of(choose_log(root, now=NOW, url="http://a-copy.example")) == 2
    with pytest.raises(NotFound, match="begins with"):
        choose_log(root, now=NOW, log_id="zz")


def test_a_log_that_is_still_to_begin_is_chosen_where_there_is_no_other():
    """It is published before anybody logs to it, and is not there yet."""
    log, later = instance(served_v2(1)[0].log), NOW + timedelta(seconds=10)
    coming = replace(instance(served_v2(1)[0].log), validity=Validity(later), log_id=bytes(32))
    assert choose_log(TrustedRoot(logs=(log, coming)), now=NOW) is log
    assert choose_log(TrustedRoot(logs=(log, coming)), now=later) is coming
    assert choose_log(TrustedRoot(logs=(coming,)), now=NOW) is coming


def test_a_log_goes_on_from_older_ones_at_its_host():
    oldest, older, log = (
        replace(
            instance(served_v2(1)[0].log), validity=Validity(NOW + timedelta(days=days)), log_id=bytes((days,)) * 32
        )
        for days in range(3)
    )
    elsewhere = replace(oldest, base_url="http://other.example", log_id=b"\x07" * 32)
    assert logs_before((older, log, elsewhere, oldest), log) == (oldest, older)
    assert logs_before((older, log), older) == ()


async def test_what_was_seen_of_a_log_is_known_by_its_id(tmp_path: Path):
    reader = served_v2(3)[1]
    seen, other = SeenHeads(str(tmp_path / "logs")), SeenHeads(str(tmp_path / "logs"), "else")
    assert not seen.knows(reader.log)
    await follow(reader, seen)
    assert seen.knows(reader.log)
    assert not seen.knows(instance(served_v2(1)[0].log))
    assert not other.knows(reader.log)


# --- decoding ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [MiniSigstore.sign, MiniSigstore.sign_v1], ids=["v2", "v1"])
def test_an_entry_is_decoded_with_fulcios_names(make, sigstore: MiniSigstore):
    (entry,) = make(sigstore).log_entries
    decoded = decode_entry(entry)
    certificate = decoded["signers"][0]["certificate"]
    assert certificate["subjectAlternativeName"] == {"kind": "Email", "value": EMAIL}
    assert certificate["fulcio"]["issuer"] == ISSUER
    assert decoded["leafHash"] == merkle.hash_leaf(entry.body).hex()
    (named,) = read_named(entry.body)
    assert (named.names, named.issuer) == ((EMAIL,), ISSUER)
    assert dict(named.extensions)["issuer"] == ISSUER
    json.dumps(decoded)


@pytest.mark.parametrize("data", [b"", b"seed", b"{}", body(1)])
def test_a_body_of_another_kind_names_nobody(data: bytes):
    assert read_named(data) == ()
