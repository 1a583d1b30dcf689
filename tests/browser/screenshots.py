# SPDX-License-Identifier: Apache-2.0
"""``make screenshots``: every screen in each language, width and scheme as a picture, so that a person can look.

``python -m tests.browser.screenshots FOLDER`` leaves the pictures there, and an ``index.html`` that shows them side by side.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser

from sigcore.language import LANGUAGES
from tests.browser.accessibility import DESKTOP, PHONE, SCHEMES
from tests.browser.chromium import chromium, visitor
from tests.browser.furnished import furnished
from tests.browser.screens import ANSWERS, LOGINS, ROUTES, Screen, screens_of
from tests.stack_process import RunningStack

SIZES = {"phone": PHONE, "desktop": DESKTOP}


@dataclass(frozen=True, slots=True)
class Picture:
    """One of a screen."""

    language: str
    size: str
    scheme: str
    file: str


def take(
    browser: Browser, stack: RunningStack, screen: Screen, languages: tuple[str, ...], folder: Path
) -> list[Picture]:
    """All pictures of a screen; each is as high as its page."""
    taken = []
    slug = re.sub(r"[^a-z0-9]+", "-", screen.name.lower()).strip("-")
    for language, size in product(languages, SIZES):
        with visitor(browser, viewport=SIZES[size]) as tab:
            screen.open(tab.page, stack, language)
            tab.page.wait_for_load_state()
            for scheme in SCHEMES:
                tab.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                picture = Picture(language, size, scheme, f"{slug}.{language}.{size}.{scheme}.png")
                tab.page.screenshot(path=folder / picture.file, full_page=True)
                taken.append(picture)
    return taken


def all_screens(stack: RunningStack) -> Iterator[tuple[Screen, tuple[str, ...]]]:
    """Every screen with the languages that it is in."""
    for route in ROUTES:
        yield from ((screen, tuple(LANGUAGES)) for screen in screens_of(route, stack))
    yield from ((screen, tuple(LANGUAGES)) for screen in (*ANSWERS, *LOGINS))


def index(taken: dict[str, list[Picture]]) -> str:
    """The page that shows them."""
    rows = "\n".join(
        f"<h2>{escape(name)}</h2>\n<p>"
        + "\n".join(
            f'<a href="{one.file}"><img src="{one.file}" alt="{one.language} {one.size} {one.scheme}" loading=lazy></a>'
            for one in pictures
        )
        for name, pictures in taken.items()
    )
    style = "img { max-width: 24rem; max-height: 40rem; border: 1px solid gray; vertical-align: top }"
    return f"<!doctype html><html lang=en><meta charset=utf-8><title>Screens of sigbox</title><style>{style}</style>\n{rows}\n"


def main(folder: Path) -> None:
    """Take them all."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: dict[str, list[Picture]] = {}
    with tempfile.TemporaryDirectory() as place, furnished(Path(place)) as stack, chromium() as browser:
        for screen, languages in all_screens(stack):
            print(screen.name, file=sys.stderr)
            taken[screen.name] = take(browser, stack, screen, languages, folder)
    (folder / "index.html").write_text(index(taken), "utf-8")
    print(folder / "index.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
