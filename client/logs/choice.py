# SPDX-License-Identifier: Apache-2.0
"""Which log of the trusted root is meant, and of which generation it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from sigcore import keys
from sigcore.errors import NotFound
from sigcore.strict import encode_time, shown
from sigcore.trustroot import LogInstance, TrustedRoot

GENERATIONS: Final = (1, 2)


def generation_of(log: LogInstance) -> int:
    """1 or 2. The id of a log of Rekor v1 is SHA-256 of its key alone; that of v2 covers its name too."""
    return 1 if keys.key_id(log.key) == log.log_id else 2


def choose_log(
    root: TrustedRoot, *, now: datetime, url: str | None = None, generation: int | None = None, log_id: str = ""
) -> LogInstance:
    """The log that is meant.

    1. Of the generation and with an id that begins as given, where given.
    2. Where some of these have the URL, one of those; a URL of no log is that of a copy, and any log may have one.
    3. Of several the newest generation, and of that the one whose window began last; one that is still to begin, which is there
       before anybody logs to it, only where there is no other.

    Args:
        root: the logs that there are.
        now: when it is read.
        url: where the log is read.
        generation: 1 or 2.
        log_id: how its id begins, in hexadecimal.

    Raises:
        NotFound: there is none.
    """
    fitting = [
        log
        for log in root.logs
        if generation in (None, generation_of(log)) and log.log_id.hex().startswith(log_id.lower())
    ]
    if not fitting:
        raise NotFound(
            f"the trusted root has no log of {_asked(generation, log_id)}",
            f"it has: {'; '.join(map(describe, root.logs)) or 'none'}",
        )
    named = [log for log in fitting if url is not None and log.base_url.rstrip("/") == url.rstrip("/")]
    return max(named or fitting, key=lambda log: (generation_of(log), *_newness(log, now)))


def other_trees(root: TrustedRoot, log: LogInstance) -> tuple[LogInstance, ...]:
    """Of a log of Rekor v1 the others at its URL, oldest first: their trees are behind the same index."""
    if generation_of(log) != 1:
        return ()
    others = [one for one in root.logs if one.base_url == log.base_url and one.log_id != log.log_id]
    return tuple(sorted(filter(_is_v1, others), key=lambda one: one.validity.start))


def logs_before(known: Iterable[LogInstance], log: LogInstance) -> tuple[LogInstance, ...]:
    """Of ``known`` those that ``log`` goes on from, oldest first: at its host, with windows that began before."""
    host = urlsplit(log.base_url).netloc
    found = [
        one
        for one in known
        if urlsplit(one.base_url).netloc == host
        and one.log_id != log.log_id
        and one.validity.start < log.validity.start
    ]
    return tuple(sorted(found, key=lambda one: one.validity.start))


def _is_v1(log: LogInstance) -> bool:
    return generation_of(log) == 1


def _newness(log: LogInstance, now: datetime) -> tuple[bool, datetime]:
    return log.validity.start <= now, log.validity.start


def choose_ct_log(root: TrustedRoot, *, now: datetime, url: str = "", log_id: str = "") -> LogInstance:
    """The certificate log that is meant, as :func:`choose_log`: by its id and its URL, of several the newest. NotFound: none."""
    fitting = [log for log in root.ct_logs if log.log_id.hex().startswith(log_id.lower())]
    if not fitting:
        raise NotFound(
            f"the trusted root has no certificate log of {_asked(None, log_id)}",
            f"it has: {', '.join(log.log_id.hex()[:16] for log in root.ct_logs) or 'none'}",
        )
    named = [log for log in fitting if log.base_url.rstrip("/") == url.rstrip("/")]
    return max(named or fitting, key=lambda log: _newness(log, now))


def describe(log: LogInstance) -> str:
    """One line: URL, generation, id, since when it is trusted."""
    since = encode_time(log.validity.start)
    return f"{shown(log.base_url, 200)} (Rekor v{generation_of(log)}, id {log.log_id.hex()[:16]}..., since {since})"


def _asked(generation: int | None, log_id: str) -> str:
    what = f"Rekor v{generation}" if generation else "any generation"
    return f"{what} with an id that begins with {shown(log_id)}" if log_id else what
