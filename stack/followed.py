# SPDX-License-Identifier: Apache-2.0
"""The logs of other processes as the console follows them: over the APIs that are there for everybody.

What is here asks and takes apart; :mod:`tlog.mirror` believes none of it before it hashes to a head that the log has signed. One
thing is not in the tree, the time of an entry of Rekor v1: it is believed with the log's promise alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from client.transport import AiohttpTransport, Transport, call
from client.verify.promise import promised_bytes
from sigcore import keys, limits, merkle, sct
from sigcore.entry_id import tree_id_of
from sigcore.errors import Malformed, Unavailable
from sigcore.keys import PublicKey
from sigcore.log_entry import LogEntry
from sigcore.strict import Fields, parse_json
from sigcore.tiles import WIDTH, encode_entries_path, parse_entry_bundle
from stack.bootstrap import PublicMaterial
from stack.config import Home, Settings
from stack.generations import Generations
from stack.health import Check
from stack.shards import Shard, all_shards
from stack.succession import succeeding
from tlog.kept import Kept, encode_kept
from tlog.mirror import Mirror, Remote
from tlog.publish import CheckpointReader, HeadReader
from tlog.signature_log import make_reader
from tlog.storage.sqlite import SqliteStore
from tlog.submission import Submission
from tlog.tree_head import TreeHead, TreeHeadReader

ANSWER: Final = 4 * limits.SERVICE_RESPONSE
"""Of a batch of entries: 64 certificates with their chains, or 10 entries with what they attest."""
CERTIFICATES: Final = 64
_SERVICE: Final = "the log"
_JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}


class _Asked:
    """A log at ``url``, reached over ``transport``."""

    def __init__(self, url: str, transport: Transport) -> None:
        self._url = url
        self._transport = transport

    async def _get(self, path: str, limit: int = limits.TEXT) -> bytes:
        return await call(self._transport, "GET", f"{self._url}{path}", service=_SERVICE, headers={}, limit=limit)


class TiledLog(_Asked):
    """Rekor v2: C2SP tlog-tiles. A :class:`tlog.mirror.Remote`."""

    async def head(self) -> str:
        """``/checkpoint``."""
        return _text(await self._get("/api/v2/checkpoint"))

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """Those of one entry bundle."""
        index, skipped = divmod(first, WIDTH)
        width = min(WIDTH, end - index * WIDTH)
        data = await self._get(f"/api/v2/tile/entries/{encode_entries_path(index, width)}", WIDTH * (limits.ENTRY + 2))
        return tuple(_submission(body) for body in parse_entry_bundle(data, width)[skipped:])


class CertificateLog(_Asked):
    """RFC 6962 sections 4.3 and 4.6. A :class:`tlog.mirror.Remote`.

    Args:
        reader: puts a tree head into the form of a checkpoint.
    """

    def __init__(self, url: str, transport: Transport, reader: TreeHeadReader) -> None:
        super().__init__(url, transport)
        self._reader = reader

    async def head(self) -> str:
        """``get-sth``."""
        fields = Fields.parse(await self._get("/ct/v1/get-sth"), what="the tree head", limit=limits.TEXT)
        size, timestamp_ms = fields.integer("tree_size"), fields.integer("timestamp")
        root, signature = (
            fields.base64(name, limit=limits.TEXT) for name in ("sha256_root_hash", "tree_head_signature")
        )
        sct.parse_digitally_signed(signature)
        if not (0 <= size < 1 << 63 and 0 <= timestamp_ms < 1 << 63 and len(root) == merkle.HASH_SIZE):
            raise Malformed(f"the tree head has size {size}, time {timestamp_ms} and a root of {len(root)} bytes")
        return self._reader.encode(TreeHead(size, root, timestamp_ms, signature))

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """``get-entries``."""
        last = min(end, first + CERTIFICATES) - 1
        data = await self._get(f"/ct/v1/get-entries?start={first}&end={last}", ANSWER)
        rows = Fields.parse(data, what="the entries", limit=ANSWER).objects("entries", limit=last - first + 1)
        return tuple(_submission(row.base64("leaf_input", limit=limits.ENTRY)) for row in rows)


class PromisedLog(_Asked):
    """A tree of Rekor v1. A :class:`tlog.mirror.Remote`; the time of an entry comes with the log's promise, which is verified here.

    The API counts over all trees, a copy within its own.
    """

    def __init__(self, url: str, transport: Transport, key: PublicKey) -> None:
        super().__init__(url, transport)
        spki = keys.encode_public_key(key)
        self._key, self._log_id, self._tree_id = key, keys.key_id(spki), str(tree_id_of(spki))
        self._before = 0

    async def head(self) -> str:
        """``/api/v1/log``, of this tree. Unavailable: it is not there yet."""
        fields = Fields.parse(await self._get("/api/v1/log", ANSWER), what="the log's state", limit=ANSWER)
        before = 0
        for tree in (*fields.objects("inactiveShards", limit=limits.TRUST_INSTANCES), fields):
            if tree.text("treeID") == self._tree_id:
                self._before = before
                return tree.text("signedTreeHead", limit=limits.NOTE)
            before += tree.int64("treeSize")
        raise Unavailable(f"the log does not show the tree {self._tree_id} yet")

    async def entries(self, first: int, end: int) -> tuple[Submission, ...]:
        """``retrieve``, by index."""
        last = min(end, first + limits.RETRIEVE_QUERIES)
        asked = orjson.dumps({"logIndexes": list(range(self._before + first, self._before + last))})
        url = f"{self._url}/api/v1/log/entries/retrieve"
        data = await call(self._transport, "POST", url, service=_SERVICE, headers=_JSON, body=asked, limit=ANSWER)
        answer = parse_json(data, what="the entries", limit=ANSWER)
        if not isinstance(answer, list) or len(answer) != last - first:
            raise Malformed(f"the log's answer is no list of {last - first} entries")
        return tuple(
            self._entry(Fields.of(one, "entry"), index) for index, one in enumerate(answer, self._before + first)
        )

    def _entry(self, answer: Fields, index: int) -> Submission:
        if len(answer.names()) != 1:
            raise Malformed(f"an answer has {len(answer.names())} entries, expected one")
        fields = answer.object(answer.names()[0])
        body, time = fields.base64("body", limit=limits.ENTRY), fields.integer("integratedTime")
        promise = fields.object("verification").base64("signedEntryTimestamp", limit=limits.SIGNATURE)
        entry = LogEntry(index, self._log_id, "", "", time, body, None, promise)
        keys.verify(self._key, promise, promised_bytes(entry), what=f"the promise of entry {index}")
        return Submission(body, merkle.hash_leaf(body), encode_kept(Kept(time, ())))


def _submission(leaf: bytes) -> Submission:
    return Submission(leaf, merkle.hash_leaf(leaf))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("the checkpoint is not UTF-8") from error


def make_mirrors(
    folder: Path,
    settings: Settings,
    public: PublicMaterial,
    rotated: Generations,
    places: Mapping[str, str],
    transport: Transport,
    clock: Callable[[], datetime],
) -> dict[str, Mirror]:
    """Copies of the logs of a stack, of each all trees.

    Args:
        folder: where they are kept.
        clock: the time of day.
        settings: for the names that the logs sign with.
        public: their keys, as the trust root has them, of the newest trees.
        rotated: the keys of the others.
        places: the URLs of ``ct`` and ``log``.
        transport: open while the copies are.
    """
    newest = {"ct": public.ct_key, "rekor": public.rekor_key, "rekor-v1": public.rekor_v1_key}
    mirrors = {}
    for shard in all_shards(rotated):
        rows = rotated.get(shard.log)
        key = keys.parse_public_key(rows[shard.number - 1].public[0]) if rows else newest[shard.log]
        remote = _remote(shard, key, settings, places, transport)
        mirrors[shard.name] = _mirror(folder / f"{shard.name}.db", *remote, clock)
    return mirrors


def _remote(
    shard: Shard, key: PublicKey, settings: Settings, places: Mapping[str, str], transport: Transport
) -> tuple[HeadReader, Remote]:
    url = f"{places['ct' if shard.log == 'ct' else 'log']}{shard.prefix}"
    if shard.log == "ct":
        reader = TreeHeadReader(shard.origin(settings), key)
        return reader, CertificateLog(url, transport, reader)
    if shard.log == "rekor":
        return CheckpointReader(shard.origin(settings), key), TiledLog(url, transport)
    return make_reader(settings.host_of("log"), key), PromisedLog(url, transport, key)


class Following:
    """Copies that are open, and those that a rotation adds; a :class:`~stack.service.Service`.

    Args:
        mirrors: those that there are; what comes later is added.
        make: all of them, for what was rotated.
        arrived: is told of one that came later.
    """

    def __init__(
        self,
        home: Home,
        mirrors: dict[str, Mirror],
        make: Callable[[Generations], Mapping[str, Mirror]],
        transport: AiohttpTransport,
        clock: Callable[[], datetime],
        arrived: Callable[[str, Mirror], None],
    ) -> None:
        self._home, self._mirrors, self._make, self._transport = home, mirrors, make, transport
        self._clock, self._arrived = clock, arrived
        self._opened = AsyncExitStack()

    async def start(self) -> None:
        """Follow the logs. Unavailable, Refused: as :meth:`tlog.mirror.Mirror.start`."""
        try:
            await self._opened.enter_async_context(self._transport)
            for mirror in self._mirrors.values():
                await self._open(mirror)
        except BaseException:
            await self.stop()
            raise
        await self._opened.enter_async_context(succeeding(self._home, self._adopt, self._clock))

    async def stop(self) -> None:
        """Close all."""
        await self._opened.aclose()

    async def _open(self, mirror: Mirror) -> None:
        await mirror.start()
        self._opened.push_async_callback(mirror.stop)

    async def _adopt(self, rotated: Generations) -> None:
        for name, mirror in self._make(rotated).items():
            if name not in self._mirrors:
                await self._open(mirror)
                self._mirrors[name] = mirror
                self._arrived(name, mirror)


def followed_check(mirror: Mirror) -> Check:
    """Whether there is something to show: an older state is, a log with two histories is not."""

    def check(_now: datetime) -> None:
        if mirror.damage or not mirror.size:
            raise Unavailable(mirror.damage or f"nothing was read of it so far: {mirror.fault}")

    return check


def _mirror(path: Path, reader: HeadReader, remote: Remote, clock: Callable[[], datetime]) -> Mirror:
    def forget() -> None:
        for ending in ("", "-wal", "-shm"):
            path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)

    return Mirror(lambda: SqliteStore(path), forget, reader, remote, clock)
