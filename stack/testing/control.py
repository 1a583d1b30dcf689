# SPDX-License-Identifier: Apache-2.0
"""One question to a stack's control API, with the standard library alone: a test process imports no client for it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from sigcore import limits
from sigcore.errors import Malformed, NotFound, SigError, Unavailable
from sigcore.strict import JSON, Fields

TIMEOUT_S: Final = 60


def ask(url: str, what: str, wanted: Mapping[str, JSON] | None, tls_ca: Path | None) -> Fields:
    """Post ``wanted`` to ``/_ctl/WHAT`` of the stack at ``url``, past every proxy, or get that where it is None; the answer is its object.

    Raises:
        NotFound: the stack has no control API. Malformed: it says no. Unavailable: it does not answer.
    """
    handlers = [
        ProxyHandler({}),
        *([HTTPSHandler(context=ssl.create_default_context(cafile=tls_ca))] if tls_ca else []),
    ]
    body = None if wanted is None else json.dumps(wanted).encode()
    request = Request(f"{url}/_ctl/{what}", body, {"Content-Type": "application/json"})  # noqa: S310 - a URL of the caller's own stack
    try:
        with build_opener(*handlers).open(request, timeout=TIMEOUT_S) as response:
            return Fields.parse(
                response.read(limits.SERVICE_RESPONSE),
                what=f"the answer of /_ctl/{what}",
                limit=limits.SERVICE_RESPONSE,
            )
    except HTTPError as error:
        raise _refusal(url, what, error) from error
    except (URLError, HTTPException, OSError) as error:
        raise Unavailable(f"the stack at {url} does not answer: {error}", "is it running?") from error


def _refusal(url: str, what: str, error: HTTPError) -> SigError:
    if error.code in (404, 405):
        return NotFound(f"the stack at {url} has no control API", "start it with --ephemeral --control")
    said = error.read(limits.IDENTITY_TOKEN)
    message = Fields.parse(said, what=f"the refusal of /_ctl/{what}", limit=limits.IDENTITY_TOKEN).text("message")
    return Malformed(message)
