# SPDX-License-Identifier: Apache-2.0
"""Time-based one-time passwords (RFC 6238 over RFC 4226): HMAC-SHA1, six digits, steps of thirty seconds. Pure.

Those parameters and no others: authenticator programs ignore what an address says beside the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

STEP_S: Final = 30
SECRET: Final = 20
"""Octets of a secret: as long as the hash (RFC 4226 section 4, R6)."""
SLACK: Final = 1
"""Steps that a clock may be off in either direction (RFC 6238 section 5.2)."""

_CODE: Final = re.compile(r"[0-9]{6}\Z", re.ASCII)


def step_at(now: datetime) -> int:
    """The number of the time step that ``now`` lies in."""
    return int(now.timestamp()) // STEP_S


def code_at(secret: bytes, step: int) -> str:
    """The six digits of one time step (RFC 4226 section 5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def matching_step(secret: bytes, code: str, *, now: datetime, after: int) -> int | None:
    """The time step whose code ``code`` is; None where there is none.

    ``after`` is the last step that was used: it and all before it are spent (RFC 6238 section 5.2). Every step that may be meant
    is compared, whichever fits, so that the time tells nothing.
    """
    typed = code.replace(" ", "")
    if not _CODE.match(typed):
        return None
    found = None
    for step in range(step_at(now) - SLACK, step_at(now) + SLACK + 1):
        if hmac.compare_digest(code_at(secret, step), typed) and step > after:
            found = step
    return found


def encode_address(secret: bytes, *, email: str, issuer: str) -> str:
    """The ``otpauth:`` address that authenticator programs read, also out of a QR code."""
    query = urlencode({"secret": encode_secret(secret), "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer, safe='')}:{quote(email, safe='@')}?{query}"


def encode_secret(secret: bytes) -> str:
    """Base32 without padding: what is typed where there is no camera."""
    return base64.b32encode(secret).decode("ascii").rstrip("=")
