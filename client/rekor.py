# SPDX-License-Identifier: Apache-2.0
"""Rekor's API v2, from the signer's side.

Source: rekor-tiles ``rekor_service.proto``, ``CLIENTS.md``.
"""

from __future__ import annotations

from datetime import datetime

from client.transport import Transport, call
from client.verify.entry import verify_log_entry
from sigcore import entries, limits
from sigcore.bundle import LogEntry, parse_log_entry
from sigcore.entries import HashedRekord
from sigcore.strict import Fields
from sigcore.trustroot import TrustedRoot


async def add_entry(
    transport: Transport, url: str, entry: HashedRekord, *, root: TrustedRoot, now: datetime
) -> LogEntry:
    """Put ``entry`` in the log; the answer's proof, checkpoint and body are verified before it is returned.

    Args:
        transport: how to get there.
        url: base URL of the log.
        entry: what is logged.
        root: whom to believe.
        now: the log must be trusted at this time.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: the answer is no log entry.
        Refused: its proof does not hold, or it is the proof of something else.
    """
    answer = await call(
        transport,
        "POST",
        f"{url.rstrip('/')}/api/v2/log/entries",
        service="the transparency log",
        headers={"Content-Type": "application/json", "Accept": "application/json"},
        body=entries.encode_request_v2(entry),
        expected=(200, 201),
    )
    logged = parse_log_entry(Fields.parse(answer, what="the log's answer", limit=limits.SERVICE_RESPONSE, proto=True))
    verify_log_entry(logged, entry, root.logs, [now])
    return logged
