# SPDX-License-Identifier: Apache-2.0
"""The link's language: what is said is understood, however it is cut; what cannot be said is refused."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused, Unavailable
from stack.workers import frames
from stack.workers.frames import Entry, Failure, Report, Splitter, encode_asked, encode_told, parse_asked, parse_told
from tests.chance import chosen_seed
from tlog.submission import Frozen, Receipt, Submission

SENT = Submission(b"a leaf", b"i" * 32, b"and what is kept beside it")
ADDED = Receipt(
    12, SENT.leaf, 20, b"r" * 32, (b"1" * 32, b"2" * 32), "a checkpoint\n", duplicate=False, extra=SENT.extra
)
KNOWN = replace(ADDED, index=3, leaf=b"the first one", extra=b"of the first", duplicate=True)


def content(data: bytes) -> list[bytes]:
    return list(Splitter().feed(data))


def test_entries_and_reports_of_one_turn_are_one_frame():
    asked = (Entry(1, 0, SENT), Entry(2, 2, replace(SENT, extra=b"")), Report(b"counts"))
    (frame,) = encode_asked(asked)
    (inner,) = content(frame)
    assert parse_asked(inner) == asked


def test_receipts_come_back_as_the_log_gave_them_and_say_their_head_once():
    later = replace(ADDED, index=13, checkpoint="another\n", size=21)
    outcomes = ((1, ADDED), (2, KNOWN), (3, later), (4, Refused("no", "ask")), (5, Unavailable("later")))
    (frame,) = encode_told(outcomes)
    assert frame.count(b"a checkpoint\n") == 1
    told = parse_told(content(frame)[0])
    assert [one.receipt(SENT) for one in told if not isinstance(one, Failure)] == [ADDED, KNOWN, later]
    failures = [one for one in told if isinstance(one, Failure)]
    assert [(type(one.error), one.error.message, one.error.hint) for one in failures] == [
        (Refused, "no", "ask"),
        (Unavailable, "later", ""),
    ]
    assert [one.number for one in told] == [1, 2, 3, 4, 5]


def test_much_is_several_frames_and_each_says_its_head():
    big = replace(KNOWN, leaf=bytes(limits.ENTRY), extra=bytes(limits.ENTRY))
    found = [parse_told(inner) for inner in content(b"".join(encode_told((number, big) for number in range(40))))]
    assert len(found) > 3
    assert [one.number for told in found for one in told] == list(range(40))
    entries = [Entry(number, 1, replace(SENT, leaf=bytes(limits.ENTRY))) for number in range(40)]
    sent = list(encode_asked(entries))
    assert len(sent) > 2
    assert max(map(len, sent)) <= frames.MOST + frames.LENGTH
    assert [one for frame in content(b"".join(sent)) for one in parse_asked(frame)] == entries


def test_a_stream_may_be_cut_anywhere():
    seed = chosen_seed()
    cuts = random.Random(seed)
    data = b"".join(frame for number in range(20) for frame in encode_asked([Entry(number, 0, SENT)]))
    splitter, found = Splitter(), []
    while data:
        size = cuts.randint(1, 40)
        found += [one for frame in splitter.feed(data[:size]) for one in parse_asked(frame)]
        data = data[size:]
    assert [one.number for one in found if isinstance(one, Entry)] == list(range(20)), seed


@pytest.mark.parametrize("size", [0, frames.MOST + 1, 0xFFFFFFFF])
def test_a_frame_of_no_size_or_too_large_is_refused_before_it_is_there(size: int):
    with pytest.raises(Malformed, match="a frame says that it has"):
        content(size.to_bytes(4, "big"))


def test_a_part_beyond_its_limit_is_refused():
    (frame,) = encode_asked([Entry(1, 0, replace(SENT, leaf=bytes(limits.ENTRY + 1)))])
    with pytest.raises(Malformed, match="a part of 65536 bytes"):
        parse_asked(content(frame)[0])


def test_a_receipt_without_a_head_an_unknown_message_and_a_short_one_are_refused():
    (frame,) = encode_told([(1, ADDED)])
    inner = content(frame)[0]
    start = inner.index(b"a checkpoint\n") + len(b"a checkpoint\n")
    with pytest.raises(Malformed, match="without a head"):
        parse_told(inner[start:])
    for parse in (parse_asked, parse_told):
        with pytest.raises(Malformed, match="of kind 99"):
            parse(b"\x63")
    for end in range(1, len(inner)):
        if end != start:
            with pytest.raises(Malformed):
                parse_told(inner[:end])


def test_a_log_that_takes_nothing_any_more_is_told_from_one_that_refuses_this_entry():
    (frame,) = encode_told([(1, Frozen("it has ended")), (2, Refused("not this one"))])
    kinds = [type(told.error) for told in parse_told(content(frame)[0]) if isinstance(told, Failure)]
    assert kinds == [Frozen, Refused]


def test_a_message_that_is_too_long_or_no_text_arrives_all_the_same():
    (frame,) = encode_told([(1, NotFound("\udcff" + "ä" * 100_000))])
    (failure,) = parse_told(content(frame)[0])
    assert isinstance(failure, Failure)
    assert failure.error.message.startswith("?ä")
