# SPDX-License-Identifier: Apache-2.0
"""The witness policy that a stack can print of itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from sigcore.cosignature import cosigner_key, encode_witness_verifier
from sigcore.errors import Malformed
from sigcore.note import note_key
from sigcore.tlog_policy import describe_quorum, encode_tlog_policy, parse_tlog_policy
from stack.config import Settings
from stack.witness_policy import stack_policy
from stack.witness_rows import WitnessRow

KEYS = [ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)).public_key() for number in range(4)]
LOGS = [note_key("localhost", KEYS[0])]


def rows(*names: str) -> tuple[WitnessRow, ...]:
    keys = [cosigner_key(name, key) for name, key in zip(names, KEYS, strict=False)]
    return tuple(WitnessRow("https://w.example/witness", encode_witness_verifier(key)) for key in keys)


def settings(awaited: int, *names: str) -> Settings:
    made = Settings(
        "http://localhost:7780", datetime(2026, 1, 1, tzinfo=UTC), ephemeral=False, url_follows_listen=False
    )
    return replace(made, witnesses=rows(*names), witness_quorum=awaited)


@pytest.mark.parametrize(
    ("awaited", "given", "expected", "warned"),
    [
        (0, "", "any of (a, b, c)", True),
        (2, "", "2 of (a, b, c)", False),
        (3, "", "all of (a, b, c)", False),
        (2, "any", "any of (a, b, c)", False),
        (2, "2", "2 of (a, b, c)", False),
        (2, "all", "all of (a, b, c)", True),
    ],
)
def test_as_many_as_the_log_waits_for_or_as_one_says(awaited, given, expected, warned):
    policy, remarks = stack_policy(settings(awaited, "a", "b", "c"), LOGS, given)
    assert describe_quorum(policy) == expected
    assert any("the log waits for" in remark for remark in remarks) == warned
    assert parse_tlog_policy(encode_tlog_policy(policy)) == policy


def test_names_that_would_mean_something_else_get_their_key_s_hash():
    policy, _ = stack_policy(settings(0, "witnesses", "twin", "twin", "all"), LOGS)
    names = [one.name for one in policy.witnesses]
    assert names == [f"{one.key.name}+{one.key.hash.hex()}" for one in policy.witnesses]
    assert parse_tlog_policy(encode_tlog_policy(policy)) == policy


def test_every_tree_of_a_rotated_log_is_one_of_the_policy():
    logs = [note_key("localhost", key) for key in KEYS[:2]]
    policy, remarks = stack_policy(settings(0), logs)
    assert [log.key for log in policy.logs] == logs
    assert describe_quorum(policy) == "no cosignature"
    assert any("asks no witness" in remark for remark in remarks)


@pytest.mark.parametrize("given", ["0", "4", "-1", "most", "01"])
def test_a_quorum_that_nobody_can_make_is_refused(given):
    with pytest.raises(Malformed):
        stack_policy(settings(1, "a", "b", "c"), LOGS, given)
