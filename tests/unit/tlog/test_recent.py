# SPDX-License-Identifier: Apache-2.0
"""Keys on their way into the stored index."""

from __future__ import annotations

import hashlib

from tlog.recent import Recent


def key(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def test_a_sweep_hands_over_every_key_and_moves_the_position_last():
    recent = Recent(100, sweep_keys=10, chunk_keys=4)
    for number in range(100, 109):
        recent.add(number, [key(number)])
        assert not recent.due()
    recent.add(109, [key(109)])
    assert recent.due()
    recent.begin()
    stored, positions = [], []
    while recent.due():
        chunk, upto = recent.next()
        assert all(recent.get(key(number)) == number for number in range(100, 110))
        stored += chunk
        positions.append(upto)
        recent.stored()
    assert positions == [None, None, 110]
    assert [one.prefix for one in stored] == sorted(one.prefix for one in stored)
    assert sorted(one.index for one in stored) == list(range(100, 110))
    assert recent.get(key(105)) is None


def test_what_comes_during_a_sweep_waits_for_the_next():
    recent = Recent(0, sweep_keys=2, chunk_keys=1)
    recent.add(0, [key(0)])
    recent.add(1, [key(1)])
    recent.begin()
    recent.add(2, [key(2)])
    recent.begin()
    recent.next()
    recent.stored()
    assert recent.next()[1] == 2
    recent.stored()
    assert not recent.due()
    assert (recent.get(key(0)), recent.get(key(2))) == (None, 2)
    recent.begin()
    assert recent.next()[1] == 3


def test_the_first_entry_keeps_a_key():
    recent = Recent(0, sweep_keys=2)
    recent.add(0, [key(7)])
    recent.begin()
    recent.add(1, [key(7)])
    assert recent.get(key(7)) == 0


def test_nothing_to_sweep():
    recent = Recent(5)
    recent.begin()
    assert not recent.due()
