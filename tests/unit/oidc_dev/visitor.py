# SPDX-License-Identifier: Apache-2.0
"""A browser and a client in one, as far as HTTP goes: asks, reads the form, fills it in, redeems the code."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp.test_utils import TestClient

ISSUER = "http://localhost:7780/auth"
PASSES = 2
"""A cheap hash: most tests are not about its price."""
ALICE, PASSWORD = "alice@example.com", "correct horse battery staple"
CALLBACK = "http://localhost:43210/auth/callback"
OOB = "urn:ietf:wg:oauth:2.0:oob"
VERIFIER = "a-verifier-of-43-characters-or-more-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REQUEST = {
    "response_type": "code",
    "client_id": "sigstore",
    "redirect_uri": CALLBACK,
    "scope": "openid email",
    "state": "a state",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
FORM = "application/x-www-form-urlencoded"


@dataclass
class Clock:
    """A clock that a test turns."""

    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Html(HTMLParser):
    """What a page consists of: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def inputs(self) -> dict[str, str]:
        return {a["name"] or "": a.get("value") or "" for tag, a in self.elements if tag == "input"}


@dataclass
class Visitor:
    """One browser with its cookies, and the client that sent it."""

    http: TestClient
    headers: dict[str, str] = field(default_factory=dict)

    async def ask(self, **changed: str | None):
        """The authorization endpoint; a parameter given as None is left out."""
        parameters = {name: value for name, value in (REQUEST | changed).items() if value is not None}
        return await self.http.get(f"/auth/auth?{urlencode(parameters)}", allow_redirects=False)

    async def form(self, **changed: str | None) -> dict[str, str]:
        """The fields of the login form, hidden ones filled."""
        page = await self.ask(**changed)
        assert page.status == 200, await page.text()
        return Html(await page.text()).inputs()

    async def send(self, fields: dict[str, str], **headers: str):
        """POST the login form."""
        body = urlencode(fields)
        sent = {"Content-Type": FORM, **self.headers, **headers}
        return await self.http.post("/auth/login", data=body, headers=sent, allow_redirects=False)

    async def log_in(self, email: str = ALICE, password: str = PASSWORD, **changed: str | None):
        """The form, filled in and sent."""
        return await self.send(await self.form(**changed) | {"email": email, "password": password, "action": "login"})

    async def code(self, **changed: str | None) -> str:
        """The code that a login leads to."""
        return query_of(await self.log_in(**changed))["code"]

    async def redeem(self, code: str, *, headers: dict[str, str] | None = None, **changed: str | None):
        """The token endpoint."""
        parameters = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            "client_id": "sigstore",
        } | changed
        body = urlencode({name: value for name, value in parameters.items() if value is not None})
        return await self.http.post("/auth/token", data=body, headers={"Content-Type": FORM} | (headers or {}))


def query_of(answer) -> dict[str, str]:
    """The parameters of a redirect."""
    assert answer.status == 303, answer.status
    found = parse_qs(urlsplit(answer.headers["Location"]).query, strict_parsing=True, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def basic(text: str) -> dict[str, str]:
    """HTTP Basic with ``text``."""
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
