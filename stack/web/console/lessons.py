# SPDX-License-Identifier: Apache-2.0
"""``/lessons``: six lessons from a checksum to provenance, each with buttons that break it and the check that catches that.

Where nothing lasts (the control API), a reader makes the material of a lesson in the page. It is kept for an hour under a name that
cannot be guessed; attacks change nothing of it, so their pages are links. Elsewhere the lessons are to be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sigcore.errors import NotFound, Refused, SigError
from sigcore.strict import shown
from stack.config import Settings
from stack.web.console.course import LESSONS, Attack, Lesson
from stack.web.console.forms import check_origin, identity_to_be, read_texts, see_other, text_to_sign
from stack.web.console.kept import Kept

if TYPE_CHECKING:
    from stack.web.console.exercise import Exercise
    from stack.web.console.pages import Pages
    from stack.web.console.workshop import Workshop


class Lessons:
    """The pages of one stack. ``pages`` and ``workshop`` are asked when they are first needed; without a workshop they are to be read."""

    def __init__(self, settings: Settings, pages: Callable[[], Pages], workshop: Callable[[], Workshop] | None) -> None:
        self._settings, self._pages, self._workshop = settings, pages, workshop
        self._kept: Kept[Exercise] = Kept()

    def make_routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.get("/lessons", self._overview),
            web.get("/lessons/{lesson}", self._read),
            web.post("/lessons/{lesson}", self._begin),
            web.get("/lessons/{lesson}/{name}", self._practise),
            web.post("/lessons/{lesson}/{name}", self._reset),
        ]

    async def _overview(self, request: web.Request) -> web.Response:
        practises = self._workshop is not None
        return self._pages().page(request, "lessons.html", lessons=LESSONS.values(), practises=practises)

    def _page(self, request: web.Request, lesson: Lesson, **values: Any) -> web.Response:
        said: dict[str, Any] = {
            "lesson": lesson,
            "lessons": LESSONS,
            "number": list(LESSONS).index(lesson.name) + 1,
            "lines": _lines(lesson, self._settings),
            "practises": self._workshop is not None,
            "exercise": None,
        }
        return self._pages().page(request, "lesson.html", **{**said, **values})

    async def _read(self, request: web.Request) -> web.Response:
        try:
            return self._page(request, _lesson(request))
        except SigError as error:
            return self._pages().refusal(request, error)

    async def _begin(self, request: web.Request) -> web.Response:
        try:
            check_origin(request, self._settings)
            lesson = _lesson(request)
            if self._workshop is None:
                raise Refused(
                    "the lessons are practised in a stack that ends with its process",
                    "start one: sigbox up --ephemeral --control --listen 127.0.0.1:0",
                )
            texts = await read_texts(request)
            identity = identity_to_be(texts) if lesson.signer else ""
            exercise = await _make(self._workshop(), lesson, text_to_sign(texts), identity)
        except SigError as error:
            return self._pages().refusal(request, error)
        return see_other(f"/lessons/{lesson.name}/{self._kept.add(exercise)}")

    async def _practise(self, request: web.Request) -> web.Response:
        # Deferred: the client's modules, which nothing else of a serving stack needs.
        from stack.web.console.attacks import attacked, verdict  # noqa: PLC0415 - see the line above
        from stack.web.console.recording import dump  # noqa: PLC0415 - the same

        attack, name = request.query.get("attack", ""), request.match_info["name"]
        try:
            lesson, exercise = _lesson(request), self._kept.get(name)
            if exercise.lesson is not lesson:
                raise NotFound("this belongs to another lesson", f"open that of {exercise.lesson.name}")
            exercise = attacked(exercise, attack) if attack else exercise
            values = {"name": name, "exercise": exercise, "judged": verdict(exercise), "dump": dump}
        except SigError as error:
            return self._pages().refusal(request, error)
        return self._page(request, lesson, attack=_attack(lesson, attack), **values)

    async def _reset(self, request: web.Request) -> web.Response:
        try:
            check_origin(request, self._settings)
            lesson = _lesson(request)
        except SigError as error:
            return self._pages().refusal(request, error)
        self._kept.drop(request.match_info["name"])
        return see_other(f"/lessons/{lesson.name}")


def _lesson(request: web.Request) -> Lesson:
    name = request.match_info["lesson"]
    if name not in LESSONS:
        raise NotFound(f"there is no lesson {shown(name)}", f"there are: {', '.join(LESSONS)}")
    return LESSONS[name]


def _attack(lesson: Lesson, name: str) -> Attack | None:
    return next((attack for attack in lesson.attacks if attack.name == name), None)


async def _make(workshop: Workshop, lesson: Lesson, data: bytes, identity: str) -> Exercise:
    from stack.web.console.exercise import make_exercise  # noqa: PLC0415 - the client's modules, as in Lessons._practise

    async with workshop.turn() as bench:
        return await make_exercise(lesson, bench, data, identity)


def _lines(lesson: Lesson, settings: Settings) -> tuple[str, ...]:
    workflow = "https://github.com/OWNER/REPOSITORY/.github/workflows/release.yml@refs/heads/main"
    return tuple(line.replace("{issuer}", settings.issuer).replace("{workflow}", workflow) for line in lesson.lines)
