# SPDX-License-Identifier: Apache-2.0
"""A service that is away for a moment costs a signing a moment (F17)."""

from __future__ import annotations

import pytest

from client.retrying import WAITS_S, Retrying, waits
from client.transport import AiohttpTransport, Lost, Response, Untrusted
from sigcore.errors import Unavailable
from tests.ports import free_port

QUICK = (0.0,) * len(WAITS_S)


class Canned:
    """Answers in this order; what is an exception is raised."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)

    async def request(self, _method, _url, **_more) -> Response:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Response(answer, b"")


async def ask(transport, waits=QUICK) -> tuple[int, list[str]]:
    told: list[str] = []
    retrying = Retrying(transport, told.append, waits)
    answer = await retrying.request("POST", "http://log.example/api", headers={}, body=b"", limit=10)
    return answer.status, told


async def test_what_is_away_is_asked_again_and_said():
    status, told = await ask(Canned(503, Lost("nobody listens"), 429, 201))
    assert status == 201
    assert [line.partition("; asking again in ")[0] for line in told] == [
        "http://log.example/api answered 503",
        "nobody listens",
        "http://log.example/api answered 429",
    ]


async def test_after_the_last_wait_what_there_is_counts():
    assert (await ask(Canned(502, 503, 504, 503)))[0] == 503
    canned = Canned(*[Lost("away")] * 4)
    with pytest.raises(Lost, match="away"):
        await ask(canned)
    assert not canned.answers


@pytest.mark.parametrize("answer", [503, Lost("nobody listens")])
async def test_who_took_long_to_say_that_it_is_away_is_not_asked_again(answer: int | Lost):
    """It is no service that is being started: two answers in 4.4 s are enough."""
    canned, told, passed = Canned(503, answer), list[str](), iter((0.0, 2.2, 2.2, 10.0, 12.2))
    patient = Retrying(canned, told.append, QUICK, clock=lambda: next(passed))
    asked = patient.request("POST", "http://log.example/api", headers={}, body=b"", limit=10)
    if isinstance(answer, Lost):
        with pytest.raises(Lost):
            await asked
    else:
        assert (await asked).status == answer
    assert not canned.answers
    assert len(told) == 1


@pytest.mark.parametrize("answer", [200, 400, 401, 404, 409, 500])
async def test_what_a_service_says_counts_at_once(answer: int):
    assert await ask(Canned(answer)) == (answer, [])


@pytest.mark.parametrize("failure", [Untrusted("not its own"), Unavailable("did not answer within 30 s")])
async def test_what_will_not_change_in_a_second_is_not_waited_for(failure: Exception):
    with pytest.raises(type(failure)):
        await ask(Canned(failure))


async def test_of_connections_those_that_are_refused_are_tried_again_and_names_without_an_address_are_not():
    async with AiohttpTransport() as transport:
        told: list[str] = []
        retrying = Retrying(transport, told.append, (0.0,))
        with pytest.raises(Lost):
            await retrying.request("GET", f"http://127.0.0.1:{free_port()}/", headers={}, body=None, limit=10)
        assert len(told) == 1
        with pytest.raises(Unavailable, match="no address") as failed:
            await retrying.request("GET", "http://name.invalid/", headers={}, body=None, limit=10)
        assert not isinstance(failed.value, Lost)
        assert len(told) == 1


def test_waits_grow_and_have_an_end():
    assert waits(7) == (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
    assert waits(0) == ()


async def test_without_a_wait_once_is_enough():
    assert await ask(Canned(503), waits=()) == (503, [])
