# SPDX-License-Identifier: Apache-2.0
"""Rekor v1 as several trees (shards) behind one index and one URL: the last one takes entries, the others are what they were.

1. An entry keeps tree, key, id and index. The index of an entry of a tree is what all trees before it hold, plus its place in it:
   promises are over that, proofs over the place.
2. So nothing may be added to a tree once the next one has an entry. Where one follows, the old one is frozen, what it has taken is
   answered, and only then the new one gets its first entry; who brings one meanwhile waits for that.
3. That first entry remembers, beside the leaf, what lies before it. Trees that do not fit together serve nothing.
4. An entry that an older tree has may be added: its promise there is by another key, which may be known to others.

Source: rekor ``pkg/sharding``, ``pkg/api/entries.go``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Final

from sigcore import limits
from sigcore.entries_v1_verifier import LoggableEntry
from sigcore.entry_id import parse_entry_id
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from tlog.kept import key_digest, parse_kept
from tlog.signature_log import FrontV1, RekorV1
from tlog.submission import Frozen, Receipt

DRAIN_S: Final = 0.01
"""Between two looks whether a frozen tree has answered all that it has taken."""
_BEHIND: Final = "its operator must restore its databases from one backup, beside the newest anchors"
Found = tuple[FrontV1, Receipt]
"""An entry, and the tree that has it."""


class Sharded:
    """See the module. Trees are opened and closed by the caller.

    Args:
        first: the oldest tree.
    """

    def __init__(self, first: RekorV1) -> None:
        self._trees = [first]
        self.kinds = first.kinds
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def trees(self) -> tuple[RekorV1, ...]:
        """Oldest first."""
        return tuple(self._trees)

    @property
    def active(self) -> RekorV1:
        """The tree that takes entries."""
        return self._trees[-1]

    async def succeed(self, tree: RekorV1) -> None:
        """Go over to ``tree``, which is open; it has its first entry already where this was done before.

        Raises:
            Refused: it has begun after other trees than these. Unavailable: the storage failed; until it is called again, and has
                succeeded, nothing is taken.
        """
        old = self.active
        self._settled.clear()
        try:
            old.log.ends_ms = old.log.clock.latest_ms()
            while old.log.waiting:  # noqa: ASYNC110 - whoever has brought an entry may have gone, so nobody tells
                await asyncio.sleep(DRAIN_S)
            if not tree.log.size and old.log.fault:
                raise Unavailable(f"what the tree {old.tree_id} holds is not known: {old.log.fault}")
            tree.before = old.before + old.log.size
            head = old.log.head
            mark = key_digest(f"begun after {tree.before} entries: {old.tree_id} {head.size} {head.root.hex()}")
            await tree.begin(mark)
            (first,) = await tree.log.entries(0, 1)
            if mark not in parse_kept(first.extra).keys:
                raise Refused(
                    f"the tree {tree.tree_id} has not begun after the {tree.before} entries before it", _BEHIND
                )
            self._trees.append(tree)
        finally:
            self._settled.set()

    # --- add -----------------------------------------------------------------------------------------------
    async def enter(self, entry: LoggableEntry) -> Found:
        """Log a verified entry. Malformed and Unavailable: as :meth:`tlog.signature_log.FrontV1.add`; also while no tree takes any."""
        while True:
            await self._settled.wait()
            tree = self.active
            try:
                return await tree.enter(entry)
            except Frozen as frozen:
                if self._settled.is_set() and tree is self.active:
                    raise Unavailable("the log goes over to its next tree", "try again in a moment") from frozen

    # --- find ----------------------------------------------------------------------------------------------
    def tree(self, tree_id: int) -> RekorV1:
        """NotFound: no tree has this id."""
        for tree in self._trees:
            if tree.tree_id == tree_id:
                return tree
        known = ", ".join(str(tree.tree_id) for tree in self._trees)
        raise NotFound(f"the tree {tree_id} is not of this log", f"its trees: {known}")

    async def by_index(self, index: int) -> Found:
        """The entry at an index over all trees. NotFound when it is not published."""
        for tree in self._trees:
            if index < tree.before + tree.log.size:
                return tree, await tree.log.receipt(index - tree.before)
        raise NotFound(f"there is no entry {index}")

    async def by_id(self, text: str) -> Found:
        """The entry with this id; of 64 digits in the newest tree, else the oldest that has it. Errors: as :meth:`every_by_id`."""
        return (await self.every_by_id(text))[0]

    async def every_by_id(self, text: str) -> Sequence[Found]:
        """The entry with this id; of 64 digits, in each tree that has it. Malformed when it is none, NotFound when nothing has it."""
        tree_id, leaf_hash = parse_entry_id(text)
        if tree_id is None:
            return await self.by_leaf_hash(leaf_hash)
        tree = self.tree(tree_id)
        return ((tree, await tree.by_leaf_hash(leaf_hash)),)

    async def by_leaf_hash(self, leaf_hash: bytes) -> Sequence[Found]:
        """The entry with this leaf hash in each tree that has it, the newest first, then the others, oldest first. NotFound: none has."""
        *older, newest = self.trees
        found = [one for tree in (newest, *older) for one in await _if_there(tree, tree.by_leaf_hash(leaf_hash))]
        if not found:
            raise NotFound("no entry has this leaf hash")
        return tuple(found)

    async def find(self, texts: Sequence[str], *, every: bool) -> list[str]:
        """The ids of the entries under one of these search keys, or under ``every`` one, oldest first. Errors: Search.find."""
        found: list[str] = []
        for tree in self.trees:
            found += await tree.find(texts, every=every)
        if len(found) > limits.SEARCH_RESULTS:
            most = f"the search matches more than {limits.SEARCH_RESULTS} entries"
            raise Malformed(most, 'narrow it with "operator": "and"')
        return found


async def _if_there(tree: RekorV1, receipt: Awaitable[Receipt]) -> Sequence[Found]:
    try:
        return ((tree, await receipt),)
    except NotFound:
        return ()
