# SPDX-License-Identifier: Apache-2.0
"""What is proved before it is published is what is proved afterwards."""

from __future__ import annotations

from random import Random

import pytest

from sigcore import merkle
from sigcore.errors import Unavailable
from sigcore.merkle import Frontier
from tests.chance import chosen_seed
from tlog.storage.base import Head
from tlog.storage.memory import MemoryStore
from tlog.submission import Submission
from tlog.tree import Tree, from_edge, grow
from tlog.view import View


def submissions(first: int, count: int) -> tuple[Submission, ...]:
    leaves = (b"entry %d" % number for number in range(first, first + count))
    return tuple(Submission(leaf, merkle.hash_leaf(leaf)) for leaf in leaves)


@pytest.mark.parametrize("start", [0, 1, 255, 256, 511, 65_535, 65_536])
async def test_receipts_are_the_same_before_and_after_a_head_is_published(start: int):
    chance = Random(chosen_seed())
    hashes = [one.identity for one in submissions(0, start)]
    tree = grow(Tree(Frontier(), ()), hashes).tree
    for _ in range(6):
        tree = from_edge(tree.size, tree.edge)  # as after a restart: no complete tile is in memory
        view = View(MemoryStore(), tree, None)
        entries = submissions(tree.size, chance.choice((1, 1, 2, chance.randint(1, 256), 256)))
        leaf_hashes = [one.identity for one in entries]
        growth = grow(tree, leaf_hashes)
        head = Head(growth.tree.size, growth.tree.frontier.root(), 0, f"checkpoint {growth.tree.size}\n")
        foreseen = view.foreseen(growth, head, entries, leaf_hashes)
        assert view.size == tree.size
        view.publish(growth, head)
        assert foreseen == await view.receipts(tree.size, entries, leaf_hashes, duplicate=False)
        assert [one.index for one in foreseen] == list(range(tree.size, growth.tree.size))
        tree = growth.tree


async def test_an_entry_that_is_not_in_the_tree_is_not_proved():
    tree = Tree(Frontier(), ())
    entries = submissions(0, 5)
    growth = grow(tree, [one.identity for one in entries])
    head = Head(5, growth.tree.frontier.root(), 0, "checkpoint 5\n")
    others = [one.identity for one in submissions(1, 5)]
    with pytest.raises(Unavailable, match="does not verify"):
        View(MemoryStore(), tree, None).foreseen(growth, head, entries, others)
