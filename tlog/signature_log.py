# SPDX-License-Identifier: Apache-2.0
"""A log of signatures as Rekor v1 keeps it: an entry has a time, a promise that the log signs, and is found by what it says.

The promise (signed entry timestamp, SET) is the log's signature over body, time, log id and index. The time is set when an
entry is added and kept beside it, so that every later answer, and the answer to a duplicate, says the same.

Source: rekor ``pkg/api/entries.go`` (signEntry), ``pkg/util/checkpoint.go``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec

from sigcore import keys, merkle
from sigcore.algorithms import HashAlgorithm
from sigcore.device_key import aside
from sigcore.entries_v1 import KINDS
from sigcore.entries_v1_artifact import HashedRekordV1
from sigcore.entries_v1_verifier import LoggableEntry, parse_verifier
from sigcore.entry_id import encode_entry_id, parse_entry_id, tree_id_of
from sigcore.errors import NotFound, Refused
from sigcore.strict import encode_base64
from tlog.anchor import Anchor
from tlog.kept import Kept, encode_kept, key_digests, parse_kept
from tlog.log import Log, Receipt, Submission, seed
from tlog.publish import CheckpointPublisher, CheckpointReader, Clock
from tlog.search import READ_ENTRIES, Search
from tlog.storage.base import LogStore
from tlog.storage.search_index import SearchIndex
from tlog.submission import Intake
from tlog.writers import Writers

Answer: TypeAlias = "str | int | list[str] | dict[str, Answer]"
_PROMISED: Final = b'{"body":"%b","integratedTime":%d,"logID":"%b","logIndex":%d}'
"""In the form of RFC 8785."""


def make_publisher(host: str, key: ec.EllipticCurvePrivateKey) -> CheckpointPublisher:
    """Signs the checkpoints of a v1 log: the origin names host and tree, the signature line the host alone."""
    tree_id = tree_id_of(keys.encode_public_key(key.public_key()))
    return CheckpointPublisher(f"{host} - {tree_id}", key, signer=host)


def make_reader(host: str, key: keys.PublicKey) -> CheckpointReader:
    """Reads them, for somebody else."""
    return CheckpointReader(f"{host} - {tree_id_of(keys.encode_public_key(key))}", key, signer=host)


class FrontV1:
    """What is done with an entry before the log has it, and with its receipt: answers carry a promise that is signed here.

    Args:
        log: where entries are brought.
        key: ECDSA P-256, of this log only; the log id is the SHA-256 of its SPKI.
        kinds: of the entries that it takes, empty for all; what it has of others stays, and is found.
        writers: who may add entries; None for anybody.
    """

    def __init__(
        self,
        log: Intake,
        key: ec.EllipticCurvePrivateKey,
        kinds: Collection[str] = (),
        writers: Writers | None = None,
    ) -> None:
        _check_curve(key)
        spki = keys.encode_public_key(key.public_key())
        self.log = log
        self.kinds = kinds or KINDS
        self.writers = writers
        self._key = key
        self._public_key = key.public_key()
        self.log_id = keys.key_id(spki)
        self.tree_id = tree_id_of(spki)
        self.public_key_pem = keys.encode_public_key_pem(self._public_key)
        self.before = 0
        """Entries of the trees before this one: what an index over all of them is ahead of one in this tree."""

    async def enter(self, entry: LoggableEntry) -> tuple[FrontV1, Receipt]:
        """As :meth:`add`, and the tree that has taken it."""
        return self, await self.add(entry)

    async def add(self, entry: LoggableEntry) -> Receipt:
        """Log a verified entry.

        Raises:
            Unwelcome: one of those who signed it may not write here.
            Malformed, Unavailable: as :meth:`tlog.log.Log.submit`, and when the clock went back.
        """
        if self.writers is not None:
            _check_writers(entry, self.writers)
        return await self.log.submit(self._submission(entry))

    def _submission(self, entry: LoggableEntry) -> Submission:
        kept = Kept(self.log.clock.now_ms() // 1000, key_digests(entry.index_keys), entry.attestation)
        return Submission(entry.body, merkle.hash_leaf(entry.body), encode_kept(kept))

    # --- answers -------------------------------------------------------------------------------------------
    def entry_id(self, leaf: bytes) -> str:
        """The id of the entry with this body."""
        return encode_entry_id(self.tree_id, merkle.hash_leaf(leaf))

    async def answer(self, receipt: Receipt, *, attestation: bool) -> dict[str, Answer]:
        """A LogEntry: the id and what is under it, proof and checkpoint for the receipt's head, the promise signed for it.

        ``attestation`` asks for the payload too where one is kept; the answer to an addition leaves it out.
        """
        kept = parse_kept(receipt.extra)
        body = encode_base64(receipt.leaf)
        index = self.before + receipt.index
        promise = await aside(self._key, partial(self._promise, body, kept.integrated_time, index))
        found: dict[str, Answer] = {
            "body": body,
            "integratedTime": kept.integrated_time,
            "logID": self.log_id.hex(),
            "logIndex": index,
            "verification": {
                "inclusionProof": {
                    "checkpoint": receipt.checkpoint,
                    "hashes": [hash_.hex() for hash_ in receipt.proof],
                    "logIndex": receipt.index,
                    "rootHash": receipt.root.hex(),
                    "treeSize": receipt.size,
                },
                "signedEntryTimestamp": encode_base64(promise),
            },
        }
        if attestation and kept.attestation:
            found["attestation"] = {"data": encode_base64(kept.attestation)}
        return {self.entry_id(receipt.leaf): found}

    def _promise(self, body: str, integrated_time: int, index: int) -> bytes:
        data = _PROMISED % (body.encode("ascii"), integrated_time, self.log_id.hex().encode("ascii"), index)
        signature = keys.sign(self._key, data)
        # A wrong one, from a fault in the machine, would be in a bundle for good, and can betray the key.
        keys.verify(self._public_key, signature, data, what="the promise's own signature")
        return signature


class RekorV1(FrontV1):
    """One log, which is one tree; of one that has several, :class:`tlog.sharded.Sharded`, one of them.

    Args:
        store, anchor: where it is kept.
        index: where its search index is kept.
        host: the bare host name of the URL that clients are given: who signs the checkpoints.
        key, kinds, writers: see :class:`FrontV1`.
        clock: the time of day.
    """

    log: Log

    def __init__(
        self,
        store: LogStore,
        anchor: Anchor,
        index: SearchIndex,
        *,
        host: str,
        key: ec.EllipticCurvePrivateKey,
        clock: Clock,
        kinds: Collection[str] = (),
        writers: Writers | None = None,
    ) -> None:
        _check_curve(key)
        publisher = make_publisher(host, key)
        self.note_key = publisher.note_key
        super().__init__(Log(store, anchor, publisher, clock), key, kinds, writers)
        self.search = Search(self.log, self.log_id, index, lambda entry: parse_kept(entry.extra).keys)
        self.log.grown = self.search.nudge

    async def start(self) -> None:
        """Open the log and its index, give it its first entry. Refused and Unavailable: as :meth:`tlog.log.Log.start`."""
        await self.open()
        try:
            await self.begin()
        except BaseException:
            await self.stop()
            raise

    async def begin(self, *marks: bytes) -> None:
        """Give it its first entry, where it has none; beside it, ``marks``. Errors: as :meth:`FrontV1.add`."""
        first = self._submission(genesis(self.log.publisher.origin))
        kept = parse_kept(first.extra)
        await seed(self.log, replace(first, extra=encode_kept(replace(kept, keys=(*kept.keys, *marks)))))

    async def open(self) -> None:
        """Open the log and its index, as they are. Errors: as :meth:`start`."""
        await self.log.start()
        try:
            await self.search.start()
        except BaseException:
            await self.log.stop()
            raise

    async def stop(self) -> None:
        """Commit what waits, store the index, release both."""
        try:
            await self.search.stop()
        finally:
            await self.log.stop()

    # --- find ----------------------------------------------------------------------------------------------
    async def by_id(self, text: str) -> Receipt:
        """The entry with this id (64 or 80 hexadecimal digits). Malformed when it is none, NotFound when nothing has it."""
        tree, leaf_hash = parse_entry_id(text)
        if tree not in (None, self.tree_id):
            raise NotFound(f"the tree {tree} is not of this log, which has {self.tree_id}")
        return await self.by_leaf_hash(leaf_hash)

    async def by_leaf_hash(self, leaf_hash: bytes) -> Receipt:
        """The entry with this leaf hash, at the current head. NotFound when there is none."""
        index = await self.log.find(leaf_hash)
        if index is None:
            raise NotFound("no entry has this leaf hash")
        return await self.log.receipt(index)

    async def find(self, texts: Sequence[str], *, every: bool) -> list[str]:
        """The ids of the entries under one of these search keys, or under ``every`` one, oldest first. Errors: Search.find."""
        found = []
        for index in await self.search.find(key_digests(texts), every=every):
            (entry,) = await self.log.entries(index, index + 1)
            found.append(encode_entry_id(self.tree_id, entry.identity))
            if len(found) % READ_ENTRIES == 0:
                await asyncio.sleep(0)  # others get their turn
        return found


def _check_curve(key: ec.EllipticCurvePrivateKey) -> None:
    if not isinstance(key.curve, ec.SECP256R1):
        raise Refused("the key of a Rekor v1 log is ECDSA P-256", "clients verify its promises with nothing else")


def _check_writers(entry: LoggableEntry, writers: Writers) -> None:
    for verifier in entry.verifiers:
        if (certificate := verifier.certificate) is not None:
            writers.check_certificate(certificate)
        else:
            writers.check_key(keys.encode_public_key(verifier.key))


def genesis(origin: str) -> LoggableEntry:
    """The first entry of a log: a signature over its name by a key that is forgotten at once."""
    key, algorithm = keys.generate_p256(), HashAlgorithm.SHA2_256
    text = f"the first entry of the transparency log {origin}\n".encode()
    pem = keys.encode_public_key_pem(key.public_key()).encode("ascii")
    verifier = parse_verifier(pem, what="the first entry's key")
    return HashedRekordV1(algorithm, algorithm.digest(text), keys.sign(key, text), verifier).verify()
