# SPDX-License-Identifier: Apache-2.0
"""A login without a browser on this machine (RFC 8628), with PKCE as cosign adds it.

1. The provider is asked for two codes: one to ask with, one for the user.
2. The user opens the page, on any machine, and compares the code.
3. Meanwhile the token endpoint is asked, as often as it allows: until there is a token, a no, or the time is over.
4. The ID token must be of this issuer. Its signature is for the certificate authority to check.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlencode

from client.answers import answering
from client.identity import IdentityToken, parse_identity_token
from client.openid import Provider
from client.transport import ServiceRefused, Transport, call
from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import Fields, encode_base64url, shown
from sigcore.values import dataclass

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S: Final = 5
"""Where the provider says nothing, and what each ``slow_down`` adds (section 3.5)."""
LONGEST_S: Final = 3600
_SERVICE: Final = "the OpenID provider"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A login that waits for its user. ``page`` is what to open, ``user_code`` what stands there too."""

    client_id: str
    device_code: str
    user_code: str
    page: str
    interval_s: int
    expires_s: int
    verifier: str


async def begin(transport: Transport, provider: Provider, client_id: str) -> Waiting:
    """Step 1.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Refused: the provider has no such flow.
        Malformed: an answer without the codes, or with a page that is none.
    """
    if not provider.device_endpoint:
        raise Refused(
            f"{_SERVICE} {shown(provider.issuer, 200)} has no device flow", "use --flow browser or --flow oob"
        )
    verifier = secrets.token_urlsafe(32)
    form = {
        "client_id": client_id,
        "scope": "openid email",
        "code_challenge": encode_base64url(hashlib.sha256(verifier.encode("ascii")).digest()),
        "code_challenge_method": "S256",
    }
    answer = await _post(transport, provider.device_endpoint, form)
    with answering(_SERVICE, provider.device_endpoint):
        fields = Fields.parse(answer, what="the answer", limit=limits.SERVICE_RESPONSE)
    page = fields.optional_text("verification_uri_complete") or fields.text("verification_uri")
    user_code = fields.text("user_code")
    if not page.startswith(("https://", "http://")) or not (page + user_code).isprintable():
        raise Malformed(f"{_SERVICE} names the page {shown(page)}, expected an http or https URL")
    interval_s = fields.integer("interval") if "interval" in fields else INTERVAL_S
    return Waiting(
        client_id,
        fields.text("device_code"),
        user_code,
        page,
        min(max(interval_s, 1), LONGEST_S),
        min(max(fields.integer("expires_in"), 0), LONGEST_S),
        verifier,
    )


async def token_of(
    transport: Transport,
    provider: Provider,
    waiting: Waiting,
    *,
    timeout_s: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> IdentityToken:
    """Steps 3 and 4; ``sleep`` waits for so many seconds.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Refused: the user said no, or nobody came in time.
        Malformed: no ID token in the answer.
    """
    form = {
        "grant_type": GRANT,
        "client_id": waiting.client_id,
        "device_code": waiting.device_code,
        "code_verifier": waiting.verifier,
    }
    interval_s, left_s = waiting.interval_s, min(timeout_s, waiting.expires_s)
    while left_s > 0:
        await sleep(min(interval_s, left_s))
        left_s -= interval_s
        try:
            answer = await _post(transport, provider.token_endpoint, form)
        except ServiceRefused as error:
            interval_s += _wait_longer(error)
            continue
        return _token(answer, provider)
    raise Refused("nobody allowed this login in time", "log in again, and open the page on any machine")


def _wait_longer(refused: ServiceRefused) -> int:
    """How much longer to wait between two questions; the refusal itself, where waiting is of no use."""
    try:
        fields = Fields.parse(refused.body, what="the refusal", limit=limits.SERVICE_RESPONSE)
        said = fields.text("error")
    except Malformed:
        raise refused from None
    if said in ("authorization_pending", "slow_down"):
        return INTERVAL_S if said == "slow_down" else 0
    reasons = {
        "access_denied": "the login was denied on the page",
        "expired_token": "nobody allowed this login in time",
    }
    if said in reasons:
        raise Refused(reasons[said], "log in again") from refused
    raise refused


def _token(answer: bytes, provider: Provider) -> IdentityToken:
    with answering(_SERVICE, provider.token_endpoint):
        fields = Fields.parse(answer, what="the answer", limit=limits.SERVICE_RESPONSE)
    token = parse_identity_token(fields.text("id_token", limit=limits.IDENTITY_TOKEN))
    if token.issuer != provider.issuer:
        raise Refused(f"the token is of {shown(token.issuer, 200)}, expected {shown(provider.issuer, 200)}")
    return token


async def _post(transport: Transport, url: str, form: dict[str, str]) -> bytes:
    return await call(transport, "POST", url, service=_SERVICE, headers=_FORM, body=urlencode(form).encode("ascii"))
