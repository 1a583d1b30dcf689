# SPDX-License-Identifier: Apache-2.0
"""Many pages in one: each answer is parsed by Chromium, and rendered in a frame without the policy that would stop what got through.

What is seen: elements and attributes that the answer consists of, addresses that lead anywhere but to this stack, and, in a frame,
scripts that ran: every ``alert`` says its number. A frame has the origin of the page around it, so nothing is safer in there than in
a tab. Chromium parses once with scripts and once without, which are two parsers where ``noscript`` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import Browser, Page

from tests.browser.chromium import visitor
from tests.stack_process import RunningStack

BATCH: Final = 16
DETECTOR: Final = """
  if (window === top) window.fired = [];
  for (const name of ['alert', 'confirm', 'prompt', 'print']) window[name] = number => { top.fired.push(String(number)); };
"""
_RENDER: Final = """async requests => {
  const form = ({fields, files}) => {
    if (!files.length) return new URLSearchParams(fields);
    const data = new FormData();
    for (const [name, value] of Object.entries(fields)) data.append(name, value);
    for (const [name, filename, text] of files) data.append(name, new Blob([text]), filename);
    return data;
  };
  const ask = request => fetch(request.path, request.fields ? {method: 'POST', body: form(request)} : {});
  const read = document => {
    const parts = new Set(), away = new Set();
    for (const one of document.querySelectorAll('*')) {
      parts.add(one.localName);
      for (const {name, value} of one.attributes) {
        parts.add(one.localName + ' ' + name);
        if (!['href', 'src', 'action', 'formaction', 'xlink:href', 'data', 'poster', 'srcdoc'].includes(name)) continue;
        try { if (new URL(value, location).origin !== location.origin) away.add(value); } catch { away.add(value); }
      }
    }
    if (document.createNodeIterator(document, NodeFilter.SHOW_COMMENT).nextNode()) parts.add('a comment');
    return {parts: [...parts], away: [...away], text: document.documentElement.textContent + [...document.querySelectorAll('input')].map(one => one.value).join(' ')};
  };
  const seen = await Promise.all(requests.map(async request => {
    const response = await ask(request).catch(() => null);
    if (!response) return {status: 0, type: '', url: ''}; // it leads to a program on another port, which is not there
    const type = response.headers.get('content-type') || '', text = await response.text();
    const answer = {status: response.status, type, url: response.url};
    if (!type.startsWith('text/html')) return answer;
    answer.parsed = read(new DOMParser().parseFromString(text, 'text/html'));
    if (!request.run) return answer;
    answer.frame = document.createElement('iframe');
    const loaded = new Promise(resolve => { answer.frame.onload = resolve; setTimeout(resolve, 5000); });
    answer.frame.srcdoc = text;
    document.body.append(answer.frame);
    await loaded;
    return answer;
  }));
  if (requests.some(request => request.run)) await new Promise(resolve => setTimeout(resolve, 30));
  return seen.map(({frame, parsed, ...answer}) => {
    const one = parsed || {parts: [], away: [], text: ''}, two = frame ? read(frame.contentDocument) : one;
    if (frame) frame.remove();
    return {...answer, text: one.text, parts: [...one.parts, ...two.parts], away: [...one.away, ...two.away]};
  });
}"""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request: a GET, or a form with ``fields``, and with ``files`` (field, file name, text) as a browser sends them.

    ``run``: render the answer too.
    """

    path: str
    fields: Mapping[str, str] | None = None
    files: tuple[tuple[str, str, str], ...] = ()
    run: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """How an answer was rendered."""

    ask: Ask
    status: int
    type: str
    url: str
    parts: frozenset[str]
    away: tuple[str, ...]
    text: str


@dataclass
class Laboratory:
    """The page around the frames."""

    page: Page
    ordinary: set[str] = field(default_factory=set)
    """Elements and attributes that pages have where nothing hostile is in them."""

    def render(self, asks: Iterable[Ask]) -> list[Seen]:
        """All of them, some at a time."""
        todo, seen = list(asks), list[Seen]()
        for first in range(0, len(todo), BATCH):
            some = todo[first : first + BATCH]
            given = [{"path": ask.path, "fields": ask.fields, "files": ask.files, "run": ask.run} for ask in some]
            seen += [_seen(ask, found) for ask, found in zip(some, self.page.evaluate(_RENDER, given), strict=True)]
        return seen

    def learn(self, asks: Iterable[Ask]) -> None:
        """What ordinary pages consist of."""
        for one in self.render(asks):
            self.ordinary |= one.parts

    def judge(self, asks: Iterable[Ask]) -> list[Seen]:
        """Render them; nothing may run, no element or attribute may be there that ordinary pages lack, nothing may lead away."""
        seen = self.render(asks)
        for one in seen:
            assert one.status < 500, one.ask
            assert one.parts <= self.ordinary, (one.ask, sorted(one.parts - self.ordinary))
            assert one.away == (), one.ask
        assert self.fired() == []
        return seen

    def fired(self) -> list[str]:
        """The numbers of what ran since the last time."""
        fired: list[str] = self.page.evaluate("window.fired.splice(0)")
        return fired


def _seen(ask: Ask, found: dict[str, Any]) -> Seen:
    return Seen(
        ask,
        found["status"],
        found["type"],
        found["url"],
        frozenset(found["parts"]),
        tuple(found["away"]),
        found["text"],
    )


@contextmanager
def laboratory(browser: Browser, stack: RunningStack) -> Iterator[Laboratory]:
    """A laboratory on the origin of ``stack``."""
    with visitor(browser, bypass_csp=True) as tab:
        tab.page.add_init_script(DETECTOR)
        tab.page.goto(f"{stack.url}/search")
        yield Laboratory(tab.page)
