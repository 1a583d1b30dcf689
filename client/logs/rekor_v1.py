# SPDX-License-Identifier: Apache-2.0
"""Rekor v1 from a reader's side: entries with the proofs that the log gives, each led to a head that it has signed.

The API counts entries over all trees (shards) of the log; proofs count within one of them. The tree that the log's key signs is
followed: the active one, or one that has ended; entries of older trees are found, and proved in their own tree.

An entry that is read by its index counts when its proof is for that place, in a tree that is one with the head that is followed: a
log could else show its monitors other entries than everybody else.

Source: rekor ``openapi.yaml``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from typing import Final

from client.logs.reader import SignedHead, kind_and_version, signed_head
from client.logs.seen import verify_follows
from client.rekor import read_entry_v1
from client.transport import ServiceRefused, Transport, call
from client.verify.log import verify_head
from client.verify.promise import verify_promise
from sigcore import limits, merkle
from sigcore.entry_id import parse_entry_id
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.log_entry import LogEntry
from sigcore.merkle import Hash
from sigcore.note import KEY_HASH_SIZE, parse_note
from sigcore.strict import JSON, Fields, parse_base64, parse_hex, parse_json, shown
from sigcore.trustroot import LogInstance

_SERVICE: Final = "the transparency log"
_ANSWER: Final = "the log's answer"
_HEADERS: Final = {"Accept": "application/json", "Content-Type": "application/json"}


class RekorV1Log:
    """A :class:`~client.logs.reader.LogReader` of the API below ``url``.

    Args:
        log: whose tree is followed.
        others: the logs whose trees are behind the same index.
    """

    generation = 1

    def __init__(self, transport: Transport, url: str, log: LogInstance, others: Sequence[LogInstance] = ()) -> None:
        self.log = log
        self.ended = False
        """Whether the tree that is followed takes entries no more: another one does."""
        self.starts: tuple[int, ...] = (0,)
        """The index of the first entry of each tree, oldest first."""
        self.others = tuple(others)
        self._transport = transport
        self._url = url.rstrip("/")
        self._tree_id = ""
        self._older = 0
        """Entries in the trees before that which is followed."""
        self._one_with: dict[tuple[int, Hash], SignedHead] = {}
        """Trees that were found to have grown out of a head, or to be its beginning, and that head."""

    @property
    def first(self) -> int:
        """The index of the first entry of the tree that is followed."""
        return self._older

    def before(self) -> list[RekorV1Log]:
        """Readers of the trees of ``others`` that began before this one, oldest first."""
        logs = (self.log, *self.others)
        older = [log for log in self.others if log.validity.start < self.log.validity.start]
        return [
            RekorV1Log(self._transport, self._url, log, [other for other in logs if other is not log]) for log in older
        ]

    async def _ask(self, path: str, body: JSON = None) -> JSON:
        sent = None if body is None else json.dumps(body).encode("utf-8")
        method = "GET" if sent is None else "POST"
        url = f"{self._url}/api/v1/{path}"
        answer = await call(self._transport, method, url, service=_SERVICE, headers=_HEADERS, body=sent)
        return parse_json(answer, what=_ANSWER, limit=limits.SERVICE_RESPONSE)

    # --- heads -------------------------------------------------------------------------------------------
    async def head(self) -> SignedHead:
        """See :class:`~client.logs.reader.LogReader`."""
        fields = Fields.of(await self._ask("log"), _ANSWER)
        older = fields.raw().get("inactiveShards")
        trees = [*(fields.objects("inactiveShards", limit=limits.TRUST_INSTANCES) if older else ()), fields]
        # Trees may share a key: the newest that has ours. Without one the active tree's head is refused.
        place = next((at for at in reversed(range(len(trees))) if self._is_ours(trees[at])), len(trees) - 1)
        tree = trees[place]
        head = signed_head(tree.text("signedTreeHead", limit=limits.NOTE), self.log, 1)
        if (head.size, head.root.hex()) != (tree.int64("treeSize"), tree.text("rootHash")):
            raise Refused(
                f"the log says {tree.int64('treeSize')} entries with root {shown(tree.text('rootHash'))}, "
                f"and has signed {head.size} with {head.root.hex()}"
            )
        self.ended = tree is not fields
        self.starts = tuple(accumulate((one.int64("treeSize") for one in trees[:-1]), initial=0))
        self._tree_id, self._older = tree.text("treeID"), self.starts[place]
        return head

    def _is_ours(self, tree: Fields) -> bool:
        try:
            signatures = parse_note(tree.text("signedTreeHead", limit=limits.NOTE)).signatures
        except Malformed:
            return False
        return any(line.key_hash == self.log.log_id[:KEY_HASH_SIZE] for line in signatures)

    async def consistency(self, first: int, second: int, head: SignedHead) -> tuple[Hash, ...]:
        """See :class:`~client.logs.reader.LogReader`."""
        if second > head.size:
            raise NotFound(f"the log has {head.size} entries, a tree of {second} is not there yet")
        path = f"log/proof?firstSize={first}&lastSize={second}&treeID={self._tree_id}"
        fields = Fields.of(await self._ask(path), _ANSWER)
        hashes = fields.texts("hashes", limit=limits.PROOF_HASHES) if fields.raw().get("hashes") else ()
        return tuple(parse_hex(text, what="hashes", size=merkle.HASH_SIZE) for text in hashes)

    async def root(self, size: int, head: SignedHead) -> Hash:
        """See :class:`~client.logs.reader.LogReader`. The API has no call for it.

        The path of the leaf that comes after the first ``size`` ones has, on its left, exactly the subtrees of these.
        """
        if size == head.size:
            return head.root
        if not 1 <= size <= head.size:
            raise NotFound(f"the log has {head.size} entries, no root of {size} can be found out")
        proof = (await self.entry(self._older + size, head)).proof
        if proof is None:
            raise Refused("the log's answer has no proof")
        sides = merkle.sides_of_proof(proof.index, proof.size)
        root, *others = [node for left, node in zip(sides, proof.hashes, strict=True) if left]
        for node in others:
            root = merkle.hash_node(node, root)
        return root

    # --- entries -----------------------------------------------------------------------------------------
    async def entry(self, index: int, head: SignedHead) -> LogEntry:
        """See :class:`~client.logs.reader.LogReader`."""
        if not 0 <= index < self._older + head.size:
            raise NotFound(f"the log has no entry {index}: it has {self._older + head.size}, the first of them is 0")
        (entry,) = self._verified([await self._ask(f"log/entries?logIndex={index}")])
        if entry.index != index:
            raise Refused(f"the log answers with entry {entry.index} where {index} is asked for")
        if index >= self._older:
            await self._check_place(entry, head)
        return entry

    async def find(self, entry_id: str) -> LogEntry:
        """See :class:`~client.logs.reader.LogReader`."""
        _, leaf_hash = parse_entry_id(entry_id)
        try:
            answer = await self._ask(f"log/entries/{entry_id}")
        except ServiceRefused as error:
            if error.status == 404:
                raise NotFound(f"the log has no entry {entry_id}") from error
            raise
        (entry,) = self._verified([answer])
        if merkle.hash_leaf(entry.body) != leaf_hash:
            raise Refused(f"the log answers with another entry where {entry_id} is asked for")
        return entry

    async def entries(self, first: int, head: SignedHead) -> AsyncIterator[LogEntry]:
        """See :class:`~client.logs.reader.LogReader`; as many at once as the original's API answers."""
        end = self._older + head.size
        for begin in range(self._older + first, end, limits.RETRIEVE_QUERIES):
            asked = range(begin, min(begin + limits.RETRIEVE_QUERIES, end))
            answers = await self._ask("log/entries/retrieve", {"logIndexes": [*asked]})
            found = {entry.index: entry for entry in self._verified(answers)}
            if set(found) != set(asked):
                raise Refused(f"the log does not answer with the entries {begin} to {asked[-1]}, which are in it")
            for index in asked:
                await self._check_place(found[index], head)
                yield found[index]

    async def _check_place(self, entry: LogEntry, head: SignedHead) -> None:
        """Of an entry of the tree that is followed, whose proof was verified: it is for this place, and for one tree with ``head``.

        Raises:
            Refused: it is for another place. Forked: the log has signed two trees.
        """
        proof = entry.proof
        if entry.log_id != self.log.log_id:
            raise Refused(
                f"entry {entry.index} is of the log {entry.log_id.hex()}, its tree of {self.log.log_id.hex()}"
            )
        if proof is None or proof.index != entry.index - self._older:
            place = "none" if proof is None else f"place {proof.index} of the tree"
            raise Refused(
                f"the proof of entry {entry.index} is for {place}, expected place {entry.index - self._older}"
            )
        tree = proof.size, proof.root
        if tree == (head.size, head.root) or self._one_with.get(tree) == head:
            return
        other = signed_head(proof.checkpoint, self.log, 1)
        await verify_follows(self, *sorted((head, other), key=lambda one: one.size))
        self._one_with = {tree: head}

    def _verified(self, answers: JSON) -> list[LogEntry]:
        if not isinstance(answers, list):
            raise Malformed(f"{_ANSWER} is {shown(answers)}, expected an array")
        return [self._verify(read) for answer in answers for read in _members(answer)]

    def _verify(self, fields: Fields) -> LogEntry:
        """An entry is believed once its body is in a tree that the log has signed, and its time once the log has promised it."""
        body = parse_base64(fields.text("body", limit=2 * limits.ENTRY), what="the body")
        entry = read_entry_v1(fields, *kind_and_version(body))
        proof = entry.proof
        log = next((log for log in (self.log, *self.others) if log.log_id == entry.log_id), None)
        if log is None or proof is None:
            raise Refused(f"the log answers with an entry of the log {entry.log_id.hex()}")
        verify_head(proof, log, generation=1)
        merkle.verify_inclusion(
            leaf_hash=merkle.hash_leaf(body), index=proof.index, size=proof.size, proof=proof.hashes, root=proof.root
        )
        verify_promise(entry, (log,))
        return entry


def _members(answer: JSON) -> list[Fields]:
    members = Fields.of(answer, _ANSWER)
    return [members.object(name) for name in members.names()]
