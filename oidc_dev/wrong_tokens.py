# SPDX-License-Identifier: Apache-2.0
"""Tokens that nobody may take, each wrong in exactly one place (RFC 8725 section 2). For tests of relying parties. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Final

from oidc_dev.signing import SigningKey, generate_rsa, mint
from sigcore import keys
from sigcore.errors import Malformed
from sigcore.strict import JSON, encode_base64url, parse_base64url, shown

Claims = Mapping[str, JSON]
_Forge = Callable[[Claims, SigningKey], str]


def mint_wrong(kind: str, claims: Claims, signing_key: SigningKey) -> str:
    """A token about ``claims``, as :func:`oidc_dev.signing.mint` makes it with ``signing_key`` but for what ``kind`` names.

    Raises:
        Malformed: there is no such kind; names those that there are.
    """
    if kind not in WRONG:
        raise Malformed(f"there is no token that is wrong in {shown(kind)}", f"known: {', '.join(WRONG)}")
    return WRONG[kind](claims, signing_key)


def _signature(claims: Claims, signing_key: SigningKey) -> str:
    """The last bit of the last byte is another one."""
    signed, _, text = mint(claims, signing_key).rpartition(".")
    signature = bytearray(parse_base64url(text, what="the signature"))
    signature[-1] ^= 1
    return f"{signed}.{encode_base64url(bytes(signature))}"


def _key(claims: Claims, signing_key: SigningKey) -> str:
    """By a key that nobody publishes, under the id of the one that is."""
    return mint(claims, SigningKey(generate_rsa(), signing_key.id))


def _kid(claims: Claims, signing_key: SigningKey) -> str:
    """By the right key, under an id that stands in no key set."""
    return mint(claims, SigningKey(signing_key.key, "a-key-that-is-not-published"))


def _none(claims: Claims, signing_key: SigningKey) -> str:
    """Without a signature (RFC 7519 section 6)."""
    return f"{_unsigned('none', claims, signing_key)}."


def _hs256(claims: Claims, signing_key: SigningKey) -> str:
    """By whoever can read the public key: its PEM is the secret, so a reader that lets the header choose takes it."""
    secret = keys.encode_public_key_pem(signing_key.key.public_key()).encode()
    signed = _unsigned("HS256", claims, signing_key)
    return f"{signed}.{encode_base64url(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _unsigned(algorithm: str, claims: Claims, signing_key: SigningKey) -> str:
    header = {"alg": algorithm, "typ": "JWT", "kid": signing_key.id}
    return ".".join(encode_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))


WRONG: Final[Mapping[str, _Forge]] = {
    "signature": _signature,
    "key": _key,
    "kid": _kid,
    "algorithm-none": _none,
    "algorithm-hs256": _hs256,
    "audience": lambda claims, key: mint({**claims, "aud": f"not-{claims['aud']}"}, key),
    "issuer": lambda claims, key: mint({**claims, "iss": f"{claims['iss']}/nobody"}, key),
}
"""What is wrong -> how such a token is made."""
