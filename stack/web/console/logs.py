# SPDX-License-Identifier: Apache-2.0
"""``/logs``: every log with its head; ``/logs/LOG``: its tree with the path of an entry lit, and consistency of two sizes.

Everything that a page says of a tree is computed for it, and checked against the head that the log has signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from aiohttp import web

from sigcore import merkle
from sigcore.errors import Malformed, NotFound, SigError
from sigcore.merkle import Hash
from sigcore.strict import parse_decimal, shown
from sigcore.values import dataclass
from stack.web.console.drawn import WHOLE, Drawing, Node, draw, grow_path, grow_whole
from stack.web.console.shelf import Shelf
from stack.web.console.tiled import levels, served, witnesses
from tlog.publish import CheckpointReader
from tlog.published import Published

if TYPE_CHECKING:
    from stack.web.console.pages import Pages
    from stack.writer_rules import WriterRules

RECENT: Final = 5


@dataclass(frozen=True, slots=True)
class Lit:
    """A tree of ``size`` leaves with the path of ``leaf`` lit. ``signed`` says that the log has signed this root."""

    size: int
    leaf: int
    proof: tuple[Hash, ...]
    root: Hash
    signed: bool
    drawing: Drawing


@dataclass(frozen=True, slots=True)
class Grown:
    """That the tree of ``first`` leaves is the beginning of that of ``second``; verified before it is shown."""

    first: int
    second: int
    first_root: Hash
    second_root: Hash
    proof: tuple[Hash, ...]


def make_routes(
    shelves: Mapping[str, Shelf], pages: Callable[[], Pages], writers: WriterRules | None
) -> list[web.RouteDef]:
    """The routes; ``pages`` is asked when the first page is, ``writers`` may write into the signature logs."""

    async def overview(request: web.Request) -> web.Response:
        return pages().page(request, "logs.html", shelves=[_state(shelf, writers) for shelf in shelves.values()])

    async def tree(request: web.Request) -> web.Response:
        try:
            shelf = shelves.get(request.match_info["log"])
            if shelf is None:
                raise NotFound(
                    f"there is no log {shown(request.match_info['log'])}", f"there are: {', '.join(shelves)}"
                )
            _ = shelf.log.head  # Unavailable while it is empty
            lit, grown = await _lit(shelf.log, request.query), await _grown(shelf.log, request.query)
        except SigError as error:
            return pages().refusal(request, error)
        return pages().page(
            request,
            "tree.html",
            shelf=shelf,
            lit=lit,
            grown=grown,
            levels=levels(shelf.log.size, lit.leaf),
            served=served(shelf.shard),
            witnesses=witnesses(shelf.log.head.checkpoint, _own_name(shelf.log)),
        )

    return [web.get("/logs", overview), web.get("/logs/{log}", tree)]


def _own_name(log: Published) -> str:
    """The name on the log's own signature line: where that is not the origin (Rekor v1), its publisher has it."""
    publisher = log.publisher
    return publisher.note_key.name if isinstance(publisher, CheckpointReader) else publisher.origin


def _state(shelf: Shelf, writers: WriterRules | None) -> dict[str, object]:
    log = shelf.log
    try:
        head = log.head if log.size else None
    except SigError:  # it waits for its witnesses, as the fault says
        head = None
    recent = range(log.size - 1, max(-1, log.size - 1 - RECENT), -1)
    found = {"shelf": shelf, "head": head, "fault": log.damage or log.fault, "recent": list(recent)}
    return found | {"writers": writers if shelf.shard.log != "ct" else None}


def _number(words: Mapping[str, str], name: str, default: int, *, least: int, most: int) -> int:
    text = words.get(name, "").strip()
    if not text:
        return default
    number = parse_decimal(text, what=name)
    if not least <= number <= most:
        raise Malformed(f"{name} is {number}, expected {least} to {most}")
    return number


async def _lit(log: Published, words: Mapping[str, str]) -> Lit:
    """The tree that the address asks for; without words the newest entry in the newest tree."""
    size = _number(words, "size", log.size, least=1, most=log.size)
    leaf = _number(words, "leaf", size - 1, least=0, most=size - 1)
    if size <= WHOLE:
        hashes = tuple(merkle.hash_leaf(entry.leaf) for entry in await log.entries(0, size))
        root, proof = grow_whole(hashes, leaf), await log.inclusion(leaf, size)
    else:
        root, proof = await _path(log, leaf, size)
    merkle.verify_inclusion(leaf_hash=_leaf_of(root, leaf), index=leaf, size=size, proof=proof, root=root.hash)
    return Lit(size, leaf, proof, root.hash, size == log.head.size and root.hash == log.head.root, draw(root))


async def _path(log: Published, leaf: int, size: int) -> tuple[Node, tuple[Hash, ...]]:
    (entry,) = await log.entries(leaf, leaf + 1)
    proof = await log.inclusion(leaf, size)
    return grow_path(leaf, size, merkle.hash_leaf(entry.leaf), proof), proof


def _leaf_of(node: Node, leaf: int) -> Hash:
    while node.children:
        node = next(child for child in node.children if child.low <= leaf < child.high)
    return node.hash


async def _grown(log: Published, words: Mapping[str, str]) -> Grown:
    """Two sizes; without words the last half of the log's life."""
    second = _number(words, "second", log.size, least=1, most=log.size)
    first = _number(words, "first", max(1, second // 2), least=1, most=second)
    roots = [(await _path(log, 0, size))[0].hash for size in (first, second)]
    proof = await log.consistency(first, second)
    merkle.verify_consistency(first=first, second=second, first_root=roots[0], second_root=roots[1], proof=proof)
    return Grown(first, second, roots[0], roots[1], proof)
