# SPDX-License-Identifier: Apache-2.0
"""A timestamp authority (RFC 3161 over HTTP), from the signer's side.

Source: RFC 3161 sections 2.4 and 3.4.
"""

from __future__ import annotations

import secrets

from client.answers import answering
from client.transport import Transport, call
from client.verify.times import verify_time
from sigcore import limits, timestamp
from sigcore.algorithms import HashAlgorithm
from sigcore.timestamp import TimestampRequest
from sigcore.trustroot import TrustedRoot

_HEADERS = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}


async def request_timestamp(transport: Transport, url: str, message: bytes, *, root: TrustedRoot) -> bytes:
    """A timestamp response (DER) over ``message``, verified before it is returned.

    1. POST SHA-256 of the message and a fresh nonce.
    2. The answer must be granted, carry the nonce, and verify with a timestamp authority of the trusted root.

    Args:
        transport: how to get there.
        url: the full URL of the authority, as ``tsaUrls`` give it.
        message: what is timestamped: the raw signature.
        root: whom to believe.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: not a timestamp response.
        Refused: not granted, not our nonce, or not verifiable.
    """
    sha256 = HashAlgorithm.SHA2_256
    request = TimestampRequest(sha256, sha256.digest(message), nonce=fresh_nonce())
    answer = await fetch_timestamp(transport, url, request)
    with answering("the timestamp authority", url):
        response = timestamp.parse_response(answer)
    timestamp.verify_answer(response, request)
    verify_time(answer, message, root.timestamp_authorities, what="the new timestamp")
    return answer


async def fetch_timestamp(transport: Transport, url: str, request: TimestampRequest) -> bytes:
    """What the authority at ``url`` answers, unread and unverified; errors as :func:`client.transport.call`."""
    return await call(
        transport,
        "POST",
        url,
        service="the timestamp authority",
        headers=_HEADERS,
        body=timestamp.encode_request(request),
        expected=(200, 201),
        limit=limits.TIMESTAMP_RESPONSE,
    )


def fresh_nonce() -> int:
    """64 random bits: nobody can have an answer ready."""
    return secrets.randbits(64)
