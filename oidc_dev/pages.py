# SPDX-License-Identifier: Apache-2.0
"""The pages that people see. Every value is escaped by the template engine; no page has a script or anything from outside.

Imported when the first login begins: Jinja takes 50 ms.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

import jinja2

from oidc_dev.codes import OUT_OF_BAND_LIFETIME_S
from oidc_dev.parameters import Parameters, encode_parameters
from oidc_dev.provider import Provider
from oidc_dev.redirects import OUT_OF_BAND, policy_source
from oidc_dev.reply import Reply

_POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    # Not no-referrer: under that, browsers hide from us where our own form was sent from.
    ("Referrer-Policy", "same-origin"),
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
)
"""What of an authorization request goes through the login form; the rest has no meaning here."""


def kept_request(asked: Parameters) -> str:
    """The authorization request as the login form carries it."""
    return encode_parameters({name: asked[name] for name in _KEPT if name in asked})


class Pages:
    """The pages of one provider, and their style sheet."""

    def __init__(self, provider: Provider) -> None:
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
        }

    def login(self, asked: Parameters, *, csrf: str, email: str = "", problem: str = "", status: int = 200) -> Reply:
        """The form, for the checked authorization request ``asked``."""
        uri = asked["redirect_uri"]
        text = self._text(
            "login.html",
            client=asked["client_id"],
            request=kept_request(asked),
            csrf=csrf,
            email=email,
            problem=problem,
            redirect_uri=uri,
            out_of_band=uri == OUT_OF_BAND,
        )
        # Browsers hold the redirect that answers a form against form-action as well.
        return _page(status, text, f"{_POLICY} {policy_source(uri)}".rstrip())

    def code(self, code: str, *, email: str) -> Reply:
        """The out-of-band page with the bare code."""
        return _page(
            200, self._text("code.html", code=code, email=email, minutes=OUT_OF_BAND_LIFETIME_S // 60), _POLICY
        )

    def error(self, status: int, *, heading: str, message: str, advice: str, code: str) -> Reply:
        """What went wrong, where there is nobody to send it to. ``code`` is OAuth's."""
        text = self._text("error.html", heading=heading, message=message, advice=advice, code=code)
        return _page(status, text, _POLICY)

    def _text(self, template: str, **values: str | int | bool) -> str:
        return self._templates.get_template(template).render(values)


def _page(status: int, text: str, policy: str) -> Reply:
    return Reply(status, text, (*_HEADERS, ("Content-Security-Policy", policy)))
