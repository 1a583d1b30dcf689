# SPDX-License-Identifier: Apache-2.0
"""Public keys from the roles that made them, over HTTP, each pinned: for a stack whose keys were never in one place.

1. A role says of itself, at ``/public/ROLE.json``: its name, and the DER of its chain (leaf first), or of its logs' keys.
2. Its pin is the SHA-256 of these bytes. Whoever made the keys reads it there, and gives it to whoever makes the trust root.
3. What is fetched counts when it has the pin that was given for it; nothing is trusted because it came first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from client.transport import Transport, call
from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.keys import encode_public_key, parse_public_key
from sigcore.strict import Fields, encode_base64, parse_base64, parse_hex, shown
from sigcore.x509 import parse_certificate
from stack import bootstrap
from stack.bootstrap import PublicMaterial
from stack.config import Home, Settings

OFFERED: Final = {"ca": 2, "ct": 1, "log": 2, "tsa": 3}
"""The roles whose keys the trust root names, and how many each has: certificates, or keys (of ``log``: v2, v1)."""
PREFIX: Final = "sha256:"


def place_of(role: str) -> str:
    """Where a role says it, below its URL."""
    return f"/public/{role}.json"


def offer_of(home: Home, role: str) -> bytes:
    """What the role whose secrets are in ``home`` says of itself. Errors: as :func:`stack.bootstrap.load_material`."""
    if role in ("ca", "tsa"):
        _, chain = (bootstrap.load_ca if role == "ca" else bootstrap.load_tsa)(home)
        public: Sequence[bytes] = [certificate.der for certificate in chain]
    elif role == "ct":
        public = [encode_public_key(bootstrap.load_ecdsa(home, "ct/log.key").public_key())]
    else:
        v2, v1 = bootstrap.load_rekor(home), bootstrap.load_ecdsa(home, "rekor-v1/log.key")
        public = [encode_public_key(key.public_key()) for key in (v2, v1)]
    document = {"role": role, "public": [encode_base64(der) for der in public]}
    return json.dumps(document, indent=2).encode() + b"\n"


def pin_of(offer: bytes) -> str:
    """What a person compares."""
    return f"{PREFIX}{hashlib.sha256(offer).hexdigest()}"


def read_pins(texts: Sequence[str]) -> dict[str, str]:
    """``ROLE=sha256:HEX`` for each role whose keys are collected.

    Raises:
        Malformed: one is missing, given twice, or no such text.
    """
    pins: dict[str, str] = {}
    for text in texts:
        role, _, pin = text.partition("=")
        if role not in OFFERED or role in pins:
            raise Malformed(
                f"the pin {shown(text)} is for no role, or for one that has a pin", f"one of each: {', '.join(OFFERED)}"
            )
        parse_hex(pin.removeprefix(PREFIX), what=f"the pin of {role}", size=hashlib.sha256().digest_size)
        pins[role] = PREFIX + pin.removeprefix(PREFIX)
    if missing := [role for role in OFFERED if role not in pins]:
        raise Malformed(
            f"there is no pin for {', '.join(missing)}: nothing is trusted because it came first",
            "sigbox init --role ROLE prints it on the machine of the role; give --pin ROLE=sha256:...",
        )
    return pins


async def collect(settings: Settings, pins: Mapping[str, str], transport: Transport) -> PublicMaterial:
    """The public keys of all roles, from their URLs, each with the pin in ``pins``.

    Raises:
        Refused: a role says something else than what was pinned. Unavailable: it does not answer. Malformed: it says no keys.
    """
    found = {role: await _fetch(settings.at(role), role, pin, transport) for role, pin in pins.items()}
    return PublicMaterial(
        ca_chain=tuple(parse_certificate(der, what="of the certificate authority") for der in found["ca"]),
        tsa_chain=tuple(parse_certificate(der, what="of the timestamp authority") for der in found["tsa"]),
        ct_key=parse_public_key(found["ct"][0]),
        rekor_key=parse_public_key(found["log"][0]),
        rekor_v1_key=parse_public_key(found["log"][1]),
    )


async def _fetch(url: str, role: str, pin: str, transport: Transport) -> tuple[bytes, ...]:
    place = f"{url}{place_of(role)}"
    offer = await call(transport, "GET", place, service=f"the role {role}", headers={}, limit=limits.TEXT)
    if (seen := pin_of(offer)) != pin:
        raise Refused(
            f"{place} has the fingerprint {seen}, expected {pin}",
            "compare with what sigbox init --role has printed there: other keys, or somebody in between",
        )
    fields = Fields.parse(offer, what=f"what {role} says", limit=limits.TEXT)
    fields.only("role", "public")
    public = tuple(parse_base64(text, what=f"a key of {role}") for text in fields.texts("public", limit=len(OFFERED)))
    if fields.text("role") != role or len(public) != OFFERED[role]:
        raise Malformed(
            f"{place} speaks for {shown(fields.text('role'))} with {len(public)} keys, expected {OFFERED[role]} of {role}"
        )
    return public
