# SPDX-License-Identifier: Apache-2.0
"""Writers that know several hosts of one log, go to another when one does not answer, and remember when they were answered."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.error import HTTPError

import aiohttp

from tests.faults.audit import Checkpoint, audit, find_sent, read_key, read_log
from tests.faults.writers import Sent, Writers, parse_acknowledgement
from tests.hosts import Hosts

GIVE_UP_S = 2
"""A paused host answers nothing; the others must still be asked often enough."""


@dataclass
class HostWriters(Writers):
    """``moments``: when each acknowledged entry was sent, and when its acknowledgement came."""

    moments: list[tuple[float, float]] = field(default_factory=list)

    async def run_until(self, hosts: Hosts, done: Callable[[], bool]) -> None:
        """Write until ``done``, each time to a host at random."""
        timeout = aiohttp.ClientTimeout(total=GIVE_UP_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._write_to(session, hosts, done) for _ in range(self.count)))

    async def _write_to(self, session: aiohttp.ClientSession, hosts: Hosts, done: Callable[[], bool]) -> None:
        while not done():
            sent = self.unknown.pop() if self.unknown else Sent.make()
            url, sent_s = random.choice(hosts.hosts).url, time.monotonic()
            try:
                async with session.post(f"{url}/api/v2/log/entries", data=sent.request()) as response:
                    text = await response.text()
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.unknown.append(sent)
                await asyncio.sleep(0.02)
                continue
            if response.status == 503:
                self.unknown.append(sent)
                await asyncio.sleep(0.02)
            elif response.status == 409:
                self.located[int(response.headers["x-log-index"])] = sent
            else:
                assert response.status == 201, f"{response.status}: {text}"
                self.journal.add(parse_acknowledgement(sent, json.loads(text)))
                self.acknowledged += 1
                self.moments.append((sent_s, time.monotonic()))

    def answered_after(self, moment: float) -> float:
        """Seconds from ``moment`` to the first acknowledgement of an entry sent after it; infinite while there is none."""
        return min((answered - moment for sent, answered in self.moments if sent > moment), default=float("inf"))

    def check(self, hosts: Hosts, earlier: list[Checkpoint]) -> int:
        """Audit the log on every host; their checkpoints count from then on. The answer is the largest size."""
        sizes = []
        for host in hosts:
            now, entries = _read_patiently(host.url)
            # What was acknowledged by the others may not have been shown here yet, but whatever was shown here must fit.
            acknowledged = [one for one in self.journal.read() if one.size <= now.size]
            audit(
                entries,
                now,
                acknowledged,
                [one for one in earlier if one.size <= now.size],
                read_key(host.data / "public" / "trusted_root.json"),
            )
            for index, sent in self.located.items():
                assert index >= now.size or find_sent(entries[index]) == (sent.digest, sent.signature)
            sizes.append(now)
        earlier.extend(sizes)
        largest = max(size.size for size in sizes)
        assert all(one.size <= largest for one in self.journal.read()), "an acknowledged entry is gone"
        return largest


def _read_patiently(url: str, seconds: float = 30) -> tuple[Checkpoint, list[bytes]]:
    """As ``read_log``; a host that has just lost its database, and serves without a fault until it notices, is asked again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return read_log(url)
        except HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
