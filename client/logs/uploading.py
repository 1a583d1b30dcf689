# SPDX-License-Identifier: Apache-2.0
"""Put a signature that was made elsewhere in a log; what the log has already is fetched, and just as good.

Sources: rekor ``openapi.yaml``; rekor-tiles ``pkg/server`` (409 and the index in its message).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from client.logs.choice import generation_of
from client.logs.tiled import TiledLog
from client.rekor import Logged, submit_entry
from client.transport import ServiceRefused, Transport
from client.verify.entry import verify_log_entry
from client.verify.signed import Signed
from sigcore.errors import Malformed
from sigcore.signing_config import Service
from sigcore.trustroot import LogInstance, TrustedRoot

_CONFLICT: Final = 409
_INDEX: Final = re.compile(rb"with index ([0-9]{1,18})\b")


async def upload(
    transport: Transport, url: str, log: LogInstance, signed: Signed, *, root: TrustedRoot, now: datetime
) -> Logged:
    """The entry for ``signed`` (a hashedrekord) in ``log``, verified.

    1. Send it; the answer is verified as signing does.
    2. A log of v2 that has it already names its index: that entry is read, proved, and must be the one for ``signed``.

    What the caller must have done: the signature holds.

    Args:
        transport: how to get there.
        url: where the log is.
        log: the log, of the trusted root.
        signed: what is logged.
        root: whom to believe.
        now: the log must be trusted at this time.

    Raises:
        ServiceRefused, Unavailable, Malformed, Refused: as :func:`client.rekor.submit_entry`.
    """
    service = Service(url, generation_of(log), log.validity, log.operator)
    try:
        return await submit_entry(transport, service, signed, root=root, now=now)  # 1
    except ServiceRefused as error:
        if error.status != _CONFLICT or service.api_version == 1:
            raise
        named = _INDEX.search(error.body)
        if named is None:
            raise Malformed("the log has the entry already, and does not say where", error.message) from error
    reader = TiledLog(transport, url, log)
    entry = await reader.entry(int(named[1]), await reader.head())
    verify_log_entry(entry, signed, root.logs, [now])  # 2
    return Logged(entry, existed=True)
