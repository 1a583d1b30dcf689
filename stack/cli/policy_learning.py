# SPDX-License-Identifier: Apache-2.0
"""``sigbox policy learn --log``: reads logs from their first entry on, each proved, and drafts a policy of who signed."""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from client.logs.choice import GENERATIONS, generation_of
from client.logs.folder import open_copy
from client.logs.reader import LogReader, SignedHead
from client.policy.document import policy_of
from client.policy.log_draft import Draft, draft_policy, encode_draft
from client.policy.logged_signers import Tally
from client.transport import ServiceRefused
from sigcore.errors import SigError
from sigcore.strict import Fields, encode_time, parse_time
from sigcore.trustroot import TrustedRoot
from stack.cli.log_reading import Reading, head_json, head_line, progress, reading
from stack.cli.table import ExitCode
from stack.cli.trusting import load_trusted_root
from stack.cli.usage import NotServed, Usage

_SCHEMES: Final = ("http://", "https://")
_DATE: Final = len("2026-01-31")
_SHOWN_EVERY: Final = 64
"""Entries between two looks of the line that counts."""


@dataclass(frozen=True, slots=True)
class _Tree:
    """A tree that was read, up to ``head``."""

    place: str
    generation: int
    head: SignedHead

    def line(self) -> str:
        return f"{self.place} (Rekor v{self.generation}), {head_line(self.head)}"

    def document(self) -> dict[str, object]:
        return {"place": self.place, "generation": self.generation, **head_json(self.head)}


def run_learn_log(options: argparse.Namespace) -> int:
    """Do it. What a log answers with no is no refusal of ours."""
    if options.min_count < 1:
        raise Usage(f"--min-count is {options.min_count}, expected 1 or more")
    root = load_trusted_root(options)
    tally = Tally(root, since=_since(options.since), bare_keys=options.keys)
    try:
        trees = asyncio.run(_walk(options, root, tally))
    except ServiceRefused as error:
        raise NotServed(error.message, error.hint) from error
    signers = tally.signers(options.min_count)
    sys.stderr.writelines(f"left out: {reason}: {count}\n" for reason, count in tally.left_out.most_common())
    expires = f"{datetime.now(UTC) + timedelta(days=options.days):%Y-%m-%d}"
    draft = draft_policy(signers, expires)
    if options.json:
        policy_of(Fields.of(draft.policy, "the draft"))
        print(json.dumps(_report(draft, trees, tally), indent=2))
    else:
        sys.stdout.write(encode_draft(draft, [tree.line() for tree in trees], tally.left_out.most_common()))
    entries = sum(tree.head.size for tree in trees)
    sys.stderr.write(f"a draft from {entries} entries: read it, then sigbox policy lint\n")
    return ExitCode.DONE


def _since(text: str | None) -> datetime | None:
    """The moment from which on signatures count. A date alone is its beginning, in UTC."""
    if text is None:
        return None
    try:
        return parse_time(f"{text}T00:00:00Z" if len(text) == _DATE else text, what="--since")
    except SigError as error:
        raise Usage(f"--since is {text!a}", "expected 2026-01-31 or 2026-01-31T12:00:00Z") from error


async def _walk(options: argparse.Namespace, root: TrustedRoot, tally: Tally) -> list[_Tree]:
    trees = []
    async for reader, head, place in _trees(options, root):
        show, done = progress(f"reading {place}"), 0
        async for entry in reader.entries(0, head):
            tally.add(entry)
            done += 1
            if done % _SHOWN_EVERY == 0 or done == head.size:
                show(done, head.size)
        trees.append(_Tree(place, reader.generation, head))
    return trees


async def _trees(options: argparse.Namespace, root: TrustedRoot) -> AsyncIterator[tuple[LogReader, SignedHead, str]]:
    """Every tree that is meant, with its head, which follows what was seen before."""
    if options.log and not options.log.startswith(_SCHEMES):
        if options.rekor_version == 1:
            raise Usage("a folder holds the copy of a log of Rekor v2", "leave --rekor-version out, or give a URL")
        known = [
            log for log in root.logs if generation_of(log) == 2 and log.log_id.hex().startswith(options.log_id.lower())
        ]
        reader, head = await open_copy(options.log, known)
        yield reader, head, options.log
        return
    for version in _generations(options, root):
        async with _opened(options, version) as trees:
            for one in trees:
                head, _ = await one.follow()
                yield one.reader, head, one.url


def _generations(options: argparse.Namespace, root: TrustedRoot) -> Iterator[int | None]:
    """The generation that is given; else those that there are at the place; None where that is of no log that is known."""
    if options.rekor_version:
        yield options.rekor_version
        return
    url = options.log.rstrip("/")
    there = {
        generation_of(log)
        for log in root.logs
        if (not url or log.base_url.rstrip("/") == url) and log.log_id.hex().startswith(options.log_id.lower())
    }
    yield from (one for one in GENERATIONS if one in there)
    if not there:
        yield None


@asynccontextmanager
async def _opened(options: argparse.Namespace, version: int | None) -> AsyncIterator[list[Reading]]:
    """The log of a generation, after the trees that it goes on from."""
    own = copy.copy(options)
    own.rekor_url, own.rekor_version = options.log or None, version
    async with reading(own) as log:
        before = () if options.log_id else log.before
        yield [*(replace(log, reader=one, url=one.log.base_url) for one in before), log]


def _report(draft: Draft, trees: list[_Tree], tally: Tally) -> dict[str, object]:
    return {
        "policy": draft.policy,
        "read": [tree.document() for tree in trees],
        "signers": [
            {
                "name": name,
                "signatures": one.signatures,
                "attestations": one.attestations,
                "first": encode_time(one.first) if one.first else None,
                "last": encode_time(one.last) if one.last else None,
            }
            for name, one in draft.signers
        ],
        "leftOut": dict(tally.left_out.most_common()),
    }
