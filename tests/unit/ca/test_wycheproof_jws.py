# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's JSON Web Signatures with the two algorithms that the CA takes, through the checks of an ID token's form.

A payload of the vectors is no set of claims, so the checks are called one by one, in the order of ``verify_token``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt

from ca import token
from ca.ports import TokenKey
from sigcore.errors import Refused, SigError

ALGORITHMS = ("ES256", "RS256")
NO_TOKEN = "emptyPayload"
"""Valid as a JWS; an ID token without claims is none."""


def is_taken(public: dict[str, Any], jws: str) -> bool:
    try:
        header, _ = token._split(jws)
        token._check_header(header)
        if header.text("alg") != public["alg"]:
            raise Refused("another algorithm than the issuer's")
        token._verify_signature(jws, TokenKey(jwt.PyJWK(public).key, public["alg"]))
    except SigError:
        return False
    return True


def test_tokens_get_their_verdict(vectors: Path):
    groups = json.loads((vectors / "wycheproof" / "json_web_signature_test.json").read_bytes())["testGroups"]
    used = [group for group in groups if group.get("public", {}).get("alg") in ALGORITHMS]
    taken = {True: 0, False: 0}
    for group in used:
        for case in group["tests"]:
            expected = case["result"] == "valid" and case["comment"] != NO_TOKEN
            assert is_taken(group["public"], case["jws"]) == expected, f"{case['tcId']}: {case['comment']}"
            taken[expected] += 1
    assert taken == {True: 9, False: 263}
