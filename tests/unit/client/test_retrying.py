# SPDX-License-Identifier: Apache-2.0
"""Who asks a service again, and how often: pauses are counted and not waited for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from client.retrying import Retrying
from client.transport import Response, Untrusted
from sigcore.errors import Malformed, SigError, Unavailable

GOOD, BUSY, BROKEN = Response(200, b"good"), Response(429, b"busy"), Response(503, b"broken")


class Script:
    """Answers in their order, and remembers what it was asked and how long was waited."""

    def __init__(self, *answers: Response | SigError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[object, ...]] = []
        self.pauses: list[float] = []

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, limit: int
    ) -> Response:
        self.asked.append((method, url, headers, body, limit))
        answer = self.answers.pop(0)
        if isinstance(answer, SigError):
            raise answer
        return answer

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def ask(self, retries: int) -> Response:
        retrying = Retrying(self, retries, self.pause)
        return await retrying.request("POST", "http://log.example", headers={"A": "b"}, body=b"same", limit=9)


async def test_who_does_not_answer_is_asked_again_with_longer_pauses():
    script = Script(Unavailable("away"), BROKEN, BUSY, GOOD)
    assert await script.ask(5) == GOOD
    assert script.asked == [("POST", "http://log.example", {"A": "b"}, b"same", 9)] * 4
    assert script.pauses == [0.5, 1.0, 2.0]


async def test_the_last_answer_stands_and_pauses_have_an_end():
    script = Script(*[Unavailable("away")] * 7, BROKEN)
    assert await script.ask(7) == BROKEN
    assert script.pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    script = Script(BROKEN, Unavailable("still away"))
    with pytest.raises(Unavailable, match="still away"):
        await script.ask(1)


@pytest.mark.parametrize("answer", [GOOD, Response(404, b""), Response(409, b""), Response(302, b"")])
async def test_an_answer_is_an_answer_also_where_it_is_no(answer: Response):
    script = Script(answer)
    assert await script.ask(3) == answer
    assert script.pauses == []


@pytest.mark.parametrize("error", [Untrusted("a stranger"), Malformed("no URL")])
async def test_what_waiting_does_not_change_is_not_asked_again(error: SigError):
    script = Script(error)
    with pytest.raises(type(error)):
        await script.ask(3)
    assert script.pauses == []


async def test_without_retries_once_is_enough():
    script = Script(BROKEN)
    assert await script.ask(0) == BROKEN
    assert script.pauses == []
