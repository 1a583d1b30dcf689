# SPDX-License-Identifier: Apache-2.0
"""O14: every challenge against every verifier, in the code flow and in the device flow. One of 24 cells gets a token."""

from __future__ import annotations

import pytest

from oidc_dev.clients import DEVICE
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import CHALLENGE, VERIFIER, Visitor, query_of

CHALLENGES = {
    "absent": {"code_challenge": None, "code_challenge_method": None},
    "empty": {"code_challenge": "", "code_challenge_method": ""},
    "plain": {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
    "S256": {"code_challenge": CHALLENGE, "code_challenge_method": "S256"},
}
VERIFIERS = {
    "absent": None,
    "empty": "",
    "wrong": "w" * 43,
    "42 characters": VERIFIER[:42],
    "129 characters": VERIFIER + "x" * (129 - len(VERIFIER)),
    "right": VERIFIER,
}
CELLS = [(challenge, verifier) for challenge in CHALLENGES for verifier in VERIFIERS]
NO_CODE = "0" * 64
"""What is presented where the provider gave no code at all."""


async def by_code(http, challenge: dict[str, str | None], verifier: str | None) -> int:
    visitor = Visitor(http)
    asked = await visitor.ask(**challenge)
    code = NO_CODE
    if asked.status == 200:
        code = await visitor.code(**challenge)
    else:
        assert query_of(asked)["error"] == "invalid_request"
    return (await visitor.redeem(code, code_verifier=verifier)).status


async def by_device(http, challenge: dict[str, str | None], verifier: str | None) -> int:
    program = Program(http)
    answer = await program.begin(**challenge)
    code = NO_CODE
    if answer.status == 200:
        begun = await answer.json()
        code = begun["device_code"]
        await program.decide(begun["user_code"])
    else:
        assert (await answer.json())["error"] == "invalid_request"
    return (await program.poll(code, code_verifier=verifier)).status


@pytest.mark.parametrize(("challenge", "verifier"), CELLS)
@pytest.mark.parametrize("flow", [by_code, by_device], ids=["authorization_code", DEVICE])
async def test_only_s256_with_its_own_verifier_gets_a_token_o14(http, flow, challenge, verifier):
    status = await flow(http, CHALLENGES[challenge], VERIFIERS[verifier])
    assert status == (200 if (challenge, verifier) == ("S256", "right") else 400)


def test_the_matrix_has_24_cells():
    assert len(CELLS) == 24
