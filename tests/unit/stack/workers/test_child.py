# SPDX-License-Identifier: Apache-2.0
"""A forked process is its own: it says why it cannot serve, draws its own random numbers, and writes whole lines."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sigcore import keys
from sigcore.errors import NotFound, Refused, SigError, Unavailable
from stack.workers.child import ATOMIC, READY, Lines, fork, pieces, reason_of


def said(run: Callable[[Callable[[], None]], None]) -> tuple[bytes, int]:
    """What a child told on its status pipe, and how it ended."""
    pid, status = fork(run, lambda: None)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        return os.read(status, 2 * ATOMIC), code
    finally:
        os.close(status)


def test_a_child_that_is_ready_says_so_and_ends_with_0():
    assert said(lambda ready: ready()) == (READY, 0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Refused("the log is another's", "restore it"), Refused("the log is another's", "restore it")),
        (NotFound("x" * 10_000, "y"), NotFound("x" * 500)),
        (OSError(28, "No space left on device", "/data"), Unavailable("No space left on device: /data")),
    ],
)
def test_a_child_that_cannot_serve_says_why(error: Exception, expected: SigError):
    def fail(_ready: Callable[[], None]) -> None:
        raise error

    told, code = said(fail)
    found = reason_of(told)
    assert (type(found), found.message, found.hint, code) == (type(expected), expected.message, expected.hint, 1)


def test_a_child_that_is_killed_has_said_nothing():
    told, code = said(lambda _ready: os.kill(os.getpid(), 9))
    assert (told, code) == (b"", -9)
    assert "ended before it was ready" in reason_of(told).message


def test_children_draw_different_random_numbers_though_their_parent_has_drawn_some():
    keys.generate_p256()
    reading, writing = os.pipe()

    def draw(_ready: Callable[[], None]) -> None:
        os.write(writing, keys.encode_public_key(keys.generate_p256().public_key()) + os.urandom(9))

    try:
        for _ in range(4):
            said(draw)
        drawn = os.read(reading, ATOMIC)
    finally:
        os.close(reading)
        os.close(writing)
    size = len(drawn) // 4
    assert len({drawn[start : start + size] for start in range(0, len(drawn), size)}) == 4


def test_lines_go_out_whole_in_pieces_that_a_pipe_takes_at_once():
    lines = [b"%d %s\n" % (number, b"x" * (number * 37 % 900)) for number in range(50)] + [b"y" * 9000 + b"\n"]
    found = list(pieces(lines))
    assert b"".join(found) == b"".join(lines)
    assert all(piece.endswith(b"\n") for piece in found)
    assert [len(piece) > ATOMIC for piece in found] == [False] * (len(found) - 1) + [True]
    assert len(found) < 15


def test_standard_error_of_a_child_is_written_at_once():
    reading, writing = os.pipe()
    try:
        assert Lines(writing).write("one\nzwei ä\n") == 11
        assert os.read(reading, ATOMIC).decode() == "one\nzwei ä\n"
    finally:
        os.close(reading)
        os.close(writing)
