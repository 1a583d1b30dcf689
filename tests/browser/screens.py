# SPDX-License-Identifier: Apache-2.0
"""Every screen that a stack has, and where it is to be seen in a furnished stack.

The console's come from its own table of paths: a page without an argument is a screen by being there, one with an argument is found by
PLACES. Where nothing else is possible a screen is what a form leads to, and ``reach`` fills it in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from playwright.sync_api import Page

from stack.web.console.course import LESSONS
from stack.web.console.routes import PATHS
from tests.browser.furnished import BUNDLE, KEY_BUNDLE, STATEMENT_BUNDLE, send
from tests.browser.test_login import begin_device, log_in, request_url
from tests.stack_process import RunningStack
from tests.unit.oidc_dev.visitor import OOB

Reach = Callable[[Page, RunningStack], None]
NO_PAGES: Final = ("json", "csv", "zip", "{name}.pem", "/console/{name}")
"""How the paths of what is no page end."""
MORE: Final[Mapping[str, tuple[str, ...]]] = {
    "/search": ("?q=alice@example.com", "?q=nobody@example.com", "?q=nonsense:x")
}
"""Other states of a page, by its address."""
_TEXT: Final = {"text": "signed in a page", "identity": "alice@example.com"}


def _entries(stack: RunningStack) -> list[str]:
    """A person's, a bare key's, a machine's statement in the second version's log; a person's in each other log."""
    del stack
    return ["rekor/1", "rekor/2", "rekor/3", "rekor-v1/1", "ct/1", "ct/999"]


def _exercises(stack: RunningStack) -> Iterator[str]:
    for name in ("checksum", "provenance"):
        place = send(f"{stack.url}/lessons/{name}", _TEXT).removeprefix(f"{stack.url}/lessons/")
        yield place
        yield f"{place}?attack={LESSONS[name].attacks[0].name}"
        yield f"{place}?attack={LESSONS[name].attacks[-1].name}"


def _recording(stack: RunningStack) -> list[str]:
    return [send(f"{stack.url}/flow", _TEXT).removeprefix(f"{stack.url}/flow/"), "no-such-recording"]


PLACES: Final[Mapping[str, tuple[str, Callable[[RunningStack], Iterator[str] | list[str]]]]] = {
    "/entries/{log}/{index}": ("/entries/", _entries),
    "/logs/{log}": ("/logs/", lambda _: ["rekor", "rekor?size=2&leaf=0&first=1&second=2", "nothing"]),
    "/flow/entries/{log}/{index}": ("/flow/entries/", lambda _: ["rekor/1", "rekor/2"]),
    "/flow/{name}": ("/flow/", _recording),
    "/lessons/{lesson}": ("/lessons/", lambda _: list(LESSONS)),
    "/lessons/{lesson}/{name}": ("/lessons/", _exercises),
}
"""Path with arguments -> what stays of it, and what follows."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where it is, below the stack's URL; and what is to be done there until it is seen."""

    name: str
    place: str
    reach: Reach | None = None

    def open(self, page: Page, stack: RunningStack, language: str = "en") -> None:
        """Go there."""
        joint = "&" if "?" in self.place else "?"
        page.goto(f"{stack.url}{self.place}{joint}lang={language}")
        if self.reach:
            self.reach(page, stack)


ROUTES: Final = tuple(path for method, path in PATHS if method == "GET" and not path.endswith(NO_PAGES))
"""Pages of the console."""


def screens_of(route: str, stack: RunningStack) -> list[Screen]:
    """The screens of one of ROUTES."""
    if "{" not in route:
        return [Screen(place, place) for place in (route, *(route + more for more in MORE.get(route, ())))]
    assert route in PLACES, f"say in PLACES of {__name__} where a page of {route} is found in a furnished stack"
    stem, make = PLACES[route]
    return [Screen(f"{route} {number}", stem + rest) for number, rest in enumerate(make(stack))]


# --- what forms lead to ------------------------------------------------------------------------------------
def _inspected(bundle: str) -> Reach:
    def reach(page: Page, stack: RunningStack) -> None:
        page.locator("#inspected").set_input_files(stack.log.parent / bundle)
        page.get_by_role("button").last.click()
        page.locator(".checks").wait_for()

    return reach


def _trusted_root(page: Page, stack: RunningStack) -> None:
    page.locator("#inspected").set_input_files(stack.trusted_root)
    page.get_by_role("button").last.click()
    page.locator("pre.body").wait_for()


ANSWERS: Final = (
    *(Screen(f"inspected {name}", "/inspect", _inspected(name)) for name in (BUNDLE, KEY_BUNDLE, STATEMENT_BUNDLE)),
    Screen("inspected trusted root", "/inspect", _trusted_root),
)
"""Of the console, in both languages."""


def _refused_login(page: Page, stack: RunningStack) -> None:
    page.goto(request_url(stack, "http://localhost:1/auth/callback"))
    log_in(page, password="wrong password")


def _code(page: Page, stack: RunningStack) -> None:
    page.goto(request_url(stack, OOB))
    log_in(page)
    page.locator("#code").wait_for()


def _device(page: Page, stack: RunningStack) -> None:
    page.goto(begin_device(stack))


def _known_device(page: Page, stack: RunningStack) -> None:
    _code(page, stack)
    _device(page, stack)


def _allowed(page: Page, stack: RunningStack) -> None:
    _device(page, stack)
    log_in(page)
    page.locator("a[href=session]").wait_for()


def _session(page: Page, stack: RunningStack) -> None:
    _code(page, stack)
    page.goto(f"{stack.oidc_issuer}/session")


LOGINS: Final = (
    Screen("front page", "/"),
    Screen("login", "/", lambda page, stack: _go(page, request_url(stack, "http://localhost:1/auth/callback"))),
    Screen("login refused", "/", _refused_login),
    Screen(
        "login that nobody may ask for", "/", lambda page, stack: _go(page, request_url(stack, "https://evil.example/"))
    ),
    Screen("code out of band", "/", _code),
    Screen("device", "/auth/device"),
    Screen("device with a code", "/", _device),
    Screen("device with a session", "/", _known_device),
    Screen("device allowed", "/", _allowed),
    Screen("no session", "/auth/session"),
    Screen("session", "/", _session),
)
"""Beside the console; the language that was chosen on the front page is remembered by all of them."""


def _go(page: Page, url: str) -> None:
    page.goto(url)
