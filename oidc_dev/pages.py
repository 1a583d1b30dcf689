# SPDX-License-Identifier: Apache-2.0
"""The pages that people see. Every value is escaped by the template engine; no page has a script or anything from outside.

Imported when the first login begins: Jinja takes 50 ms.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib import resources
from typing import TYPE_CHECKING, Final

import jinja2
from markupsafe import Markup, escape

from oidc_dev.clients import CLIENTS
from oidc_dev.codes import OUT_OF_BAND_LIFETIME_S
from oidc_dev.devices import Device, shown_user_code
from oidc_dev.parameters import Parameters, encode_parameters
from oidc_dev.provider import Provider
from oidc_dev.redirects import OUT_OF_BAND, policy_source
from oidc_dev.reply import Page, Reply
from sigcore.language import ENGLISH, LANGUAGES
from sigcore.phrases import Phrases

if TYPE_CHECKING:  # few stacks have one
    from oidc_dev.upstream import Upstream

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Vary", "Accept-Language, Cookie"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    # Not no-referrer: under that, browsers hide from us where our own form was sent from.
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
)
_KEPT: Final = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
    "prompt",
    "max_age",
    "ui_locales",
)
"""What of an authorization request goes through the login form; the rest has no meaning here."""


def kept_request(asked: Parameters) -> str:
    """The authorization request as the login form carries it."""
    return encode_parameters({name: asked[name] for name in _KEPT if name in asked})


@dataclass(frozen=True, slots=True)
class Shown:
    """What a login form shows beside the request: its token, the email that stands in it, what went wrong, and who is logged in."""

    csrf: str
    email: str = ""
    problem: str = ""
    status: int = 200
    session: str = ""
    """The email of the session that may be gone on with; empty for none."""
    one_time: bool = False
    """Whether the field for one-time passwords is open."""
    people: tuple[str, ...] = ()
    """Whom one may log in as without a password; nobody but where that is for tests."""


def shown_time(moment: datetime) -> str:
    """``moment`` for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


@cache
def texts(language: str) -> Mapping[str, str]:
    """What the pages say: English -> text; empty for English, which stands in the templates."""
    return _tables(language).get("texts", {})


@cache
def phrases(language: str) -> Phrases:
    """Why something is refused, in ``language``."""
    return Phrases(_tables(language))


@cache
def _tables(language: str) -> Mapping[str, Mapping[str, str]]:
    if language == ENGLISH:
        return {}
    return tomllib.loads(resources.files("oidc_dev").joinpath("templates", f"{language}.toml").read_text("utf-8"))


def _said(language: str, english: str, **values: object) -> Markup:
    """A text of a page with its values, which are escaped but for elements of the page's own."""
    return Markup(escape(texts(language).get(english, english))).format(**values)  # noqa: S704 - it is escaped


def _told(language: str, message: str) -> Markup:
    """Why something is refused; what has no translation is marked as English."""
    told = phrases(language).sentence(message)
    foreign = language != ENGLISH and told == phrases(ENGLISH).sentence(message)
    return Markup('<span lang="en">{}</span>').format(told) if foreign else escape(told)


class Pages:
    """The pages of one provider, and their style sheet. ``upstreams`` are the providers of others that one may log in through."""

    def __init__(self, provider: Provider, upstreams: Iterable[Upstream] = ()) -> None:
        self.style = resources.files("oidc_dev").joinpath("templates", "style.css").read_text("utf-8")
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("oidc_dev"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            auto_reload=False,
        )
        self._templates.globals |= {
            "host": provider.origin.partition("//")[2],
            "untrusted": provider.untrusted,
            "base": provider.issuer.removeprefix(provider.origin),
            "upstreams": tuple((upstream.name, upstream.label) for upstream in upstreams),
            "languages": LANGUAGES,
        }

    def render(self, page: Page, language: str, others: Mapping[str, str]) -> str:
        """``page`` in ``language``; ``others`` are the addresses at which it is in another one."""
        return self._templates.get_template(page.template).render(
            page.values,
            _=partial(_said, language),
            told=partial(_told, language),
            language=language,
            others=others,
        )

    def login(self, asked: Parameters, shown: Shown) -> Reply:
        """The form, for the checked authorization request ``asked``."""
        uri = asked["redirect_uri"]
        values = {
            "shown": shown,
            "client": asked["client_id"],
            "signs": asked["client_id"] in CLIENTS,
            "request": kept_request(asked),
            "link": encode_parameters({"request": kept_request(asked), "csrf": shown.csrf}),
            "redirect_uri": uri,
            "out_of_band": uri == OUT_OF_BAND,
        }
        again = encode_parameters({name: asked[name] for name in (*_KEPT, "login_hint") if name in asked})
        page = Page("login.html", values, f"auth?{again}", asked.get("ui_locales", ""))
        # Browsers hold the redirect that answers a form against form-action as well.
        return _reply(shown.status, page, f"{_POLICY} {policy_source(uri)}".rstrip())

    def code(self, code: str, *, email: str) -> Reply:
        """The out-of-band page with the bare code."""
        values = {"code": code, "email": email, "minutes": OUT_OF_BAND_LIFETIME_S // 60}
        return _reply(200, Page("code.html", values))

    def device(self, *, problem: str = "", status: int = 200) -> Reply:
        """Where a user code is typed."""
        return _reply(status, Page("device.html", {"problem": problem}, "device"))

    def approve(self, device: Device, shown: Shown) -> Reply:
        """The question whether this program may have a token, with the form to log in."""
        code, asked = shown_user_code(device.user_code), shown_time(device.asked)
        link = encode_parameters({"user_code": device.user_code, "csrf": shown.csrf})
        values = {"shown": shown, "device": device, "code": code, "asked": asked, "link": link}
        again = f"device?{encode_parameters({'user_code': device.user_code})}"
        return _reply(shown.status, Page("approve.html", values, again))

    def done(self, *, email: str, denied: bool, kept: bool = True) -> Reply:
        """What became of the program that waited; ``kept``: whether the browser has a session now."""
        return _reply(200, Page("done.html", {"email": email, "denied": denied, "kept": kept}))

    def session(self, *, email: str, since: str, csrf: str) -> Reply:
        """Who is logged in with this browser, and the way out. Nobody, where ``email`` is empty."""
        return _reply(200, Page("session.html", {"email": email, "since": since, "csrf": csrf}, "session"))

    def error(self, status: int, *, heading: str, message: str, advice: str, code: str) -> Reply:
        """What went wrong, where there is nobody to send it to. ``code`` is OAuth's."""
        values = {"heading": heading, "message": message, "advice": advice, "code": code}
        return _reply(status, Page("error.html", values))

    def unavailable(self) -> Reply:
        """The accounts cannot be read: nothing that the visitor could do."""
        return self.error(
            503,
            heading="Nobody can log in now",
            message="the accounts cannot be read",
            advice="Tell whoever runs this stack; its log says why.",
            code="server_error",
        )


def _reply(status: int, page: Page, policy: str = _POLICY) -> Reply:
    return Reply(status, page, (*_HEADERS, ("Content-Security-Policy", policy)))
