# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's key sets as an issuer would publish them: only a sound public key makes its token good (O11, O12)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ca import token
from ca.jwks import parse_jwks
from sigcore.errors import SigError

SECRET = ("d", "p", "q", "dp", "dq", "qi")
SHARED = "oct"
"""The kind of key that signer and verifier share; nothing here is ever verified with one, so a valid token of it is refused."""


def published(group: dict[str, Any]) -> bytes:
    """The set without the private half of its key pairs; a shared secret has no other half."""
    keys = group.get("public", group["private"])["keys"]
    return json.dumps({"keys": [{name: key[name] for name in key if name not in SECRET} for key in keys]}).encode()


async def is_taken(keys: bytes, jws: str) -> bool:
    try:
        header, _ = token._split(jws)
        token._check_header(header)
        key = await parse_jwks(keys).find(header.text("kid"))
        if key.algorithm != header.text("alg"):
            return False
        token._verify_signature(jws, key)
    except SigError:
        return False
    return True


async def test_keys_get_their_verdict(vectors: Path):
    groups = json.loads((vectors / "wycheproof" / "json_web_key_test.json").read_bytes())["testGroups"]
    taken: dict[bool, int] = {True: 0, False: 0}
    for group in groups:
        shared = any(key["kty"] == SHARED for key in group["private"]["keys"])
        for case in group["tests"]:
            expected = case["result"] == "valid" and not shared
            assert await is_taken(published(group), case["jws"]) == expected, f"{case['tcId']}: {case['comment']}"
            taken[expected] += 1
    assert taken == {True: 1, False: 25}
