# SPDX-License-Identifier: Apache-2.0
"""The signed entry timestamp (SET) of Rekor v1: the log's promise that it took the entry, at a time that it signs.

It is a signature by the log's key over this canonical JSON; a log id in hexadecimal and numbers need no escapes:

    {"body":"<base64>","integratedTime":<Unix seconds>,"logID":"<hex>","logIndex":<over all trees>}

The time of an entry counts only when this signature holds; without it anybody can write any time into a bundle.

Source: rekor ``pkg/api/entries.go`` (signEntry).
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from datetime import UTC, datetime

from client.verify.log import find_log
from client.verify.times import VerifiedTime
from sigcore import keys
from sigcore.errors import Malformed, Refused
from sigcore.log_entry import LogEntry
from sigcore.trustroot import LogInstance


def promised_bytes(entry: LogEntry) -> bytes:
    """What the promise signs."""
    return b'{"body":"%b","integratedTime":%d,"logID":"%b","logIndex":%d}' % (
        b2a_base64(entry.body, newline=False),
        entry.integrated_time,
        entry.log_id.hex().encode("ascii"),
        entry.index,
    )


def verify_promise(entry: LogEntry, logs: Sequence[LogInstance]) -> VerifiedTime | None:
    """The time at which a trusted log took ``entry``, or None where it promises nothing.

    1. The log is found by its full id; its window must cover the time.
    2. The promise is the log's signature over body, time, log and index.

    The caller must still check that the body is about the signature at hand.

    Raises:
        Refused: one of these does not hold. Malformed: the time is no moment of the calendar.
    """
    if entry.promise is None:
        return None
    try:
        time = datetime.fromtimestamp(entry.integrated_time, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Malformed(f"the log entry has the time {entry.integrated_time} s, no moment of the calendar") from error
    if not entry.integrated_time:
        raise Refused("the log entry has a promise and no time that it is of")
    log = find_log(entry.log_id, logs, [time])
    what = f"the promise (SET) of the log {log.base_url}"
    keys.verify(log.public_key(), entry.promise, promised_bytes(entry), what=what)
    return VerifiedTime(time, log.base_url, log)
