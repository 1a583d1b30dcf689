# SPDX-License-Identifier: Apache-2.0
"""The auditor can fail: an honest log passes, and each lie of a dishonest one is found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.faults.audit import Acknowledged, AuditError, Checkpoint, Journal, NaiveTree, audit, split

KEY = ed25519.Ed25519PrivateKey.generate()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def make_entry(number: int) -> bytes:
    spec = {"data": {"digest": f"d{number}"}, "signature": {"content": f"s{number}"}}
    return json.dumps({"spec": {"hashedRekordV002": spec}}).encode()


def make_checkpoint(entries: list[bytes], size: int, key: ed25519.Ed25519PrivateKey = KEY) -> Checkpoint:
    root = b64(NaiveTree(entries).root(size))
    text = f"localhost\n{size}\n{root}\n"
    return Checkpoint(size, root, f"{text}\n\u2014 localhost {b64(bytes(4) + key.sign(text.encode()))}\n")


def make_proof(tree: NaiveTree, index: int, start: int, end: int) -> list[bytes]:
    """PATH(index, D[start:end])."""
    if end - start == 1:
        return []
    middle = start + split(end - start)
    if index < middle:
        return [*make_proof(tree, index, start, middle), tree._range(middle, end)]
    return [*make_proof(tree, index, middle, end), tree._range(start, middle)]


def acknowledge(entries: list[bytes], index: int, size: int) -> Acknowledged:
    now = make_checkpoint(entries, size)
    proof = tuple(b64(node) for node in make_proof(NaiveTree(entries), index, 0, size))
    return Acknowledged(f"d{index}", f"s{index}", index, b64(entries[index]), proof, size, now.root, now.envelope)


@dataclass
class World:
    """A log of 21 entries, of which all but the first were acknowledged, two at a time."""

    entries: list[bytes] = field(default_factory=lambda: [make_entry(number) for number in range(21)])
    acknowledged: list[Acknowledged] = field(default_factory=list)
    earlier: list[Checkpoint] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.acknowledged = [acknowledge(self.entries, i, i + 1 + i % 2) for i in range(1, 21)]
        self.earlier = [make_checkpoint(self.entries, 7)]
        self.now = make_checkpoint(self.entries, 21)

    def audit(self) -> None:
        audit(self.entries, self.now, self.acknowledged, self.earlier, KEY.public_key())

    def rebuild(self, entries: list[bytes]) -> None:
        """A server that changed its entries and signs what it has."""
        self.entries, self.now = entries, make_checkpoint(entries, len(entries))


def test_an_honest_log_passes():
    World().audit()


def lose_the_last(world: World) -> None:
    world.rebuild(world.entries[:-1])


def lose_one_in_the_middle(world: World) -> None:
    world.rebuild(world.entries[:9] + world.entries[10:])


def change_one(world: World) -> None:
    world.rebuild([*world.entries[:9], make_entry(99), *world.entries[10:]])


def swap_two(world: World) -> None:
    world.rebuild([*world.entries[:19], world.entries[20], world.entries[19]])


def change_what_nobody_acknowledged(world: World) -> None:
    world.rebuild([make_entry(99), *world.entries[1:]])


def keep_one_twice(world: World) -> None:
    world.rebuild([*world.entries, world.entries[5]])


def show_fewer_entries_than_signed(world: World) -> None:
    world.entries = world.entries[:-1]


def sign_another_root(world: World) -> None:
    world.now = make_checkpoint([*world.entries[:-1], make_entry(99)], 21)


def sign_with_another_key(world: World) -> None:
    world.now = make_checkpoint(world.entries, 21, ed25519.Ed25519PrivateKey.generate())


def go_back_behind_an_earlier_checkpoint(world: World) -> None:
    world.earlier.append(make_checkpoint([*world.entries, make_entry(21)], 22))


def fork_from_an_earlier_checkpoint(world: World) -> None:
    world.earlier.append(make_checkpoint([make_entry(99)] * 7, 7))


def give_one_index_to_two(world: World) -> None:
    other = b64(make_entry(99))
    world.acknowledged.append(replace(world.acknowledged[4], body=other))


def acknowledge_what_was_not_sent(world: World) -> None:
    world.acknowledged[4] = replace(world.acknowledged[4], digest="d99")


def acknowledge_what_is_not_there(world: World) -> None:
    other = b64(make_entry(99))
    world.acknowledged[4] = replace(world.acknowledged[4], digest="d99", signature="s99", body=other)


def acknowledge_without_covering_it(world: World) -> None:
    old = world.acknowledged[0]
    world.acknowledged[9] = replace(world.acknowledged[9], size=old.size, root=old.root, envelope=old.envelope)


def change_a_proof(world: World) -> None:
    one = world.acknowledged[9]
    world.acknowledged[9] = replace(one, proof=(b64(bytes(32)), *one.proof[1:]))


def shorten_a_proof(world: World) -> None:
    world.acknowledged[9] = replace(world.acknowledged[9], proof=world.acknowledged[9].proof[:-1])


def lengthen_a_proof(world: World) -> None:
    world.acknowledged[9] = replace(world.acknowledged[9], proof=(b64(bytes(32)), *world.acknowledged[9].proof))


LIES = [
    (lose_the_last, "went back from size 21 to 20"),
    (lose_one_in_the_middle, "went back from size 21 to 20"),
    (change_one, "the root at size"),
    (swap_two, "the root at size"),
    (change_what_nobody_acknowledged, "the root at size"),
    (keep_one_twice, "is in the log twice"),
    (show_fewer_entries_than_signed, "says 21 entries, there are 20"),
    (sign_another_root, "the root at size 21"),
    (sign_with_another_key, "signature of the checkpoint of size 21 does not verify"),
    (go_back_behind_an_earlier_checkpoint, "went back from size 22 to 21"),
    (fork_from_an_earlier_checkpoint, "the root at size 7"),
    (give_one_index_to_two, "index 5 was given to two contents"),
    (acknowledge_what_was_not_sent, "entry 5 does not hold what was sent"),
    (acknowledge_what_is_not_there, "acknowledged entry 5 has another content now"),
    (acknowledge_without_covering_it, "entry 10 was acknowledged with a checkpoint of size 3"),
    (change_a_proof, "the proof of entry 10 does not lead to its root"),
    (shorten_a_proof, "too short"),
    (lengthen_a_proof, "too long"),
]


@pytest.mark.parametrize(("lie", "message"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_lie_is_found(lie: Callable[[World], None], message: str):
    world = World()
    lie(world)
    with pytest.raises(AuditError, match=message):
        world.audit()


def test_a_journal_is_read_back(tmp_path):
    journal = Journal(tmp_path / "journal")
    acknowledged = World().acknowledged
    for one in acknowledged:
        journal.add(one)
    journal.close()
    assert journal.read() == acknowledged
