# SPDX-License-Identifier: Apache-2.0
"""The grants of machines: a secret of ours (RFC 6749 section 4.4), or the token of an outside issuer (RFC 8693).

What has to be looked up for them, in a file or at another issuer, was looked up before Authlib is asked: ``request.machine``,
``request.exchanged``.
"""

from __future__ import annotations

from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]  # Authlib brings no types
    BaseGrant,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    TokenEndpointMixin,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc6749.grants import (  # type: ignore[import-untyped]  # the same
    ClientCredentialsGrant,
)

from oidc_dev.claims import Identity
from oidc_dev.clients import EXCHANGE, MACHINE, PUBLIC, Client

_TYPE: Final = "urn:ietf:params:oauth:token-type:"
ID_TOKEN: Final = f"{_TYPE}id_token"
TOKEN_TYPES: Final = (ID_TOKEN, f"{_TYPE}jwt", f"{_TYPE}access_token")
"""What a token may be called on its way in and out: each of ours is all three (section 3)."""


class MachineGrant(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib brings no types
    """A token about the machine itself."""

    TOKEN_ENDPOINT_AUTH_METHODS = (MACHINE,)

    def validate_requested_scope(self) -> None:
        """``openid``, or nothing said."""
        _scope(self.request)

    def create_token_response(self) -> tuple[int, Any, Any]:
        """The token response; an email is never in it."""
        user = (Identity(subject=self.request.machine.subject), self.request.now)
        return 200, self.generate_token(user=user, scope="openid"), self.TOKEN_RESPONSE_HEADER


class ExchangeGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]  # Authlib brings no types
    """A token of ours for a token of an issuer that the broker knows."""

    GRANT_TYPE = EXCHANGE
    TOKEN_ENDPOINT_AUTH_METHODS = (PUBLIC,)

    def validate_token_request(self) -> None:
        """Section 2.1.

        1. The client names itself. It needs no secret: the token that it brings is the proof.
        2. Nobody acts for somebody else here, and nobody chooses for whom a token is.
        3. The types are such that ours can be.
        4. The broker has taken the token.
        """
        client = self.authenticate_token_endpoint_client()  # 1
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("this client exchanges no tokens")
        self.request.client = client
        asked = self.request.payload.data
        _refuse_targets(asked, client)  # 2
        self._scope = _scope(self.request)
        self._check_types(asked)  # 3
        exchanged = self.request.exchanged
        if not isinstance(exchanged, Identity):  # 4
            raise InvalidRequestError(f"the subject_token is not taken: {exchanged}")

    def create_token_response(self) -> tuple[int, Any, Any]:
        """Section 2.2.1."""
        body = self.generate_token(user=(self.request.exchanged, self.request.now), scope=self._scope)
        return 200, {**body, "issued_token_type": self._issued}, self.TOKEN_RESPONSE_HEADER

    def _check_types(self, asked: Any) -> None:
        if not asked.get("subject_token"):
            raise InvalidRequestError("the request has no subject_token")
        if asked.get("subject_token_type") not in TOKEN_TYPES:
            raise InvalidRequestError("the subject_token_type must be that of an ID token, a JWT or an access token")
        self._issued = asked.get("requested_token_type", ID_TOKEN)
        if self._issued not in TOKEN_TYPES:
            raise InvalidRequestError("the requested_token_type must be that of an ID token, a JWT or an access token")


def _refuse_targets(asked: Any, client: Client) -> None:
    if "actor_token" in asked or "actor_token_type" in asked:
        raise InvalidRequestError("an actor_token is not supported")
    if "resource" in asked or asked.get("audience", client.client_id) != client.client_id:
        raise OAuth2Error(f"tokens are for the audience {client.client_id} only", error="invalid_target")


def _scope(request: Any) -> str:
    scope: str | None = request.client.get_allowed_scope(request.payload.scope or "openid email")
    if scope is None:
        raise InvalidScopeError("the scope must contain openid")
    return scope
