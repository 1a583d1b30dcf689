# SPDX-License-Identifier: Apache-2.0
"""32 people log in at one time, again and again: how long the token endpoint and the authority take meanwhile.

Each goes through the whole of it: login page, password (argon2id at its default price), code for token, token for certificate.
Passwords are hashed one after the other beside the event loop, so people wait for theirs; what is measured is that nobody else
waits for it. The clients are a process of their own (``python -m bench.logins URL CLIENTS SECONDS``).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.keyless import ALGORITHM
from bench.reference import Figure
from oidc_dev.accounts import Account
from oidc_dev.passwords import Passwords
from oidc_dev.store import SqliteAccounts
from tests.stack_process import ROOT, environment, running_stack

CLIENTS = 32
GOAL_MS = 100.0
HASH_MS = 100.0
PASSWORD = "correct horse battery staple"  # noqa: S105 - of a benchmark
CALLBACK = "http://localhost:1/auth/callback"
VERIFIER = "a-verifier-of-43-characters-or-more-0123456789"
_HIDDEN = re.compile(r'name="(request|csrf)" value="([^"]*)"')


@dataclass
class Times:
    """Milliseconds of each request, by endpoint."""

    token: list[float] = field(default_factory=list)
    certificate: list[float] = field(default_factory=list)
    login: list[float] = field(default_factory=list)


def email_of(number: int) -> str:
    """The account of one client."""
    return f"user-{number}@bench.example"


async def clients(url: str, count: int, seconds: float) -> Times:
    """``count`` people for so long."""
    times, end = Times(), time.perf_counter() + seconds
    await asyncio.gather(*(_person(url, number, times, end) for number in range(count)))
    return times


async def _person(url: str, number: int, times: Times, end: float) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    while time.perf_counter() < end:
        async with aiohttp.ClientSession() as session:
            code = await _log_in(session, url, email_of(number), times)
            token = await _redeem(session, url, code, times)
            await _certify(session, url, token, (email_of(number), key), times)


async def _log_in(session: aiohttp.ClientSession, url: str, email: str, times: Times) -> str:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": "sigstore",
        "redirect_uri": CALLBACK,
        "scope": "openid email",
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    async with session.get(f"{url}/auth/auth?{urlencode(query)}") as page:
        hidden = {name: value.replace("&amp;", "&") for name, value in _HIDDEN.findall(await page.text())}
    form = hidden | {"email": email, "password": PASSWORD, "action": "login"}
    began = time.perf_counter()
    async with session.post(f"{url}/auth/login", data=form, allow_redirects=False) as answer:
        if answer.status != 303:
            raise RuntimeError(f"a login was answered with {answer.status}")
        location = answer.headers["Location"]
    times.login.append((time.perf_counter() - began) * 1000)
    return parse_qs(urlsplit(location).query)["code"][0]


async def _redeem(session: aiohttp.ClientSession, url: str, code: str, times: Times) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        "client_id": "sigstore",
    }
    began = time.perf_counter()
    async with session.post(f"{url}/auth/token", data=form) as answer:
        body = await answer.json()
    times.token.append((time.perf_counter() - began) * 1000)
    return str(body["id_token"])


async def _certify(
    session: aiohttp.ClientSession, url: str, token: str, who: tuple[str, ec.EllipticCurvePrivateKey], times: Times
) -> None:
    email, key = who
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = {"algorithm": "ECDSA", "content": key.public_key().public_bytes(*form).decode()}
    proof = base64.b64encode(key.sign(email.encode(), ALGORITHM)).decode()
    body = {"publicKeyRequest": {"publicKey": public, "proofOfPossession": proof}}
    headers = {"Authorization": f"Bearer {token}"}
    began = time.perf_counter()
    async with session.post(f"{url}/api/v2/signingCert", json=body, headers=headers) as answer:
        if answer.status != 200:
            raise RuntimeError(f"a certificate was refused: {await answer.text()}")
        await answer.read()
    times.certificate.append((time.perf_counter() - began) * 1000)


def run(rounds: int, seconds: float = 8) -> list[Figure]:
    """The figures of ``rounds`` runs together, against one durable stack."""
    with tempfile.TemporaryDirectory(prefix="sigbox-bench-") as name:
        folder = Path(name)
        with running_stack(folder, "--data", folder / "data") as stack:
            hash_ms = _make_accounts(stack.data)
            measured = Times()
            for number in range(rounds):
                print(f"logging in, {CLIENTS} clients, {number + 1} of {rounds}", file=sys.stderr)
                command = [sys.executable, "-m", "bench.logins", stack.url, str(CLIENTS), str(seconds)]
                done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True)
                for what, found in json.loads(done.stdout).items():
                    getattr(measured, what).extend(found)
    return report(measured, hash_ms, rounds * seconds)


def _make_accounts(data: Path) -> float:
    """One account for each client; the milliseconds of one hash with nothing else going on."""
    passwords, accounts, taken = Passwords(), SqliteAccounts(data / "oidc" / "accounts.db"), []
    for number in range(CLIENTS):
        began = time.perf_counter()
        hashed = passwords.hash(PASSWORD)
        taken.append((time.perf_counter() - began) * 1000)
        accounts.add(Account(email_of(number), hashed, verified=True, created=datetime.now(UTC).replace(microsecond=0)))
    return min(taken)


def report(times: Times, hash_ms: float, seconds: float) -> list[Figure]:
    """The lines."""
    what = f"{CLIENTS} logins at one time"
    lines = [
        Figure("one password hash", f"{hash_ms:.0f} ms", goal=f">= {HASH_MS:.0f} ms", met=hash_ms >= HASH_MS),
        Figure(f"{what}: logins", f"{len(times.login) / seconds:.1f} /s"),
    ]
    for name, found in (("token endpoint", times.token), ("signingCert", times.certificate)):
        p95 = statistics.quantiles(found, n=100)[94]
        lines.append(Figure(f"{what}: {name}, p95", f"{p95:.1f} ms", goal=f"<= {GOAL_MS:.0f} ms", met=p95 <= GOAL_MS))
        lines.append(Figure(f"{what}: {name}, p50", f"{statistics.median(found):.1f} ms"))
    return lines


if __name__ == "__main__":
    url_, clients_, seconds_ = sys.argv[1:]
    result = asyncio.run(clients(url_, int(clients_), float(seconds_)))
    print(json.dumps({"token": result.token, "certificate": result.certificate, "login": result.login}))
