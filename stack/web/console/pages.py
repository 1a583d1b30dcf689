# SPDX-License-Identifier: Apache-2.0
"""How a page of the console is made: template, language, headers. Every value is escaped by the template engine.

Jinja is imported when the first page is asked for: it takes 50 ms.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import jinja2
from aiohttp import web

from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from sigcore.language import COOKIE, COOKIE_S, LANGUAGES, PARAMETER, choose
from stack.config import Settings
from stack.web.console.answers import moment
from stack.web.console.language import translate
from stack.web.console.said import sentence

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all a browser gives our own forms no origin
    "Vary": "Accept-Language, Cookie",
}
SHOWN_BY: Final = ("q", "since", "until", "after", "limit", "leaf", "size", "first", "second", "attack")
"""The parameters that choose what a page of the console shows."""
_STATUS: Final[dict[type[SigError], int]] = {Malformed: 400, Refused: 403, NotFound: 404, Unavailable: 503}


class Pages:
    """The pages of one stack; ``login`` says that they ask for one."""

    def __init__(self, settings: Settings, *, login: bool = False) -> None:
        self._secure = settings.url.startswith("https:")
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("stack.web.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {
            "organization": settings.organization,
            "untrusted": settings.ephemeral,
            "languages": LANGUAGES,
            "url": settings.url,
            "login": login,
        }
        self._templates.filters |= {"moment": moment, "grouped": "{:,}".format}

    def page(self, request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """``template`` with ``values``, in the reader's language."""
        asked = request.query.get(PARAMETER, "")
        language = choose(asked, request.cookies.get(COOKIE, ""), request.headers.get("Accept-Language", ""))
        text = self._templates.get_template(template).render(
            values,
            _=partial(translate, language),
            sentence=partial(sentence, language),
            language=language,
            path=request.path,
            others={name: _with_language(request, name) for name in LANGUAGES if name != language},
        )
        response = web.Response(text=text, status=status, content_type="text/html", headers=_HEADERS)
        if asked in LANGUAGES:
            response.set_cookie(COOKIE, asked, max_age=COOKIE_S, httponly=True, samesite="Lax", secure=self._secure)
        return response

    def refusal(self, request: web.Request, error: SigError) -> web.Response:
        """What cannot be shown, and why."""
        status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
        return self.page(request, "refusal.html", status=status, message=error.message, hint=error.hint or "")


def _with_language(request: web.Request, language: str) -> str:
    """This page in another language: with what the console reads of its address, and nothing else that somebody wrote there."""
    kept = {name: request.query[name] for name in SHOWN_BY if name in request.query}
    return str(request.rel_url.with_query({**kept, PARAMETER: language}))
