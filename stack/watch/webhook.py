# SPDX-License-Identifier: Apache-2.0
"""An alert as somebody else's program gets it: JSON over POST, with an HMAC of the body.

    X-Sigbox-Signature: sha256=HEX     HMAC-SHA256 of the body, with the secret of ``secret_file``
    X-Sigbox-Alert: LOG:INDEX:RULE     the same at every try: an alert may come twice, and is one alert

Anything between 200 and 299 takes it. Imports the client's transport, and with it aiohttp's client: only when there is an alert.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Final

from client.transport import AiohttpTransport, tls_context
from sigcore import limits
from sigcore.errors import SigError
from sigcore.strict import encode_time
from stack.watch.rules import Webhook
from stack.watch.store import Alert

TIMEOUT_S: Final = 10.0


def encode_alert(alert: Alert, stack_url: str) -> bytes:
    """The body."""
    return json.dumps(
        {
            "id": alert.name,
            "rule": alert.rule,
            "reason": reason(alert),
            "identity": alert.identity,
            "issuer": alert.issuer,
            "log": alert.log,
            "index": alert.index,
            "entryTime": _time(alert.time_ms) if alert.time_ms else None,
            "found": _time(alert.found_ms),
            "entry": f"{stack_url}/entries/{alert.log}/{alert.index}",
            "stack": stack_url,
        },
        ensure_ascii=True,
    ).encode("ascii")


def reason(alert: Alert) -> str:
    """Why it is one, for a reader."""
    return (
        "an identity that is expected from another issuer" if alert.expected else "an identity that is looked out for"
    )


def _time(time_ms: int) -> str:
    return encode_time(datetime.fromtimestamp(time_ms // 1000, UTC))


def sign(body: bytes, secret: bytes) -> str:
    """The value of ``X-Sigbox-Signature``."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


async def post(alert: Alert, webhook: Webhook, stack_url: str, *, timeout_s: float = TIMEOUT_S) -> str:
    """Empty when the receiver has taken it, else why not; for whoever looks at the page, so without the URL's path."""
    body = encode_alert(alert, stack_url)
    headers = {
        "Content-Type": "application/json",
        "X-Sigbox-Alert": alert.name,
        "X-Sigbox-Signature": sign(body, webhook.secret),
    }
    try:
        # On a thread: a system's authorities take 20 ms to read.
        tls = (
            await asyncio.to_thread(tls_context, webhook.ca_file or None) if webhook.url.startswith("https:") else None
        )
        async with AiohttpTransport(tls=tls, timeout_s=timeout_s) as transport:
            answer = await transport.request(
                "POST", webhook.url, headers=headers, body=body, limit=limits.SERVICE_RESPONSE
            )
    except SigError as error:
        return error.message.replace(webhook.url, webhook.host)
    return "" if 200 <= answer.status < 300 else f"{webhook.host} answered {answer.status}"
