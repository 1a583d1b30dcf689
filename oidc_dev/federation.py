# SPDX-License-Identifier: Apache-2.0
"""Logging in through a provider of others: there, and back (OpenID Connect Core section 3.1, RFC 7636, RFC 9207, RFC 9700).

What is under way is in memory, bounded, ten minutes long; a restart ends it. Nothing of the other provider's tokens is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote, urlencode

from oidc_dev.guests import Guest
from oidc_dev.outside import TokenReader
from oidc_dev.parameters import Parameters
from oidc_dev.throttle import Rate, Throttle
from oidc_dev.upstream import Endpoints, Upstream, guest_of, parse_endpoints
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.strict import Fields, encode_base64, encode_base64url, parse_json, shown

LIFETIME_S: Final = 600
"""For a login at the other provider, second factor and all."""
MOST: Final = 1000
"""Logins under way; beyond it the oldest are dropped."""
DISCOVERY_S: Final = 300
"""A discovery document is asked for again after this time. Keys are fetched for every login: they are what counts."""
PER_ADDRESS: Final = Rate(burst=30, pause_s=1)
"""Logins that one address may begin; each costs a place among those under way."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login under way: everything that its end must fit."""

    upstream: str
    asked: Parameters
    cookie: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    expires: datetime


class Federation:
    """The providers of others that people may log in through."""

    def __init__(self, base: str, upstreams: Iterable[Upstream], reader: TokenReader) -> None:
        self._base = base
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._reader = reader
        self._waiting: OrderedDict[bytes, Attempt] = OrderedDict()
        self._known: dict[str, tuple[Endpoints, datetime]] = {}
        self._per_address = Throttle(PER_ADDRESS)

    def __iter__(self) -> Iterator[Upstream]:
        return iter(self._upstreams.values())

    def find(self, name: str) -> Upstream:
        """The provider of that name.

        Raises:
            NotFound: there is none.
        """
        if name not in self._upstreams:
            raise NotFound(f"there is no provider {shown(name)} to log in through")
        return self._upstreams[name]

    async def begin(self, name: str, asked: Parameters, *, cookie: str, address: str, now: datetime) -> str:
        """The URL that the browser with ``cookie`` goes to, to answer the authorization request ``asked``.

        State, nonce and verifier are 256 random bits each, used once. The redirect URI is another one for each provider.

        Raises:
            NotFound: no such provider. Refused: its discovery document will not do, or there were too many attempts.
            Unavailable: it cannot be reached.
        """
        upstream = self.find(name)
        if self._per_address.take(address, now_s=now.timestamp()):
            raise Refused("too many logins were begun from your address", "wait a minute")
        endpoints = await self._endpoints(upstream, now)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        expires = now + timedelta(seconds=LIFETIME_S)
        self._save(state, Attempt(name, asked, cookie, nonce, verifier, expires), now)
        query = {
            "response_type": "code",
            "client_id": upstream.client_id,
            "redirect_uri": self._redirect_uri(upstream),
            "scope": " ".join(dict.fromkeys(("openid", *upstream.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": encode_base64url(hashlib.sha256(verifier.encode("ascii")).digest()),
            "code_challenge_method": "S256",
        }
        if "max_age" in asked or {"login", "select_account"} & set(asked.get("prompt", "").split(" ")):
            query["prompt"] = "login"  # a session there is no more to the point than one here would be
        return f"{endpoints.authorization}{'&' if '?' in endpoints.authorization else '?'}{urlencode(query)}"

    async def finish(self, name: str, answer: Parameters, *, cookie: str, now: datetime) -> tuple[Parameters, Guest]:
        """What was asked for before, and who came back from the provider ``name`` with ``answer``.

        1. The state is one of ours, of this provider and this browser; it is used up, whatever comes of the rest.
        2. ``iss``, where the provider sends or promises it, is the provider's issuer.
        3. The provider did not refuse.
        4. The code is redeemed with the verifier, at the provider's own token endpoint.
        5. The ID token verifies with the provider's keys as they are now: issuer, audience, times.
        6. It carries the nonce, and it was made for us (``azp``).
        7. What it says, and userinfo where the row wants that, makes a guest: :func:`oidc_dev.upstream.guest_of`.

        Raises:
            NotFound: no such provider. Malformed, Refused: says which step, and why. Unavailable: it cannot be reached.
        """
        upstream = self.find(name)
        attempt = self._redeem(answer.get("state", ""), name, cookie, now)  # 1
        endpoints = await self._endpoints(upstream, now)
        _check_sender(answer, upstream, endpoints)  # 2
        if "error" in answer:  # 3
            said = shown(f"{answer['error']}: {answer.get('error_description', '')}".rstrip(": "), 300)
            raise Refused(f"{upstream.label} refused the login: {said}", "log in again")
        if "code" not in answer:
            raise Malformed(f"the answer of {upstream.label} has no code")
        tokens = await self._tokens(upstream, endpoints, attempt, answer["code"])  # 4
        key_set = await upstream.outside.fetch(endpoints.keys)
        token = tokens.text("id_token", limit=limits.IDENTITY_TOKEN)
        claims = await self._reader.read(
            token, key_set, issuer=upstream.issuer, audience=upstream.client_id, now=now
        )  # 5
        _check_addressee(claims, attempt, upstream)  # 6
        if upstream.userinfo:
            claims = await _with_userinfo(claims, tokens, upstream, endpoints)
        return attempt.asked, guest_of(claims, upstream)  # 7

    # --- what is under way -----------------------------------------------------------------------------------
    def _save(self, state: str, attempt: Attempt, now: datetime) -> None:
        while self._waiting and next(iter(self._waiting.values())).expires <= now:
            self._waiting.popitem(last=False)
        self._waiting[_hashed(state)] = attempt
        while len(self._waiting) > MOST:
            self._waiting.popitem(last=False)

    def _redeem(self, state: str, name: str, cookie: str, now: datetime) -> Attempt:
        attempt = self._waiting.pop(_hashed(state), None)
        if attempt is None or attempt.upstream != name or now >= attempt.expires:
            raise Refused("this login is not known here, was ended before, or took too long")
        if not hmac.compare_digest(attempt.cookie.encode(), cookie.encode("utf-8", "replace")):
            raise Refused("this login was begun in another browser")
        return attempt

    # --- the other provider -----------------------------------------------------------------------------------
    def _redirect_uri(self, upstream: Upstream) -> str:
        return f"{self._base}/upstream/{upstream.name}/callback"

    async def _endpoints(self, upstream: Upstream, now: datetime) -> Endpoints:
        known = self._known.get(upstream.name)
        if known and now < known[1]:
            return known[0]
        url = f"{upstream.issuer.rstrip('/')}/.well-known/openid-configuration"
        endpoints = parse_endpoints(await upstream.outside.fetch(url), upstream)
        self._known[upstream.name] = endpoints, now + timedelta(seconds=DISCOVERY_S)
        return endpoints

    async def _tokens(self, upstream: Upstream, endpoints: Endpoints, attempt: Attempt, code: str) -> Fields:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri(upstream),
            "code_verifier": attempt.verifier,
        }
        headers: Mapping[str, str] = {}
        if upstream.client_secret:  # RFC 6749 section 2.3.1: both halves are form-encoded first
            pair = f"{quote(upstream.client_id, safe='')}:{quote(upstream.client_secret, safe='')}"
            headers = {"Authorization": f"Basic {encode_base64(pair.encode('ascii'))}"}
        else:
            form["client_id"] = upstream.client_id
        try:
            body = await upstream.outside.fetch(endpoints.token, form=form, headers=headers)
        except Refused as error:
            raise Refused(f"{upstream.label} did not take back its own code: {error.message}", error.hint) from error
        return _parse(body, f"the token answer of {upstream.label}")


def _check_sender(answer: Parameters, upstream: Upstream, endpoints: Endpoints) -> None:
    found = answer.get("iss", "")
    if found != upstream.issuer and (found or endpoints.answers_with_issuer):
        raise Refused(
            f"the answer is from {shown(found, 200) if found else 'nobody'}, expected {shown(upstream.issuer, 200)}",
            "somebody may have mixed two providers up (RFC 9207); log in again",
        )


def _check_addressee(claims: Fields, attempt: Attempt, upstream: Upstream) -> None:
    nonce = claims.raw().get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode("utf-8"), attempt.nonce.encode()):
        raise Refused(f"the token of {upstream.label} carries another nonce: it was not made for this login")
    if claims.raw().get("azp", upstream.client_id) != upstream.client_id:
        raise Refused(f"the token of {upstream.label} was made for another client (azp)")


async def _with_userinfo(claims: Fields, tokens: Fields, upstream: Upstream, endpoints: Endpoints) -> Fields:
    """The claims, and those of the userinfo endpoint that the token lacks (OpenID Connect Core section 5.3.2)."""
    bearer = f"Bearer {tokens.text('access_token', limit=limits.IDENTITY_TOKEN)}"
    body = await upstream.outside.fetch(endpoints.userinfo, headers={"Authorization": bearer})
    more = _parse(body, f"the userinfo of {upstream.label}")
    if more.text("sub") != claims.text("sub"):
        raise Refused(f"the userinfo of {upstream.label} speaks of somebody else than its token")
    return Fields.of({**more.raw(), **claims.raw()}, f"the claims of {upstream.label}")


def _parse(body: bytes, what: str) -> Fields:
    return Fields.of(parse_json(body, what=what, limit=limits.TOKEN_KEY_SET, floats=True), what)


def _hashed(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "replace")).digest()
