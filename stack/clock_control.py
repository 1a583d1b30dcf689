# SPDX-License-Identifier: Apache-2.0
"""``/_ctl/clock``: what a test orders of the clock of its stack.

Turned back, it stops at the last time that was signed with: that is in logs and timestamps, where no time goes back. Turned forward,
what the hours would have brought is done before the answer: TUF roles that have less than half of their life left are signed anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from aiohttp import web

from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.patterns import pattern
from sigcore.strict import JSON, Fields, encode_time, shown
from stack.faults.means import Means
from stack.last_time import load_time
from stack.trust.publisher import finish_publisher, start_publisher
from stack.trust.state import ONLINE, load_roles
from stack.turned_clock import Hands, TurnedClock, check_time

_UNITS: Final = {"S": 1, "M": 60, "H": 3600, "D": 86400, "W": 604800}
_ISO: Final = pattern(
    r"P(?=.)(?:(\d{1,6})W|(?:(\d{1,6})D)?(?:T(?=.)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?)\Z", re.ASCII
)
_SHORT: Final = pattern(r"(\d{1,9})([smhdw])\Z", re.ASCII)
_DUE: Final = ("due", "expired")


class ClockDesk:
    """Turns the clock of one stack; ``means`` is None where several processes have a clock each."""

    def __init__(self, means: Means | None) -> None:
        self._means = means
        self._turning = asyncio.Lock()

    def document(self) -> dict[str, JSON]:
        """What time it is, whether it stands, whether anybody has turned it, and the last time that was signed with."""
        clock, means = self._clock()
        return {
            "now": encode_time(clock()),
            "stopped": clock.hands.stopped is not None,
            "turned": clock.hands != Hands(),
            "signed": encode_time(_signed(means)),
        }

    async def turn(self, fields: Fields) -> None:
        """Do as ``fields`` say: ``set`` or ``advance``, ``stop`` or ``run``, or one of each.

        Raises:
            Malformed: they say nothing, or what no clock does. Refused: the stack has workers, or has signed with a later time.
            Unavailable: it was turned, and the TUF repository could not be signed anew.
        """
        async with self._turning:
            clock, means = self._clock()
            real = datetime.now(UTC)
            hands = _turned(clock.hands, fields, real)
            _check_signed(means, hands.at(real))
            clock.turn(hands)
            try:
                await asyncio.to_thread(_renew, means, clock())
            except SigError as error:
                raise Unavailable(f"the clock is turned, but {error.message}", error.hint) from error

    def _clock(self) -> tuple[TurnedClock, Means]:
        if self._means is None or not isinstance(self._means.clock, TurnedClock):
            raise Refused(
                "this stack has workers, each with the clock of the machine", "start one to be turned without --workers"
            )
        return self._means.clock, self._means


def make_routes(desk: ClockDesk) -> list[web.RouteDef]:
    """The two routes; each answer says what time it is."""

    async def show(_request: web.Request) -> web.Response:
        try:
            return web.json_response({"clock": desk.document()})
        except SigError as error:
            return _refusal(error)

    async def turn(request: web.Request) -> web.Response:
        try:
            await desk.turn(Fields.parse(await request.read(), what="the request", limit=limits.TEXT))
            return web.json_response({"clock": desk.document()})
        except Unavailable as error:
            return _refusal(error, 503)
        except SigError as error:
            return _refusal(error)

    return [web.get("/_ctl/clock", show), web.post("/_ctl/clock", turn)]


def _refusal(error: SigError, status: int = 400) -> web.Response:
    return web.json_response({"code": status, "message": str(error)}, status=status)


def _turned(hands: Hands, fields: Fields, real: datetime) -> Hands:
    fields.only("set", "advance", "stop", "run")
    where, how = (
        [name for name in ("set", "advance") if name in fields],
        [name for name in ("stop", "run") if name in fields],
    )
    if len(where) > 1 or len(how) > 1 or not (where or how):
        raise Malformed(
            f"the clock is told {', '.join((*where, *how)) or 'nothing'}",
            'expected {"set": TIME}, {"advance": DURATION}, {"stop": true} or {"run": true}, or one of the first two with one of the others',
        )
    for name in how:
        if not fields.boolean(name):
            raise Malformed(f"{name} is false, expected true", "stop and run are each other's opposite")
    if where == ["set"]:
        hands = hands.turned(real, check_time(fields.time("set"), "set"))
    elif where:
        hands = hands.turned(real, check_time(_later(hands.at(real), _duration(fields)), "the time to advance to"))
    if how:
        hands = hands.standing(real) if how == ["stop"] else hands.running(real)
    return hands


def _later(moment: datetime, duration: timedelta) -> datetime:
    try:
        return moment + duration
    except OverflowError as error:
        raise Malformed(f"{duration} after {encode_time(moment)} there is no calendar") from error


def _duration(fields: Fields) -> timedelta:
    raw = fields.raw()["advance"]
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 1 << 32:
        return timedelta(seconds=raw)
    text = fields.text("advance")
    if short := _SHORT.match(text):
        return timedelta(seconds=int(short[1]) * _UNITS[short[2].upper()])
    if iso := _ISO.match(text):
        parts = zip(iso.groups(), "WDHMS", strict=True)
        return timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in parts if number))
    raise Malformed(f"advance is {shown(text)}, expected seconds, or a duration such as PT1H, P30D, 3h, 90d")


def _check_signed(means: Means, wanted: datetime) -> None:
    signed = _signed(means)
    if wanted < signed:
        raise Refused(
            f"the stack has signed with {encode_time(signed)}, and no time in a log goes back: {encode_time(wanted)} is before that",
            "begin there with a fresh stack: sigbox up --ephemeral --control --clock TIME",
        )


def _signed(means: Means) -> datetime:
    """The last time that a log or the timestamp authority has signed with."""
    latest_ms = max(log.clock.signed_ms for log in means.logs.values())
    logs = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=latest_ms)
    stamped = load_time(means.home.path / "anchor" / "tsa.time")
    return logs if stamped is None else max(logs, stamped)


def _renew(means: Means, now: datetime) -> None:
    """What the hourly look would have done meanwhile; targets as well, which somebody would have been told of."""
    due: Mapping[str, bool] = {role.role: role.verdict(now) in _DUE for role in load_roles(means.home.tuf_repository)}
    if due["targets"] or any(due[role] for role in ONLINE):
        finish_publisher(start_publisher(means.home, force=due["targets"]))
