# SPDX-License-Identifier: Apache-2.0
"""What a log shows today of a signature: the entry that a detached signature came without, and whether an entry is still there.

Verifying needs neither: a bundle holds its proof. Who asks learns more, namely that the log has not split since, and tells the log
what is verified here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from client.logs.choice import generation_of, other_trees
from client.logs.reader import LogReader, SignedHead, signed_head
from client.logs.rekor_v1 import RekorV1Log
from client.logs.searching import Sought, fetch_hits, search_console
from client.logs.seen import verify_follows
from client.logs.tiled import TiledLog
from client.rekor import find_entry
from client.transport import Transport
from client.verify.bodies import check_body
from client.verify.signed import Signed
from sigcore.errors import NotFound, Refused, Unavailable
from sigcore.log_entry import LogEntry
from sigcore.trustroot import LogInstance, TrustedRoot

_MOST: Final = 100
"""Entries about one digest that are looked through."""


async def find_entries(transport: Transport, signed: Signed, root: TrustedRoot, url: str = "") -> tuple[LogEntry, ...]:
    """The entry of ``signed`` in the first log that has one, those of Rekor v1 first: they say when it was signed.

    1. Rekor v1 is asked for the very entry; a log of v2 has no search, so the console of its stack is, by digest.
    2. What is found must be about this signature.

    What the caller must still do: verify the entry as that of a bundle.

    Args:
        transport: how to get there.
        signed: whose entry is sought.
        root: the logs that there are.
        url: where they are read; empty: where the root says.

    Raises:
        Refused: no log has one. Unavailable: none that answered has one, and one did not answer.
    """
    silent: Unavailable | None = None
    for log in sorted(_logs(root, url), key=generation_of):
        place = (url or log.base_url).rstrip("/")
        try:
            if generation_of(log) == 1:
                found = await find_entry(transport, place, signed)  # 1
            else:
                found = await _search(TiledLog(transport, place, log), transport, place, signed)
        except NotFound:
            continue  # no search there
        except Unavailable as error:
            silent = error
            continue
        if found is not None and found.log_id == log.log_id:
            check_body(found, signed)  # 2
            return (found,)
    if silent is not None:
        raise silent
    raise Refused(
        "no log of the trusted root shows an entry for this signature",
        "was it logged, and is the artifact the one that was signed? A log of Rekor v2 is found where a sigbox console answers",
    )


def _logs(root: TrustedRoot, url: str) -> Iterator[LogInstance]:
    """Those at ``url``; all of them where none is, for it may be a copy."""
    named = [log for log in root.logs if log.base_url.rstrip("/") == url.rstrip("/")]
    yield from named or root.logs


async def _search(reader: TiledLog, transport: Transport, url: str, signed: Signed) -> LogEntry | None:
    sought = Sought(digest=signed.digest.hex())
    hits = await search_console(transport, url, sought, reader.generation, _MOST)
    for entry in await fetch_hits(reader, await reader.head(), hits, sought):
        try:
            check_body(entry, signed)
        except Refused:
            continue  # another signature over the same artifact
        return entry
    return None


async def verify_shown(transport: Transport, entry: LogEntry, root: TrustedRoot, url: str = "") -> SignedHead:
    """The head that the log has today, with ``entry`` in its tree.

    1. The log's head of now is signed by it.
    2. It shows this entry at its index, with a proof.
    3. Its tree has grown from the one that the entry's own proof leads to.

    Args:
        transport: how to get there.
        entry: verified already.
        root: the logs that there are.
        url: where the log is read; empty: where the root says.

    Raises:
        Refused: one of that does not hold; of step 3 :class:`client.logs.seen.Forked`. Unavailable, ServiceRefused, Malformed: as
            the reader.
    """
    log = next((log for log in root.logs if log.log_id == entry.log_id), None)
    if log is None:
        raise Refused(f"the trusted root has no log {entry.log_id.hex()}")
    place = (url or log.base_url).rstrip("/")
    reader: LogReader = (
        TiledLog(transport, place, log)
        if generation_of(log) == 2
        else RekorV1Log(transport, place, log, other_trees(root, log))
    )
    head = await reader.head()  # 1
    try:
        now_there = await reader.entry(entry.index, head)  # 2
    except NotFound as error:
        raise Refused(
            f"the log does not show the entry any more: {error.message}", "it was there: keep the bundle"
        ) from error
    if now_there.body != entry.body:
        raise Refused(f"the log shows another entry at index {entry.index}", "it was this one: keep the bundle")
    proof = entry.proof
    if proof is not None and proof.checkpoint:
        before = signed_head(proof.checkpoint, log, reader.generation)
        if before.checkpoint.origin == head.checkpoint.origin:  # else of a tree of v1 that has ended
            await verify_follows(reader, before, head)  # 3
    return head
