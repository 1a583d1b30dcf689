# SPDX-License-Identifier: Apache-2.0
"""What a page must be for everybody: axe-core finds nothing serious in it, it fits a telephone, and the Tab key reaches all of it."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page

from tests.interop.clients import AXE, Missing
from tests.missing import missing

PHONE: Final = {"width": 360, "height": 740}
DESKTOP: Final = {"width": 1280, "height": 900}
SCHEMES: Final = ("light", "dark")
GRAVE: Final = ("serious", "critical")
_RUN: Final = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.map(({id, impact, nodes}) => [impact, id, nodes.slice(0, 3).map(node => node.html.slice(0, 200))]);
}"""
_OPEN: Final = "document.querySelectorAll('details').forEach(details => { details.open = true; })"
_CONTROLS: Final = """() => {
  const kinds = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
  const controls = [...document.querySelectorAll(kinds)].filter(one => !one.disabled && one.type !== 'hidden' && one.checkVisibility());
  const walked = window.walked = {controls, reached: new Set(), lit: new Set()};
  document.addEventListener('focusin', ({target}) => {
    const style = getComputedStyle(target), box = target.getBoundingClientRect();
    walked.reached.add(target);
    if (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1 && box.width > 0 && box.right > 0) walked.lit.add(target);
  });
  document.activeElement.blur();
  return controls.length;
}"""
_DONE: Final = "() => window.walked.controls.every(one => window.walked.lit.has(one))"
_WRONG: Final = """() => {
  const {controls, reached, lit} = window.walked, text = one => one.outerHTML.slice(0, 160);
  return [...controls.filter(one => !reached.has(one)).map(one => 'not reached: ' + text(one)),
          ...[...reached].filter(one => !lit.has(one)).map(one => 'no visible focus: ' + text(one))];
}"""


def axe_source() -> str:
    """The rules. Where they are not installed the test is skipped, and in CI it fails."""
    try:
        return AXE.installed().read_text("utf-8")
    except Missing as reason:
        missing(str(reason))


def open_details(page: Page) -> None:
    """What is folded is part of the page."""
    page.evaluate(_OPEN)


def grave_issues(page: Page, axe: str) -> list[str]:
    """What axe-core calls serious or critical, with the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe)
    return [f"{impact} {rule}: {nodes}" for impact, rule, nodes in page.evaluate(_RUN) if impact in GRAVE]


def width_of(page: Page) -> int:
    """Of what the page needs; more than the window's means that it scrolls to the side."""
    return int(page.evaluate("document.documentElement.scrollWidth"))


def walk(page: Page) -> list[str]:
    """Press Tab through the whole page; the answer is what is wrong: controls that were not reached, or had no visible focus."""
    stops = int(page.evaluate(_CONTROLS)) + 1
    for _ in range(4):  # a date has several stops, and the way may begin in the middle
        for _ in range(stops):
            page.keyboard.press("Tab")
        if page.evaluate(_DONE):
            break
    return [str(wrong) for wrong in page.evaluate(_WRONG)]
