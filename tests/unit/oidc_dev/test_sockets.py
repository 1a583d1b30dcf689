# SPDX-License-Identifier: Apache-2.0
"""The provider asks nobody (O24): 500 requests name hosts, addresses and files in every parameter; no socket is opened, no name
is looked up, no file outside is read.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from oidc_dev.app import make_app
from oidc_dev.claims import Identity
from oidc_dev.clients import GRANTS
from oidc_dev.machines import SqliteMachines
from sigcore.errors import Refused
from sigcore.strict import encode_base64url
from tests.chance import chosen_seed
from tests.unit.oidc_dev.program import Program
from tests.unit.oidc_dev.visitor import CHALLENGE, VERIFIER

REQUESTS = 500
TARGETS = (
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:1/jwks",
    "https://sigbox-oidc-probe.invalid/keys",
    "http://[::1]:1/",
    "ftp://sigbox-oidc-probe.invalid/x",
    "file:///etc/passwd",
    "//sigbox-oidc-probe.invalid/",
    "data:application/json,{}",
    "gopher://127.0.0.1:1/_x",
)
NAMES = (
    "request_uri", "jwks_uri", "jku", "x5u", "sector_identifier_uri", "registration", "client_id", "redirect_uri", "resource",
    "audience", "logo_uri", "policy_uri", "tos_uri", "initiate_login_uri", "client_assertion", "id_token_hint", "login_hint",
    "post_logout_redirect_uri", "state", "scope", "iss", "user_code", "code", "client_secret", "acr_values", "claims",
)  # fmt: skip
GOOD = {
    "response_type": "code",
    "client_id": "sigstore",
    "redirect_uri": "http://localhost:1/",
    "scope": "openid",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
    "code_verifier": VERIFIER,
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}

_watched: list[str] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _watched is None:
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "urllib.Request", "ftplib.connect"):
        _watched.append(f"{event} {arguments}")
    elif event == "socket.connect":
        _watched.append(f"connect {arguments[1]}")
    elif event == "open" and str(arguments[0]).startswith("/etc/"):
        _watched.append(f"open {arguments[0]}")


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What the process does to the outside while the block runs."""
    global _watched  # noqa: PLW0603 - an audit hook cannot be taken away again
    _watched = []
    try:
        yield _watched
    finally:
        _watched = None


def token(chance: random.Random) -> str:
    """A JWT whose header and claims name hosts."""
    header = {name: chance.choice(TARGETS) for name in ("jku", "x5u", "kid", "iss") if chance.random() < 0.7}
    claims = {name: chance.choice(TARGETS) for name in ("iss", "sub", "aud", "jwks_uri") if chance.random() < 0.7}
    parts = [encode_base64url(str({"alg": "RS256", **one}).replace("'", '"').encode()) for one in (header, claims)]
    return f"{parts[0]}.{parts[1]}.AAAA"


class NobodyKnown:
    """A broker that takes no token."""

    async def identify(self, _token: str, *, now: object) -> Identity:
        raise Refused(f"nobody is known at {now}")


@pytest.fixture
async def program(aiohttp_client, provider, directory, tmp_path) -> Program:
    whole = replace(directory, machines=SqliteMachines(tmp_path / "accounts.db"), broker=NobodyKnown())
    return Program(await aiohttp_client(make_app(provider, whole)))


async def test_500_hostile_requests_open_no_connection_o24(program: Program):
    chance = random.Random(chosen_seed())
    await program.begin()  # everything is imported now
    port = program.http.server.port
    with watched() as seen:
        for number in range(REQUESTS):
            fields = GOOD | {name: chance.choice(TARGETS) for name in chance.sample(NAMES, 4)}
            fields |= {"grant_type": chance.choice(GRANTS), "subject_token": token(chance), "assertion": token(chance)}
            bearer = {"Authorization": f"Bearer {token(chance)}", "Host": f"{chance.choice(TARGETS)}"}
            path = ("/auth/auth", "/auth/token", "/auth/device/code", "/auth/login", "/auth/device", "/auth/userinfo")[
                number % 6
            ]
            answer = await program.post(path, fields, bearer if path.endswith("userinfo") else {})
            assert answer.status < 500
    outside = [event for event in seen if f", {port})" not in event]
    assert outside == []


async def test_the_watch_sees_what_it_looks_for(program: Program):
    import socket  # noqa: PLC0415 - the negative control

    with watched() as seen, socket.socket() as one:
        with pytest.raises(ConnectionRefusedError):
            one.connect(("127.0.0.1", 1))
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("sigbox-oidc-probe.invalid", 80)
    assert len(seen) >= 2
