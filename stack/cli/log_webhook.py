# SPDX-License-Identifier: Apache-2.0
"""``--webhook``: tell somebody else, within bounds, until it is taken.

The URL is the operator's own and stands nowhere in the log. It may hold a secret (most chat services' do), so messages name its host
alone, and ``@FILE`` keeps it out of the list of processes. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from client.files import read_file
from client.transport import ServiceRefused, Transport
from sigcore import limits
from sigcore.errors import SigError, Unavailable
from stack.cli.usage import Usage

PAUSES_S: Final = (1.0, 2.0, 4.0)
"""Between the tries of one message; after that it has failed."""
ANSWER: Final = 1024 * 1024
_LATER: Final = (408, 425, 429)


def webhook_url(option: str) -> str:
    """The URL of ``--webhook``, or of the file that ``@FILE`` names. Usage: it is none."""
    text = option
    if option.startswith("@"):
        text = read_file(option[1:], what="the webhook's URL", limit=limits.TEXT).decode("utf-8", "replace").strip()
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fits = False
    if not fits:
        raise Usage("the webhook is no http or https URL", "give --webhook URL, or @FILE with the URL in it")
    return text


class Webhook:
    """Posts JSON documents to ``url``. ``sleep`` waits the seconds that it is given."""

    def __init__(
        self, transport: Transport, url: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        parts = urlsplit(url)
        self._host = f"{parts.scheme}://{parts.hostname}/..."
        self._transport = transport
        self._url = url
        self._sleep = sleep

    async def tell(self, document: Mapping[str, object]) -> None:
        """Return once it was taken (any 2xx).

        Raises:
            Unavailable: no try was answered, or each with 5xx, 408, 425 or 429. ServiceRefused: the other side does not want it.
        """
        body = json.dumps(document).encode("utf-8")
        for pause_s in (*PAUSES_S, None):
            failure = await self._try(body)
            if failure is None:
                return
            if pause_s is None:
                raise Unavailable(f"the webhook {self._host} did not take the message: {failure}", "it is told again")
            await self._sleep(pause_s)

    async def _try(self, body: bytes) -> str | None:
        """Why it was not taken, or None."""
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._transport.request("POST", self._url, headers=headers, body=body, limit=ANSWER)
        except SigError as error:
            return error.message.replace(self._url, self._host)
        if 200 <= answer.status < 300:
            return None
        if answer.status < 500 and answer.status not in _LATER:
            message = f"the webhook {self._host} answered {answer.status}"
            raise ServiceRefused(message, "is its URL the right one?", status=answer.status)
        return f"it answered {answer.status}"
