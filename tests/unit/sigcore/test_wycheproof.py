# SPDX-License-Identifier: Apache-2.0
"""Wycheproof's signatures: every valid one verifies, every other one is refused, with a SigError."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sigcore import keys
from sigcore.errors import SigError

FILES = {"ecdsa_secp256r1_sha256_test.json": (174, 310), "ed25519_test.json": (88, 63)}
"""(valid, invalid) cases; there are no merely acceptable ones."""


def cases(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(group, case)"""
    for group in json.loads(path.read_bytes())["testGroups"]:
        for case in group["tests"]:
            yield group, case


def verifies(group: dict[str, Any], case: dict[str, Any]) -> bool:
    try:
        key = keys.parse_public_key(bytes.fromhex(group["publicKeyDer"]))
        keys.verify(key, bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]), what="the signature")
    except SigError:
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_signatures_get_their_verdict(vectors: Path, name: str):
    found: dict[tuple[str, bool], int] = {}
    for group, case in cases(vectors / "wycheproof" / name):
        verdict = case["result"], verifies(group, case)
        found[verdict] = found.get(verdict, 0) + 1
    valid, invalid = FILES[name]
    assert found == {("valid", True): valid, ("invalid", False): invalid}
