# SPDX-License-Identifier: Apache-2.0
"""Opens the log that the options mean, and says what was seen of it: the same for every action of ``sigbox log``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from client.logs.choice import (
    choose_ct_log,
    choose_log,
    generation_of,
    logs_before,
    other_trees,
)
from client.logs.ct import CertificateLog
from client.logs.reader import Followed, LogReader, SignedHead
from client.logs.rekor_v1 import RekorV1Log
from client.logs.seen import SeenHeads, follow, state_folder
from client.logs.tiled import TiledLog
from client.retrying import Retrying, waits
from client.transport import AiohttpTransport, Transport, tls_context
from client.verify.steps import Step
from sigcore.strict import encode_base64
from sigcore.trustroot import LogInstance, TrustedRoot
from stack.cli.log_options import LONGEST_S, RETRIES
from stack.cli.trusting import load_trusted_root
from stack.cli.usage import Usage, tell
from stack.cli.witness_choice import load_witness_policy

if TYPE_CHECKING:
    from client.verify.witnessed import Witnessed
    from sigcore.tlog_policy import TlogPolicy


@dataclass(frozen=True, slots=True)
class Following:
    """A log that is followed, what was seen of it, and how others are reached."""

    reader: Followed
    seen: SeenHeads
    transport: Transport
    url: str
    before: tuple[Followed, ...] = ()
    """The trees that it goes on from, where they are at URLs of their own (or all behind one index), oldest first."""

    witnesses: TlogPolicy | None = None
    """Who must have cosigned each head."""

    async def follow(self) -> tuple[SignedHead, SignedHead | None]:
        """See :func:`client.logs.seen.follow`; and the head must be cosigned, where a witness policy is given.

        One that is not stays remembered: the log has signed it, and must not show another history to anybody.

        Raises:
            Refused: see :meth:`cosigned`.
        """
        head, before = await follow(self.reader, self.seen)
        self.cosigned(head)
        return head, before

    def cosigned(self, head: SignedHead) -> Witnessed | None:
        """Who has cosigned ``head``, as the witness policy demands; None without one.

        Raises:
            Refused: too few, or a cosignature that is none. Malformed: see :func:`sigcore.tlog_policy.verify_witnessed`.
        """
        if self.witnesses is None:
            return None
        # Deferred: few readers demand witnesses.
        from client.verify.witnessed import witnessed_head  # noqa: PLC0415 - see the line above

        with Step("witnesses"):
            return witnessed_head(head.envelope, self.url, head.size, self.witnesses)


@dataclass(frozen=True, slots=True)
class Reading(Following):
    """A log of Rekor that is read."""

    reader: LogReader
    before: tuple[LogReader, ...] = ()


def chosen_log(options: argparse.Namespace) -> LogInstance:
    """The log that the options mean; errors as :func:`client.logs.choice.choose_log` and of the trusted root."""
    return _chosen(load_trusted_root(options), options)


def _chosen(root: TrustedRoot, options: argparse.Namespace) -> LogInstance:
    url, generation = options.rekor_url, options.rekor_version
    return choose_log(root, now=datetime.now(UTC), url=url, generation=generation, log_id=options.log_id)


def _chosen_ct(root: TrustedRoot, url: str, options: argparse.Namespace) -> LogInstance:
    return choose_ct_log(root, now=datetime.now(UTC), url=url, log_id=options.log_id)


def newest_log(options: argparse.Namespace, ct_url: str | None) -> LogInstance:
    """What the trusted root says now: the log that the options mean, a certificate log where ``ct_url`` is given. Errors as :func:`chosen_log`."""
    root = load_trusted_root(options)
    return _chosen(root, options) if ct_url is None else _chosen_ct(root, ct_url, options)


def seen_heads(options: argparse.Namespace, purpose: str = "checkpoint") -> SeenHeads:
    """The checkpoints that are kept."""
    return SeenHeads(options.state or state_folder(os.environ), purpose)


@asynccontextmanager
async def reading(options: argparse.Namespace) -> AsyncIterator[Reading]:
    """The log that the options mean, for the length of a block; errors as :func:`chosen_log` and :func:`_asking`."""
    root, witnesses = load_trusted_root(options), load_witness_policy(options)
    log = _chosen(root, options)
    url = (options.rekor_url or log.base_url).rstrip("/")
    async with _asking(options) as transport:
        if generation_of(log) == 2:
            tiled = TiledLog(transport, url, log)
            kept = [one for one in root.logs if generation_of(one) == 2]
            before = [TiledLog(transport, one.base_url, one) for one in _before(kept, log, url, options)]
            yield Reading(tiled, seen_heads(options), transport, url, tuple(before), witnesses)
        else:
            reader = RekorV1Log(transport, url, log, other_trees(root, log))
            yield Reading(reader, seen_heads(options), transport, url, tuple(reader.before()), witnesses)


@asynccontextmanager
async def reading_ct(options: argparse.Namespace, given: str) -> AsyncIterator[Following]:
    """The certificate log at the URL that is ``given``, empty for its own; else as :func:`reading`."""
    if options.witness_policy is not None:
        raise Usage("--witness-policy is given for a certificate log", "witnesses cosign logs of Rekor v2 alone")
    root = load_trusted_root(options)
    log = _chosen_ct(root, given, options)
    url = (given or log.base_url).rstrip("/")
    async with _asking(options) as transport:
        before = [CertificateLog(transport, one.base_url, one) for one in _before(root.ct_logs, log, url, options)]
        yield Following(CertificateLog(transport, url, log), seen_heads(options), transport, url, tuple(before))


def _before(
    known: Iterable[LogInstance], log: LogInstance, url: str, options: argparse.Namespace
) -> tuple[LogInstance, ...]:
    """The trees before: of a copy elsewhere, and of the one tree whose id was given, none."""
    return () if options.log_id or url != log.base_url.rstrip("/") else logs_before(known, log)


@asynccontextmanager
async def _asking(options: argparse.Namespace) -> AsyncIterator[Transport]:
    """How services are asked. Usage: a number is out of its range."""
    if not 0 <= options.retry <= RETRIES or not 0 < options.timeout <= LONGEST_S:
        raise Usage(
            f"--retry is {options.retry}, --timeout {options.timeout:g}",
            f"expected 0 to {RETRIES} times, and more than 0 to {LONGEST_S} seconds",
        )
    tls = tls_context(options.ca_file) if options.ca_file else None
    async with AiohttpTransport(tls=tls, timeout_s=options.timeout) as plain:
        yield Retrying(plain, tell, waits(options.retry))


def head_json(head: SignedHead) -> dict[str, object]:
    """A head in a report."""
    return {
        "origin": head.checkpoint.origin,
        "size": head.size,
        "rootHash": head.root.hex(),
        "checkpoint": head.envelope,
    }


def head_line(head: SignedHead) -> str:
    """A head for people."""
    return f"{head.size} entries, root {encode_base64(head.root)}"


def progress(what: str) -> Callable[[int, int], None]:
    """A line that counts, where a person looks at it."""
    shown = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        if shown:
            sys.stderr.write(f"\r{what}: {done} of {total} entries" + ("\r\033[K" if done == total else ""))
            sys.stderr.flush()

    return show
