# SPDX-License-Identifier: Apache-2.0
"""A program that speaks to the token endpoint without a browser, as far as HTTP goes."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient

from oidc_dev.clients import DEVICE, EXCHANGE
from tests.unit.oidc_dev.visitor import ALICE, CHALLENGE, FORM, PASSWORD, VERIFIER, Html

BEGINNING = {
    "client_id": "sigstore",
    "scope": "openid email",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@dataclass
class Program:
    """A client that waits, asks, or brings a secret."""

    http: TestClient

    async def post(self, path: str, fields: dict[str, str | None], headers: dict[str, str] | None = None):
        """A form; a parameter given as None is left out."""
        body = urlencode({name: value for name, value in fields.items() if value is not None})
        sent = {"Content-Type": FORM} | (headers or {})
        return await self.http.post(path, data=body, headers=sent, allow_redirects=False)

    async def begin(self, **changed: str | None):
        """The device authorization endpoint."""
        return await self.post("/auth/device/code", BEGINNING | changed)

    async def begun(self, **changed: str | None) -> dict[str, str]:
        """The two codes."""
        answer = await self.begin(**changed)
        assert answer.status == 200, await answer.text()
        return await answer.json()

    async def poll(self, device_code: str, **changed: str | None):
        """The token endpoint, as cosign asks it."""
        fields = {
            "grant_type": DEVICE,
            "client_id": "sigstore",
            "device_code": device_code,
            "scope": "openid email",
            "code_verifier": VERIFIER,
        }
        return await self.post("/auth/token", fields | changed)

    async def error(self, device_code: str, **changed: str | None) -> str:
        """The error of a poll."""
        answer = await self.poll(device_code, **changed)
        assert 400 <= answer.status < 500
        return (await answer.json())["error"]

    async def form(self, user_code: str) -> dict[str, str]:
        """The fields of the page for ``user_code``, hidden ones filled."""
        page = await self.http.get(f"/auth/device?{urlencode({'user_code': user_code})}")
        assert page.status == 200, await page.text()
        return Html(await page.text()).inputs()

    async def decide(self, user_code: str, action: str = "login", password: str = PASSWORD, email: str = ALICE):
        """What the user does there."""
        filled = await self.form(user_code) | {"email": email, "password": password, "action": action}
        return await self.post("/auth/device", filled)

    async def credentials(self, secret: str, **changed: str | None):
        """Client credentials, as cosign sends them."""
        fields = {"grant_type": "client_credentials", "client_id": "sigstore", "client_secret": secret}
        return await self.post("/auth/token", fields | {"scope": "openid email"} | changed)

    async def exchange(self, token: str, **changed: str | None):
        """Token exchange."""
        fields = {
            "grant_type": EXCHANGE,
            "client_id": "sigstore",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
        }
        return await self.post("/auth/token", fields | changed)
