# SPDX-License-Identifier: Apache-2.0
"""Authlib's authorization server without a web framework: plain values in, a plain answer out.

Authlib brings the order of the checks and the grants (RFC 6749, RFC 7636, RFC 8628). Three of its habits are changed here: it
quotes what was sent in an error's description and then refuses its own description when that holds unusual characters, it asks
for https by the URI of the request, and it takes a client without a secret only when the client does not use HTTP Basic.

Imported when the first login begins: Authlib takes 70 ms.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]  # Authlib brings no types
    AuthorizationServer,
    OAuth2Error,
    OAuth2Request,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]  # the same

from oidc_dev.claims import LIFETIME_S, Identity
from oidc_dev.clients import CLIENTS, EXCHANGE, MACHINE, PUBLIC, Client, Registered
from oidc_dev.codes import Codes
from oidc_dev.credentials import name_oneself, prove_machine, secret_machine
from oidc_dev.device_grant import DeviceEndpoint, DeviceGrant
from oidc_dev.devices import Devices
from oidc_dev.grants import CodeGrant, S256Only
from oidc_dev.machine_grants import ExchangeGrant, MachineGrant
from oidc_dev.machines import Machine, Machines
from oidc_dev.parameters import Parameters, parse_parameters
from oidc_dev.ports import Broker
from oidc_dev.provider import Provider
from oidc_dev.reply import Reply
from oidc_dev.throttle import Rate, Throttle, network_of
from sigcore.errors import Malformed, Refused
from sigcore.strict import shown

PER_ADDRESS: Final = Rate(burst=20, pause_s=3)
"""Device logins that begin at one address: in their ten minutes fewer than there is room for."""
_SECURE: Final = "https://localhost/"
"""What Authlib is told to have been asked at. Whether TLS stands in front is decided where the provider is given its URL."""
_NOT_QUOTABLE: Final = re.compile(r"[^ !#-\[\]-~]")
"""What RFC 6749 section 5.2 has no place for in a description."""

_log = logging.getLogger(__name__)


class Request(OAuth2Request):  # type: ignore[misc]  # Authlib brings no types
    """A request to one of the endpoints: its parameters, its ``Authorization`` header, and the moment it is judged at.

    ``machine`` and ``exchanged`` are what was looked up for it: the machine whose secret it carries, and the identity of the token
    that it brings, or why that is not taken.
    """

    def __init__(self, parameters: Parameters, *, now: datetime, authorization: str = "", address: str = "") -> None:
        super().__init__("POST", _SECURE, headers={"Authorization": authorization} if authorization else {})
        self.payload = BasicOAuth2Payload(dict(parameters))
        self.now = now
        self.address = address
        self.machine: Machine | None = None
        self.exchanged: Identity | str = ""

    @property
    def args(self) -> Mapping[str, str]:
        """The parameters; whether they came in a query or in a form was decided before."""
        return self.payload.data  # type: ignore[no-any-return]  # Authlib brings no types

    @property
    def form(self) -> Mapping[str, str]:
        """The same."""
        return self.args


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib brings no types
    """The provider's OAuth endpoints. Token exchange is there with a broker, client credentials where machines are kept."""

    def __init__(
        self,
        provider: Provider,
        machines: Machines | None = None,
        broker: Broker | None = None,
        registered: Registered | None = None,
    ) -> None:
        super().__init__()
        self.provider = provider
        self.codes = registered.codes if registered else Codes()
        self._clients = CLIENTS if registered is None else {**CLIENTS, registered.client.client_id: registered.client}
        self.devices = Devices()
        self._beginnings = Throttle(PER_ADDRESS)
        self._machines = machines
        self._broker = broker
        self.register_client_auth_method(PUBLIC, name_oneself)
        self.register_client_auth_method(MACHINE, prove_machine)
        self.register_token_generator("default", self._tokens)
        self.register_grant(CodeGrant, [S256Only()])
        self.register_grant(DeviceGrant)
        self.register_endpoint(DeviceEndpoint)
        if machines:
            self.register_grant(MachineGrant)
        if broker:
            self.register_grant(ExchangeGrant)

    def now(self) -> datetime:
        """The moment that a request is judged at: read once."""
        return self.provider.clock()

    async def redeem(self, data: bytes, authorization: str, *, now: datetime) -> Reply:
        """The answer of the token endpoint to the form ``data`` with this ``Authorization`` header.

        Raises:
            Malformed: ``data`` is no form. What is wrong with a form is answered, in the words of RFC 6749 section 5.2.
            Unavailable: what it must be held against cannot be read now.
        """
        asked = Request(parse_parameters(data, what="the token request"), now=now, authorization=authorization)
        grant_type = asked.payload.grant_type
        if grant_type == "client_credentials" and self._machines and (name := secret_machine(asked)):
            asked.machine = await asyncio.to_thread(self._machines.find, name)
        if grant_type == EXCHANGE and self._broker and (token := asked.form.get("subject_token")):
            asked.exchanged = await _identified(self._broker, token, now)
        reply: Reply = self.create_token_response(asked)
        return reply

    def begin_device(self, data: bytes, authorization: str, address: str, *, now: datetime) -> Reply:
        """The answer of the device authorization endpoint (RFC 8628 section 3.2) to somebody at ``address``.

        Raises:
            Malformed: ``data`` is no form.
        """
        parameters = parse_parameters(data, what="the device authorization request")
        wait_s = self._beginnings.take(network_of(address), now_s=now.timestamp())
        if wait_s:
            body = {"error": "slow_down", "error_description": "too many logins begin at this address"}
            return Reply(429, body, (("Retry-After", str(-int(-wait_s // 1))),))
        asked = Request(parameters, now=now, authorization=authorization, address=address)
        reply: Reply = self.create_endpoint_response(DeviceEndpoint.ENDPOINT_NAME, asked)
        return reply

    def query_client(self, client_id: str) -> Client | None:
        """The registered client of that id."""
        return self._clients.get(client_id)

    def get_authorization_grant(self, request: Request) -> Any:
        """Authlib's, after a check whose message quotes nothing."""
        if request.payload.response_type != "code":
            uri = request.payload.redirect_uri
            client = self.query_client(request.payload.client_id)
            checked = uri if client and uri and client.check_redirect_uri(uri) else None
            description = "the response type must be code"
            raise OAuth2Error(description, redirect_uri=checked, error="unsupported_response_type")
        return super().get_authorization_grant(request)

    def get_token_grant(self, request: Request) -> Any:
        """Authlib's, with a reason in the refusal."""
        try:
            return super().get_token_grant(request)
        except UnsupportedGrantTypeError as error:
            known = ", ".join(sorted(grant.GRANT_TYPE for grant, _ in self._token_grants))
            error.description = f"the grant type must be one of {known}"
            raise

    def _tokens(
        self, *, client: Client, user: tuple[Identity, datetime], scope: str, grant_type: str, **_unused: object
    ) -> dict[str, Any]:
        """The token response. sigstore-python reads ``access_token``, everybody else ``id_token``: they are one token.

        Each leaves a line in the log: about whom, and by which grant.
        """
        identity, now = user
        _log.info("token about %s by %s", shown(identity.email or identity.subject), grant_type)
        token = self.provider.token(identity, audience=client.client_id, now=now)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": LIFETIME_S,
            "id_token": token,
            "scope": scope,
        }

    def create_oauth2_request(self, request: Request) -> Request:
        """Made by the caller already."""
        return request

    def handle_response(self, status: int, body: Mapping[str, Any] | str, headers: list[tuple[str, str]]) -> Reply:
        """Authlib's triple as a value."""
        return Reply(status, body, tuple(headers))

    def save_token(self, token: object, request: object) -> None:
        """Tokens are signed, not remembered."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""


async def _identified(broker: Broker, token: str, now: datetime) -> Identity | str:
    """Whom the token speaks of here, or why it is not taken."""
    try:
        return await broker.identify(token, now=now)
    except (Malformed, Refused) as error:
        _log.warning("an outside token is refused: %s", error)
        return _NOT_QUOTABLE.sub("'", str(error))
