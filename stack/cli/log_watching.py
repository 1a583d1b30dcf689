# SPDX-License-Identifier: Apache-2.0
"""``sigbox log watch``: follow a log, prove each step, and say when it names somebody."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final

from client.logs.matching import Logged, Watched, is_match, match_json, match_line, read_signers
from client.logs.reader import SignedHead
from client.logs.rekor_v1 import RekorV1Log
from client.logs.seen import Forked, SeenHeads, verify_follows
from client.policy.glob import Glob, parse_glob
from client.transport import ServiceRefused
from client.verify.identity import compile_pattern
from sigcore.errors import Refused, SigError, Unavailable
from sigcore.fulcio import FulcioExtensions
from sigcore.strict import parse_hex
from sigcore.tlog_policy import NotCosigned
from sigcore.trustroot import LogInstance
from stack.cli.log_action import Action
from stack.cli.log_options import add_log_options
from stack.cli.log_reading import (
    Following,
    head_json,
    newest_log,
    reading,
    reading_ct,
    seen_heads,
)
from stack.cli.log_webhook import Webhook, webhook_url
from stack.cli.table import ExitCode
from stack.cli.usage import Usage

_ONE_MESSAGE: Final = 100
"""Matches in one message to a webhook."""
_INTERVAL_S: Final = 60
_LONGEST_S: Final = 86_400
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z", re.ASCII)


def _options(parser: argparse.ArgumentParser) -> None:
    who = parser.add_argument_group(
        "who is watched for",
        "each may be repeated, one that fits is enough; none: the history alone",
    )
    who.add_argument("--certificate-identity", metavar="I", action="append", default=[], help="a name, exact")
    who.add_argument("--certificate-identity-regexp", metavar="RE", action="append", default=[], help="of a whole name")
    who.add_argument(
        "--identity", metavar="GLOB", action="append", default=[], help="as in a policy: * stops at /, ** not"
    )
    text = "only certificates of this issuer; alone: all of them"
    who.add_argument("--certificate-oidc-issuer", metavar="U", default="", help=text)
    who.add_argument("--fingerprint", metavar="HEX", action="append", default=[], help="SHA-256 of a key (SPKI, DER)")
    text = "an extension of Fulcio, as source_repository_uri=https://github.com/acme/**"
    who.add_argument("--extension", metavar="NAME=GLOB", action="append", default=[], help=text)
    who.add_argument("--everybody", action="store_true", help="every entry")
    how = parser.add_argument_group("how")
    text = "the certificate log, at this URL or its own, and not Rekor: which certificates were issued"
    how.add_argument("--ct", metavar="URL", nargs="?", const="", help=text)
    how.add_argument("--once", action="store_true", help="one round, for cron; without it, round after round")
    text = f"seconds between rounds (default: {_INTERVAL_S})"
    how.add_argument("--interval", metavar="S", type=int, default=_INTERVAL_S, help=text)
    text = "the first leaf that is looked at, where this watcher has looked at none (default: what comes from now on)"
    how.add_argument("--from", metavar="N", type=int, dest="first", help=text)
    how.add_argument(
        "--name", metavar="NAME", default="watch", help="of this watcher, where others follow the same log"
    )
    text = "POST matches and forks there as JSON, until they are taken; @FILE holds the URL"
    how.add_argument("--webhook", metavar="URL|@FILE", help=text)
    add_log_options(parser, "one JSON object for each match, on a line of its own")


def watched_of(options: argparse.Namespace) -> Watched:
    """Who is watched for. Usage: an option says nothing that can be matched."""
    try:
        return _watched(options)
    except SigError as error:
        raise Usage(error.message, error.hint) from error


def _watched(options: argparse.Namespace) -> Watched:
    for pattern in options.certificate_identity_regexp:
        compile_pattern(pattern)
    return Watched(
        identities=tuple(options.certificate_identity),
        globs=tuple(parse_glob(text, what="--identity") for text in options.identity),
        patterns=tuple(options.certificate_identity_regexp),
        issuer=options.certificate_oidc_issuer,
        fingerprints=tuple(
            parse_hex(text.lower(), what="--fingerprint", size=32).hex() for text in options.fingerprint
        ),
        extensions=tuple(map(_extension, options.extension)),
        everybody=options.everybody,
    )


def _extension(text: str) -> tuple[str, Glob]:
    name, equals, pattern = text.partition("=")
    known = [field.name for field in fields(FulcioExtensions)]
    if not equals or name not in known:
        raise Usage(f"--extension is {text!a}, expected NAME=GLOB", f"names: {', '.join(known)}")
    return name, parse_glob(pattern, what=f"--extension {name}")


@dataclass(frozen=True, slots=True)
class _Watch:
    """What one watcher works with."""

    log: Following
    watched: Watched
    position: SeenHeads
    webhook: Webhook | None
    first: int | None
    as_json: bool

    async def round(self, *, goes_on: bool = False) -> tuple[int, bool]:
        """One look at what is new; how many entries that was, and whether this watcher had looked at any before.

        ``goes_on`` says that the tree goes on where another one ended that this watcher had looked at: all of it is new.

        1. Follow the log; what this watcher has looked at must be the beginning of it too.
        2. Read every entry since, each proved, and say those that match.
        3. Once all of it was told, remember the head. Who is cut off before tells the same again, and leaves nothing out.
        """
        reader = self.log.reader
        head, _ = await self.log.follow()  # 1
        before = self.position.load(reader.log, head.checkpoint.origin, reader.generation)
        if before is not None:
            await verify_follows(reader, before, head)
        first = 0 if goes_on else self.first
        begin = before.size if before else head.size if first is None else min(first, head.size)
        if not self.watched.nobody:
            await self._look(begin, head)  # 2
        if before is None or before.size < head.size:
            self.position.save(reader.log, head)  # 3
        return head.size - begin, goes_on or before is not None

    def older(self) -> list[_Watch]:
        """Of a log that was rotated the trees before: each may have grown after this watcher has looked last.

        A tree that has an index of its own is none of this watcher's where he has never looked at it.
        """
        readers = [one for one in self.log.before if isinstance(one, RekorV1Log) or self.position.knows(one.log)]
        return [replace(self, log=replace(self.log, reader=one, url=one.log.base_url)) for one in readers]

    def ended(self, now: datetime) -> bool:
        """Whether its tree takes nothing more: its window is over."""
        end = self.log.reader.log.validity.end
        return end is not None and end < now

    def check_goes_on(self, options: argparse.Namespace) -> None:
        """Refused: the log goes on in a tree that was not known when this began, and nothing of it would be seen."""
        reader = self.log.reader
        if isinstance(reader, RekorV1Log) and reader.ended and not options.log_id:
            raise Refused(
                f"the tree of the log {reader.log.log_id.hex()[:16]} has ended, the log goes on in another one",
                "start again: its key is in the newest trusted root. --log-id reads a tree that has ended",
            )

    async def _look(self, begin: int, head: SignedHead) -> None:
        waiting: list[Logged] = []
        unread = 0
        async for entry in self.log.reader.entries(begin, head):
            unread += not read_signers(entry)
            if is_match(entry, self.watched):
                print(json.dumps(match_json(entry)) if self.as_json else match_line(entry), flush=True)
                waiting.append(entry)
            if len(waiting) == _ONE_MESSAGE:
                await self._tell(waiting, head)
                waiting = []
        if waiting:
            await self._tell(waiting, head)
        if unread:
            sys.stderr.write(f"{unread} entries name nobody that can be read; --everybody shows them\n")

    async def _tell(self, entries: Sequence[Logged], head: SignedHead) -> None:
        if self.webhook is not None:
            document = {"event": "match", "log": self.log.url, "head": head_json(head)}
            await self.webhook.tell(document | {"entries": [*map(match_json, entries)]})

    async def tell_fork(self, error: Forked) -> None:
        """The one thing that a monitor must not keep to itself."""
        if self.webhook is not None:
            await self.webhook.tell(
                {"event": "fork", "log": self.log.url, "message": error.message, "evidence": error.evidence}
            )


async def _watch(options: argparse.Namespace) -> int:
    watched = watched_of(options)
    if not 1 <= options.interval <= _LONGEST_S or (options.first or 0) < 0 or not _NAME.match(options.name):
        raise Usage(
            f"--interval is {options.interval}, --from {options.first}, --name {options.name!a}",
            f"expected 1 to {_LONGEST_S} seconds, a leaf from 0 on, up to 32 of a-z, 0-9 and inner dashes",
        )
    if options.ct is not None and (options.rekor_url or options.rekor_version):
        raise Usage("--ct and an option of Rekor are given", "leave --rekor-url and --rekor-version out")
    url, once_done = webhook_url(options.webhook) if options.webhook else None, False
    while await _followed(options, watched, url, patient=once_done):
        once_done = True
    return ExitCode.DONE


async def _followed(options: argparse.Namespace, watched: Watched, url: str | None, *, patient: bool) -> bool:
    """Rounds, until the trusted root names a newer log; whether there are more to do. ``url``: of the webhook."""
    opened = reading(options) if options.ct is None else reading_ct(options, options.ct)
    async with opened as open_log:
        webhook = Webhook(open_log.transport, url) if url else None
        position = seen_heads(options, f"{options.name}.watched")
        watch = _Watch(open_log, watched, position, webhook, options.first, as_json=options.json)
        older = watch.older()
        while True:
            done = await _one_round(watch, older, options, patient=patient)
            patient = patient or done
            if options.once:
                watch.check_goes_on(options)
                return False
            if not _is_newest(open_log.reader.log, options):
                return True
            watch.check_goes_on(options)
            await asyncio.sleep(options.interval)


def _is_newest(log: LogInstance, options: argparse.Namespace) -> bool:
    """Whether the trusted root, as it is now, still means ``log``; also where that cannot be said."""
    try:
        return newest_log(options, options.ct).log_id == log.log_id
    except Unavailable as error:
        sys.stderr.write(f"sigbox log: {error}\n")
        return True


async def _one_round(watch: _Watch, older: list[_Watch], options: argparse.Namespace, *, patient: bool) -> bool:
    """First what is left in ``older`` trees, each until it has ended and all of it was told; whether all of it was done.

    A log that cannot be reached, or a webhook, is tried again in the next round; so is, by who is ``patient``, a log that answers no:
    it has answered before, and a head that lacks a cosignature: a witness was away. Everything else ends the watch.
    """
    now = datetime.now(UTC)
    try:
        count, goes_on = 0, False
        for one in (*older, watch):
            new, goes_on = await one.round(goes_on=goes_on)
            count += new
        older[:] = [one for one in older if not one.ended(now)]
    except Forked as error:
        try:
            await watch.tell_fork(error)
        except SigError as failure:
            sys.stderr.write(f"sigbox log: {failure}\n")
        raise
    except (Unavailable, ServiceRefused, NotCosigned) as error:
        if options.once or not (patient or isinstance(error, Unavailable)):
            raise
        sys.stderr.write(f"sigbox log: {error}\n")
        return False
    if options.once or count:
        sys.stderr.write(f"{count} new entries, the history holds\n")
    return True


ACTIONS: Final = (Action("watch", "follow a log and say when it names somebody", _options, _watch),)
