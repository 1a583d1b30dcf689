# SPDX-License-Identifier: Apache-2.0
"""Authorization at a registry: what is sent, to whom, and how a token is got.

Sources: RFC 7617 (Basic); the distribution project's "Token Authentication Specification" and "OAuth2 Token Authentication";
RFC 6750.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final
from urllib.parse import urlencode

from client.oci.challenge import Challenge, parse_challenges
from client.oci.credentials import Keychain
from client.oci.options import Credential, RegistryOptions
from client.oci.reference import Reference
from client.oci.targets import Origin, hears_password, origin_of, shown_url, verify_target
from client.oci.transport import Answer, Request, Wire
from client.transport import ServiceRefused
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.strict import Fields, encode_base64, parse_json, shown
from sigcore.values import dataclass

_TOKEN_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=")
_LIFETIME_S: Final = 60
"""Of a token whose service does not say; the specification's own default."""
_CLIENT_ID: Final = "sigbox"


@dataclass(frozen=True, slots=True)
class _Held:
    """An ``Authorization`` value and the monotonic moment, in seconds, until which it is used."""

    value: str
    until: float


class Authorizer:
    """What one command knows about the registries that it talks to. Nothing is kept beyond the command."""

    def __init__(self, options: RegistryOptions, keychain: Keychain, wire: Wire) -> None:
        self._options = options
        self._keychain = keychain
        self._wire = wire
        self._held: dict[tuple[str, str, str], _Held] = {}
        self._secrets: set[str] = set()
        self._anonymous: set[str] = set()
        self._lock = asyncio.Lock()

    def known(self, ref: Reference, actions: str) -> str:
        """The ``Authorization`` that worked before for these actions on this repository; empty: none."""
        held = self._held.get((ref.registry, ref.repository, actions))
        return held.value if held and held.until > time.monotonic() else ""

    async def answer(self, ref: Reference, actions: str, asked: Answer, tried: str) -> str:
        """An ``Authorization`` for the registry that answered 401; empty: there is none, so 401 it is.

        1. What another request has got meanwhile.
        2. A token for the registry itself, if that is what the user has.
        3. For a ``Bearer`` challenge: a token of the service at ``realm``.
        4. For a ``Basic`` challenge: user and password.

        Args:
            ref: the repository.
            actions: what is done there: ``pull``, or several joined by commas.
            asked: the answer with its challenges; of the registry's own origin.
            tried: the ``Authorization`` that was not good enough; empty: none was sent.

        Raises:
            Refused: no scheme that is known here, a realm that may not have the password, a token service that says no.
            Unavailable: the token service. Malformed: its answer, or what the credentials are kept in.
        """
        async with self._lock:
            known = self.known(ref, actions)
            if known not in ("", tried):
                return known
            credential = self._options.credential or await self._keychain.find(ref)
            self._secrets.update(credential.secrets if credential else ())
            if credential is None:
                self._anonymous.add(ref.registry)
            held = await self._held_for(ref, actions, asked, credential)
            self._secrets.add(held.value.partition(" ")[2])
            self._held[ref.registry, ref.repository, actions] = held
            return "" if held.value == tried else held.value

    def is_anonymous(self, ref: Reference) -> bool:
        """Whether the registry asked for credentials and there were none."""
        return ref.registry in self._anonymous

    def discreet(self, text: str) -> str:
        """``text`` without the secrets that were sent, which a registry may repeat in its answers."""
        for secret in sorted(self._secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, "(secret)")
        return text

    async def _held_for(self, ref: Reference, actions: str, asked: Answer, credential: Credential | None) -> _Held:
        if credential and credential.registry_token:
            return _Held(
                f"Bearer {_checked(credential.registry_token, 'the registry token of the user')}", float("inf")
            )
        challenges = {one.scheme: one for one in reversed(parse_challenges(", ".join(asked.all("www-authenticate"))))}
        if "bearer" in challenges:
            return await self._token(ref, actions, asked, challenges["bearer"], credential)
        if "basic" in challenges:
            return _Held(_basic(credential) if credential and credential.password else "", float("inf"))
        raise Refused(
            f"{shown_url(asked.url)} asks for credentials of the kinds {shown(sorted(challenges), 200)}",
            "known here are Bearer and Basic",
        )

    async def _token(
        self, ref: Reference, actions: str, asked: Answer, challenge: Challenge, credential: Credential | None
    ) -> _Held:
        """A token of the service that the challenge names.

        1. Its URL keeps the rules for where a registry may send us, and may hear the password, if there is one.
        2. The scope is what we do; a service at the registry's own host gets the scope that the registry asked for.
        3. With an identity token: OAuth 2's refresh grant. Else GET, with user and password where there are any.
        4. No redirect is followed.
        """
        realm = challenge.get("realm").partition("#")[0]
        registry = origin_of(asked.url)
        origin = verify_target(
            registry, asked.url, realm, what="the token service", allow_http=self._options.http_allowed
        )
        if credential and not hears_password(registry, origin, self._options.token_hosts):
            raise _unrelated(ref, realm, origin)
        scope = f"repository:{ref.repository}:{actions}"
        if origin.host == registry.host:
            scope = challenge.get("scope") or scope
        form = [("service", challenge.get("service")), *(("scope", one) for one in scope.split())]
        request = _token_request(realm, [(name, value) for name, value in form if value], credential)
        return _parse_token(await self._wire.send(request))


