# SPDX-License-Identifier: Apache-2.0
"""A03, O24: nothing that a request says makes the CA look up a name or open a connection. The interpreter itself is the witness."""

from __future__ import annotations

import sys
from contextlib import contextmanager

import pytest

from ca.authority import Authority
from ca.discovery import DiscoveredKeys, MatchedKeys
from ca.issuers import Issuer, IssuerTable, Pattern, PinnedKeys
from ca.possession import SignedSubject
from ca.transport import Access
from sigcore import keys
from sigcore.errors import SigError, Unavailable
from tests.unit.ca import fakes
from tests.unit.ca.test_fulcio_config import EKS, MISSES
from tests.unit.ca.tokens import ISSUER, NOW, SECONDS, b64, claims, signed, unsigned

EXACT = "https://127.0.0.1:9/idp"
KEY = keys.generate_p256()
PROOF = SignedSubject(KEY.public_key(), keys.sign(KEY, b"alice@example.com"))
EVIL = "https://127.0.0.1:9/evil"

_seen: list[str] | None = None


def _witness(event: str, arguments: tuple) -> None:
    if _seen is not None and event.startswith(("socket.connect", "socket.get", "socket.sendto", "urllib.Request")):
        _seen.append(f"{event} {arguments[-1] if event == 'socket.connect' else arguments}")


sys.addaudithook(_witness)  # stays, and does nothing outside of `watched`


@contextmanager
def watched():
    """What was looked up or connected to meanwhile."""
    global _seen  # noqa: PLW0603 - an audit hook cannot be taken away again
    _seen = found = []
    try:
        yield found
    finally:
        _seen = None


@pytest.fixture
def authority(issuer_key):
    chain, log = fakes.make_chain(), fakes.FakeLog()
    table = IssuerTable(
        (
            Issuer(ISSUER, PinnedKeys([("key-1", issuer_key.public_key())])),
            Issuer(EXACT, DiscoveredKeys(EXACT, Access())),
        ),
        [Pattern(Issuer(EKS, kind="kubernetes"), MatchedKeys(lambda url: DiscoveredKeys(url, Access())).of)],
    )
    return Authority(key=chain.key, chain=chain.certificates, issuers=table, log=log, log_key=log.key.public_key())


def hostile(key):
    """Tokens that point somewhere: in the header, in the issuer, in claims; for each issuer that there is."""
    places = [
        EVIL,
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "//evil.example",
        "ftp://evil.example",
        "\\\\evil\\x",
    ]
    for name in ("jku", "x5u", "jwk", "x5c", "kid", "typ", "cty", "zip", "url", "iss", "alg"):
        for place in places:
            for value in (place, {"kty": "RSA", "x5u": place}, [place]):
                yield signed(key, claims(), **{name: value})
    issuers = [url for _, url in MISSES] + [
        *(
            f"{EXACT}{end}"
            for end in ("/", "?", "#", "\n", "\x00", " ", "/..", "%2f", "?x=1", "/.well-known/openid-configuration")
        ),
        *(url for place in places for url in (place, f"{place}?{EXACT}", f"{EXACT}@{place}", f"{EXACT} {place}")),
        EXACT.upper(),
        EXACT.replace("https", "http"),
        f" {EXACT}",
        EVIL,
    ]
    for issuer in issuers:
        yield signed(key, claims(iss=issuer))
        yield signed(key, claims(iss=[EXACT, issuer]))
        yield f"{unsigned({'alg': 'none', 'kid': 'x'}, claims(iss=issuer))}.AAAA"
        yield signed(key, claims(), iss=issuer)
        for place in places[:3]:
            yield signed(key, claims(iss=issuer), kid=place)
    for issuer in (EXACT, "https://oidc.eks.a.amazonaws.com/id/b"):
        for changes in (
            {"aud": EVIL},
            {"aud": ["sigstore", EVIL]},
            {"exp": SECONDS - 60},
            {"iat": SECONDS + 60},
            {"sub": ""},
        ):
            yield signed(key, claims(iss=issuer, **changes))
        for algorithm in ("none", "HS256", "RS512", EVIL):
            yield signed(key, claims(iss=issuer), algorithm)
        for name in ("jku", "x5u", "jwk", "x5c", "crit", "b64"):
            yield signed(key, claims(iss=issuer), **{name: EVIL})
    for claim in ("jwks_uri", "jku", "picture", "website", "profile", "iss_alias", "_claim_sources"):
        for place in places:
            yield signed(key, claims(**{claim: place, "aud": place}))
    for place in places:
        yield b64(place.encode())
        yield place


async def answer(authority, token):
    """The kind of the refusal, or None."""
    try:
        await authority.issue(token, PROOF, now=NOW)
    except SigError as error:
        return type(error)
    return None


async def test_five_hundred_hostile_requests_open_no_connection(authority, issuer_key):
    tokens = list(hostile(issuer_key))
    with watched() as seen:
        answers = [await answer(authority, token) for token in tokens]
    assert seen == []
    assert Unavailable not in answers  # which is what a fetch would end in here
    # Members without meaning change nothing about a good token; all others are refused.
    assert len(answers) - answers.count(None) >= 500, (len(answers), answers.count(None))


async def test_the_witness_sees_a_fetch(authority, issuer_key):
    with watched() as seen, pytest.raises(Unavailable):
        await authority.issue(signed(issuer_key, claims(iss=EXACT)), PROOF, now=NOW)
    assert any("127.0.0.1" in event and "9" in event for event in seen)
