# SPDX-License-Identifier: Apache-2.0
"""Heads in their usual form are read in one step: as the close readers read them, and no other."""

from __future__ import annotations

import pytest

from client.verify import log as module
from client.verify.log import read_head
from sigcore import keys, note
from sigcore.checkpoint import Checkpoint
from sigcore.errors import SigError
from sigcore.strict import encode_base64
from sigcore.trustroot import LogInstance
from tests.unit.client.minisig import MiniSigstore

BOTH = pytest.mark.parametrize("generation", [1, 2])


def log_of(sigstore: MiniSigstore, generation: int) -> LogInstance:
    own = sigstore.log_v1 if generation == 1 else sigstore.log
    return next(log for log in sigstore.root.logs if log.log_id == own.id)


def envelopes(sigstore: MiniSigstore, generation: int, count: int) -> list[str]:
    make = sigstore.sign_v1 if generation == 1 else sigstore.sign
    return [bundle.log_entries[0].proof.checkpoint for bundle in (make() for _ in range(count))]


def outcome(envelope: str, log: LogInstance, generation: int) -> object:
    read_head.cache_clear()
    try:
        return read_head(envelope, log, generation)
    except SigError as error:
        return type(error), error.message, error.hint


def close(envelope: str, log: LogInstance, generation: int) -> object:
    """As one that is the first of its log."""
    module._usual_forms.cache_clear()
    return outcome(envelope, log, generation)


def assert_read_alike(known: str, others: list[str], log: LogInstance, generation: int) -> list[object]:
    expected = [close(other, log, generation) for other in others]
    assert isinstance(close(known, log, generation), Checkpoint)
    for other, outcome_ in zip(others, expected, strict=True):
        assert outcome(other, log, generation) == outcome_, other
    return expected


@BOTH
def test_a_second_head_is_read_in_one_step(sigstore, generation, monkeypatch):
    log = log_of(sigstore, generation)
    first, second, third = envelopes(sigstore, generation, 3)
    expected = close(second, log, generation)
    close(first, log, generation)
    calls = []
    for name in ("verify_checkpoint", "_checkpoint_v1"):
        monkeypatch.setattr(module, name, lambda *_, name=name: calls.append(name))
    assert outcome(second, log, generation) == expected
    assert outcome(third, log, generation) != expected
    assert calls == []


@BOTH
def test_a_head_that_was_changed_anywhere_is_read_alike(sigstore, generation):
    """The size of the tree has a digit that others may follow, so some changes are made of what is signed as well."""
    log = log_of(sigstore, generation)
    known, good = envelopes(sigstore, generation, 2)
    changed = [good]
    for place in range(len(good) + 1):
        before, after = good[:place], good[place:]
        changed += [before + text + after for text in ("\n", "A", "=", " ", "\u2014", "\0")]
        changed += [before + after[1:], before + {"A": "B", "1": "2"}.get(after[:1], "A") + after[1:]]
    outcomes = assert_read_alike(known, changed, log, generation)
    assert sum(isinstance(one, Checkpoint) for one in outcomes) == outcomes.count(outcomes[0])


def signed(sigstore: MiniSigstore, generation: int, text: str, *, name: str = "", more: str = "") -> str:
    own = sigstore.log_v1 if generation == 1 else sigstore.log
    key_hash = own.id[:4]
    signature = encode_base64(key_hash + keys.sign(own.key, text.encode()))
    return f"{text}\n\u2014 {name or own.origin} {signature}\n{more}"


@BOTH
def test_what_the_log_itself_signs_is_read_alike(sigstore, generation):
    log = log_of(sigstore, generation)
    known, good = envelopes(sigstore, generation, 2)
    origin, size, root, *_ = good.split("\n")
    rows = [
        (origin, size, root),
        (origin, "0", root),
        (origin, "01", root),
        (origin, "-1", root),
        (origin, str(2**63 - 1), root),
        (origin, str(2**63), root),
        (origin, "\u0661", root),
        (origin, size, encode_base64(bytes(31))),
        (origin, size, encode_base64(bytes(33))),
        (origin, size, root[:-2] + "B="),
        (origin, size, ""),
        (origin, size),
        (origin, size, root, "an extension"),
        (origin, size, root, "\u2014 a.example AAAA"),
        (f"{origin}x", size, root),
        (f"{origin.removesuffix(' - 4242')} - 7", size, root),
        ("", size, root),
        (size, root, origin),
    ]
    texts = ["".join(f"{line}\n" for line in row) for row in rows]
    other = note.encode_note(note.sign_note(texts[0], "witness.example", keys.generate_p256())).split("\n")[4] + "\n"
    notes = [signed(sigstore, generation, text) for text in texts]
    notes += [signed(sigstore, generation, texts[0], more=other), signed(sigstore, generation, texts[0], name="x")]
    notes += [signed(sigstore, generation, texts[0]).replace("\n\u2014", f"\n{other}\u2014")]
    outcomes = assert_read_alike(known, notes, log, generation)
    assert isinstance(outcomes[0], Checkpoint)
    assert 4 < sum(isinstance(one, Checkpoint) for one in outcomes) < len(outcomes)


def test_no_head_is_taken_for_that_of_another_log_or_generation(sigstore):
    """Each has keys of its own, and what was seen of the one is not known of the other."""
    logs = {generation: log_of(sigstore, generation) for generation in (1, 2)}
    known = {generation: envelopes(sigstore, generation, 1)[0] for generation in (1, 2)}
    stranger = MiniSigstore()
    for generation, log in logs.items():
        others = [known[3 - generation], *envelopes(stranger, generation, 1)]
        assert not [
            one for one in assert_read_alike(known[generation], others, log, generation) if isinstance(one, Checkpoint)
        ]


@BOTH
def test_few_forms_are_kept(sigstore, generation):
    log = log_of(sigstore, generation)
    (good,) = envelopes(sigstore, generation, 1)
    _, size, root, *_ = good.split("\n")
    origin = (sigstore.log_v1 if generation == 1 else sigstore.log).origin
    origins = [f"{origin} - {tree}" for tree in range(6)] if generation == 1 else [origin] * 6
    module._usual_forms.cache_clear()
    for one in origins:
        outcome(signed(sigstore, generation, f"{one}\n{size}\n{root}\n"), log, generation)
    kept = [form.origin for form in module._usual_forms(log, generation)]
    assert kept == ([f"{origin} - {tree}" for tree in (5, 4, 3, 2)] if generation == 1 else [origin])
