# SPDX-License-Identifier: Apache-2.0
"""Verifications that take turns have the results that they have alone, in the same order."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from client.verify import attestation_steps, blob_steps, verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.steps import at_once, in_one_step, in_turns
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import MessageSignature
from sigcore.errors import SigError
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER

WHO = IdentityPolicy(ISSUER, EMAIL)
OTHER = "https://example.com/other/v1"
DIGEST = HashAlgorithm.SHA2_256.digest(ARTIFACT)


def stepping(name: str, count: int, seen: list[str]):
    for number in range(count):
        seen.append(f"{name}{number}")
        yield
    return name


def failing(seen: list[str]):
    seen.append("fails")
    yield
    raise ValueError("as it was told")


def test_each_step_is_done_for_all_before_the_next():
    seen: list[str] = []
    assert list(in_turns([stepping("a", 1, seen), stepping("b", 3, seen), stepping("c", 2, seen)])) == ["a", "b", "c"]
    assert seen == ["a0", "b0", "c0", "b1", "c1", "b2"]


def test_one_without_pauses_is_done_in_its_first_turn():
    seen: list[str] = []
    steps = [stepping("a", 2, seen), in_one_step(stepping("b", 3, seen)), stepping("c", 1, seen)]
    assert list(in_turns(steps)) == ["a", "b", "c"]
    assert seen == ["a0", "b0", "b1", "b2", "c0", "a1"]
    assert at_once(stepping("d", 3, seen)) == "d"
    assert list(in_turns([])) == []


def test_what_is_raised_comes_in_its_place_and_keeps_nobody_from_ending():
    seen: list[str] = []
    results = in_turns([stepping("a", 3, seen), failing(seen), stepping("b", 3, seen)])
    assert next(results) == "a"
    with pytest.raises(ValueError, match="as it was told"):
        next(results)
    assert seen == ["a0", "fails", "b0", "a1", "b1", "a2", "b2"]


def test_whose_step_comes_next_is_told_before_it_and_nobody_has_a_turn_after_his_last():
    seen: list[str] = []
    steps = [stepping("a", 1, seen), failing(seen), stepping("b", 2, seen)]
    results = in_turns(steps, entering=lambda number: seen.append(f"({number})"))
    assert next(results) == "a"
    assert seen == ["(0)", "a0", "(1)", "fails", "(2)", "b0", "(0)", "(1)", "(2)", "b1", "(2)"]


def spoilt(sigstore):
    """Bundles of every kind, good ones and one for each of many steps that refuses it."""
    for make in (sigstore.sign, sigstore.sign_v1):
        good = make()
        (entry,) = good.log_entries
        content = good.content
        assert isinstance(content, MessageSignature)
        yield good
        yield replace(good, content=replace(content, digest=bytes(32)))
        yield replace(good, content=replace(content, signature=make().signature))
        yield replace(good, certificate=make().certificate)
        yield replace(good, log_entries=(entry, entry))
        yield replace(good, log_entries=())
        yield replace(good, log_entries=(replace(entry, body=entry.body + b" "),))
        yield replace(good, log_entries=(replace(entry, log_id=bytes(32)),))
        yield replace(good, log_entries=(replace(entry, proof=replace(entry.proof, root=bytes(32))),))
        yield replace(good, log_entries=(replace(entry, promise=b"no"),))
        yield replace(good, timestamps=(b"no",))


def outcome(steps) -> object:
    try:
        return next(steps)
    except SigError as error:
        return type(error), error.step, error.message, error.hint


def test_bundles_that_take_turns_have_the_verdicts_that_they_have_alone(sigstore):
    bundles = list(spoilt(sigstore))

    def alone(bundle):
        yield verify_blob(bundle, DIGEST, root=sigstore.root, identity=WHO)

    def steps(bundle):
        try:
            return (yield from blob_steps(bundle, DIGEST, root=sigstore.root, identity=WHO))
        except SigError as error:
            return type(error), error.step, error.message, error.hint

    expected = [outcome(alone(bundle)) for bundle in bundles]
    refused = {row[1] for row in expected if isinstance(row, tuple)}
    assert refused == {"digest", "material", "timestamp", "checkpoint", "entry"}
    assert list(in_turns(map(steps, bundles))) == expected


def test_attestations_do_the_same(sigstore):
    bundle = sigstore.attest("dsse 0.0.1")
    told = {"root": sigstore.root, "identity": WHO}
    expected = verify_attestation(bundle, DIGEST, **told)
    assert list(in_turns(attestation_steps(bundle, DIGEST, **told) for _ in range(3))) == [expected] * 3
    wrong = attestation_steps(bundle, DIGEST, **told, predicate_type=OTHER)
    with pytest.raises(SigError, match=f"expected '{re.escape(OTHER)}'") as caught:
        list(in_turns([wrong]))
    assert caught.value.step == "statement"
