# SPDX-License-Identifier: Apache-2.0
"""kill -9 of one role after the other under load (F10, L12): each comes back by itself, and of what any of them said nothing is lost.

Whoever restarts them does what ``restart: unless-stopped`` of compose.yaml does: the same command again, a tenth of a second later.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from tests.chance import chosen_seed
from tests.contract.rfc6962 import LogClient, read_leaf
from tests.faults.audit import Journal, audit, find_sent, read_key, read_log
from tests.faults.certificates import certificate_request
from tests.faults.writers import Writers
from tests.interop.places import ALICE
from tests.machine import EMPTY_S, empty_process
from tests.split_stack import ROLES, SplitStack, split_stack

pytestmark = [pytest.mark.faults, pytest.mark.slow]

KILLS = 10
ASKERS = 4
RESTART_S = 0.1
RECOVERED_S = 5.0
LEAST = 20
"""Certificates and entries without which it was no load."""
BEFORE_S = (0.2, 1.5)


class Certificates:
    """Who asks the authority for certificates, again and again; the serial numbers of those that it gave."""

    def __init__(self, stack: SplitStack) -> None:
        self.url, self.token = stack.url("ca"), stack.as_stack().token(ALICE)
        self.given: list[int] = []
        self.refused: Counter[str] = Counter()

    async def run(self, over: asyncio.Event) -> None:
        """Until it is over."""
        async with aiohttp.ClientSession(self.url) as session:
            await asyncio.gather(*(self._ask(session, over) for _ in range(ASKERS)))

    async def _ask(self, session: aiohttp.ClientSession, over: asyncio.Event) -> None:
        while not over.is_set():
            try:
                async with session.post(
                    "/api/v2/signingCert", data=certificate_request(self.token, ALICE)[0]
                ) as answer:
                    text = await answer.text()
            except (aiohttp.ClientError, ConnectionError):
                self.refused["not answered"] += 1
                await asyncio.sleep(0.02)
                continue
            if answer.status != 200:
                assert answer.status == 503, f"{answer.status}: {text}"
                self.refused["503"] += 1
                await asyncio.sleep(0.02)
                continue
            chain = json.loads(text)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
            self.given.append(x509.load_pem_x509_certificate(chain[0].encode()).serial_number)


def logged_serials(url: str) -> list[int]:
    """Those of the precertificates in the certificate log."""
    client, serials = LogClient(url), []
    size = client.call("get-sth")[1]["tree_size"]
    while len(serials) < size:
        status, found, _ = client.call("get-entries", start=len(serials), end=size - 1)
        assert status == 200
        for entry in found["entries"]:
            leaf = read_leaf(entry)
            serials.append(x509.load_der_x509_certificate(leaf.chain[0]).serial_number if leaf.issuer_key_hash else -1)
    return serials


async def kill_and_restart(
    stack: SplitStack, victims: list[str], moments: random.Random
) -> tuple[list[tuple[float, str]], float]:
    """Kill them one after the other. The seconds from each kill until the role was ready again, and those of an empty process."""
    took, empty = [], []
    for role in victims:
        await asyncio.sleep(moments.uniform(*BEFORE_S))
        began = time.monotonic()
        await asyncio.to_thread(stack.kill, role)
        await asyncio.sleep(RESTART_S)
        await asyncio.to_thread(stack.start, role)
        took.append((time.monotonic() - began, role))
        empty.append(await asyncio.to_thread(empty_process))
    await asyncio.sleep(BEFORE_S[1])
    return sorted(took), statistics.median(empty)


async def under_load(
    stack: SplitStack, writers: Writers, certificates: Certificates, moments: random.Random
) -> tuple[list[tuple[float, str]], float]:
    victims = [*ROLES, *moments.choices(ROLES, k=KILLS - len(ROLES))]
    moments.shuffle(victims)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(writers.run(stack.url("log"), over))
        group.create_task(certificates.run(over))
        measured = await kill_and_restart(stack, victims, moments)
        over.set()
    return measured


@pytest.mark.alone
def test_kill_9_of_any_role_loses_nothing_that_was_acknowledged_f10(tmp_path: Path):
    seed = chosen_seed()
    journal = Journal(tmp_path / "journal")
    with split_stack(tmp_path) as stack:
        writers, certificates = Writers(journal, count=8), Certificates(stack)
        took, empty = asyncio.run(under_load(stack, writers, certificates, random.Random(seed)))
        now, entries = read_log(stack.url("log"))
        audit(entries, now, journal.read(), [], read_key(stack.as_stack().trusted_root))
        for index, sent in writers.located.items():
            assert find_sent(entries[index]) == (sent.digest, sent.signature)
        serials = Counter(logged_serials(stack.url("ct")))
    journal.close()
    print(
        f"\nseed {seed}: {KILLS} kills; {writers.acknowledged} entries and {len(certificates.given)} certificates acknowledged, "
        f"none lost or doubled; {dict(certificates.refused)}; ready again after "
        + ", ".join(f"{seconds:.1f} s ({role})" for seconds, role in took)
        + f"; an empty process: {empty:.3f} s"
    )
    assert all(serials[serial] == 1 for serial in certificates.given), "a certificate is not in the log, or twice"
    assert all(count == 1 for serial, count in serials.items() if serial != -1)
    assert min(writers.acknowledged, len(certificates.given)) >= LEAST
    assert took[-1][0] <= RECOVERED_S * max(1.0, empty / EMPTY_S)
