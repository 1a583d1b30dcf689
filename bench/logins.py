# SPDX-License-Identifier: Apache-2.0
"""Many people who log in and sign at the same moment: how long the token endpoint and the CA let them wait.

Each opens the login page, sends the password, redeems the code and asks for a certificate, all of them at once, while the
server hashes everybody's password on other threads. One wave per stack: an address may try 60 logins at a time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.keyless import ALGORITHM, encode
from bench.reference import Figure
from stack.cli.asking import ask_control
from tests.stack_process import RunningStack, running_stack
from tests.unit.oidc_dev.visitor import CALLBACK, PASSWORD, REQUEST, VERIFIER, Html

PEOPLE = 32
GOAL_MS = 100.0
STEPS = {"login": "password checked", "token": "token endpoint", "certificate": "signingCert"}


@dataclass
class Waits:
    """Seconds that people waited, by step."""

    by_step: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def p95_ms(self, step: str) -> float:
        """The wait that all but the unluckiest twentieth stay below."""
        ranked = sorted(self.by_step[step])
        return ranked[(len(ranked) - 1) * 95 // 100] * 1000


async def person(http: aiohttp.ClientSession, stack: RunningStack, email: str, waits: Waits) -> None:
    """From the login page to the certificate."""

    async def asked(step: str, method: str, url: str, **options: object) -> tuple[aiohttp.ClientResponse, str]:
        began = time.perf_counter()
        async with http.request(method, url, allow_redirects=False, **options) as answer:  # type: ignore[arg-type]  # as they are given
            text = await answer.text()
        waits.by_step[step].append(time.perf_counter() - began)
        return answer, text

    key = ec.generate_private_key(ec.SECP256R1())
    _, page = await asked("page", "GET", f"{stack.oidc_issuer}/auth", params=REQUEST | {"nonce": email})
    form = Html(page).inputs() | {"email": email, "password": PASSWORD}
    answer, page = await asked("login", "POST", f"{stack.oidc_issuer}/login", data=form)
    if answer.status != 303:
        raise RuntimeError(f"the login of {email} was answered with {answer.status}: {page[:500]}")
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "client_id": "sigstore"}
    _, body = await asked("token", "POST", f"{stack.oidc_issuer}/token", data=form | {"code_verifier": VERIFIER})
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = {"publicKey": {"content": pem.decode()}, "proofOfPossession": encode(key.sign(email.encode(), ALGORITHM))}
    headers = {"Authorization": f"Bearer {json.loads(body)['id_token']}"}
    answer, body = await asked(
        "certificate", "POST", f"{stack.url}/api/v2/signingCert", json={"publicKeyRequest": proof}, headers=headers
    )
    if answer.status != 200:
        raise RuntimeError(f"the CA answered {answer.status}: {body[:500]}")


def add_people(stack: RunningStack) -> list[str]:
    """Make the accounts."""
    emails = [f"person-{number}@bench.example" for number in range(PEOPLE)]
    for email in emails:
        body = json.dumps({"email": email, "password": PASSWORD, "verified": True}).encode()
        ask_control(stack.url, "user", body)
    return emails


async def wave(stack: RunningStack, emails: list[str], waits: Waits) -> None:
    """Everybody at once, each with cookies of their own."""

    async def one(email: str) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            await person(http, stack, email, waits)

    await asyncio.gather(*map(one, emails))


def run(rounds: int) -> list[Figure]:
    """p95 of each step over ``rounds`` waves."""
    waits = Waits()
    for number in range(rounds):
        print(f"{PEOPLE} people log in, {number + 1} of {rounds}", file=sys.stderr)
        with (
            tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name,
            running_stack(Path(name), "--ephemeral", "--control") as stack,
        ):
            asyncio.run(wave(stack, add_people(stack), waits))
    figures = []
    for step, name in STEPS.items():
        p95, bound = waits.p95_ms(step), step != "login"
        goal, met = (f"<= {GOAL_MS:.0f} ms", p95 <= GOAL_MS) if bound else ("", None)
        figures.append(Figure(f"{PEOPLE} concurrent logins, {name}, p95", f"{p95:.1f} ms", None, "", goal, met))
    return figures