def _unrelated(ref: Reference, realm: str, origin: Origin) -> Refused:
    return Refused(
        f"{ref.registry} wants its password to be sent to {shown_url(realm)}, a host that does not belong to it by its name",
        f"nothing was sent; if that is its token service, say so: --registry-token-host {origin.host}",
    )


def _token_request(realm: str, form: list[tuple[str, str]], credential: Credential | None) -> Request:
    headers = {"Accept": "application/json"}
    if credential and credential.identity_token:
        grant = [
            ("grant_type", "refresh_token"),
            ("refresh_token", credential.identity_token),
            ("client_id", _CLIENT_ID),
        ]
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Request("POST", realm, headers, urlencode([*form, *grant]).encode(), limits.OCI_TOKEN)
    if credential and credential.password:
        headers["Authorization"] = _basic(credential)
    return Request("GET", f"{realm}{'&' if '?' in realm else '?'}{urlencode(form)}", headers, None, limits.OCI_TOKEN)


def _parse_token(answer: Answer) -> _Held:
    service = f"the token service {shown_url(answer.url)}"
    if answer.status == 429 or answer.status >= 500:
        raise Unavailable(f"{service} answered {answer.status}", "try again later")
    if answer.status != 200:
        raise ServiceRefused(
            f"{service} answered {answer.status}",
            "is the password right, and is the user allowed?",
            status=answer.status,
        )
    try:
        value = parse_json(answer.body, what="the answer", limit=limits.OCI_TOKEN, floats=True)
        fields = Fields.of(value, "the answer")
        name = "token" if fields.raw().get("token") else "access_token"
        token = _checked(fields.text(name, limit=limits.OCI_TOKEN), "its token")
        seconds = fields.integer("expires_in") if fields.raw().get("expires_in") else _LIFETIME_S
    except SigError:
        # The chain is cut: it may show the token.
        raise Malformed(f"{service} did not answer with a token as the specification has it") from None
    return _Held(f"Bearer {token}", time.monotonic() + max(0, min(seconds, 3600) - 5))


def _basic(credential: Credential) -> str:
    return f"Basic {encode_base64(f'{credential.username}:{credential.password}'.encode())}"


def _checked(token: str, what: str) -> str:
    if not token or set(token) - _TOKEN_CHARACTERS:
        raise Malformed(f"{what} has characters that no token has")
    return token
