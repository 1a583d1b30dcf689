# SPDX-License-Identifier: Apache-2.0
"""Times, issuers and claims that the tests of this folder share, and tokens signed by hand where PyJWT would not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from sigcore import keys

NOW = datetime(2026, 11, 23, 12, 0, 0, 654_321, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
ISSUER = "http://localhost:7780/auth"
OTHER = "https://other.example"
MACHINES = "https://ci.example.com"


def claims(**changes):
    """The claims of a good token; ``None`` takes one away."""
    made = {
        "iss": ISSUER,
        "sub": "alice@example.com",
        "aud": "sigstore",
        "iat": SECONDS,
        "nbf": SECONDS,
        "exp": SECONDS + 600,
        "email": "alice@example.com",
        "email_verified": True,
    } | changes
    return {name: value for name, value in made.items() if value is not None}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header, payload):
    """Header and payload of a token, joined."""
    return ".".join(b64(json.dumps(part).encode()) for part in (header, payload))


def signed(key, payload, algorithm="RS256", **headers):
    """A token whose header and payload no library has looked at; ``key`` signs with its default scheme."""
    message = unsigned({"alg": algorithm, "kid": "key-1"} | headers, payload)
    return f"{message}.{b64(keys.sign(key, message.encode()))}"
