# SPDX-License-Identifier: Apache-2.0
"""Authlib's authorization server without a web framework: plain values in, a plain answer out.

Authlib brings the order of the checks and the grants (RFC 6749, RFC 7636). Three of its habits are changed here: it quotes
what was sent in an error's description and then refuses its own description when that holds unusual characters, it asks for
https by the URI of the request, and it takes a client without a secret only when the client does not use HTTP Basic.

Imported when the first login begins: Authlib takes 70 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]  # Authlib brings no types
    AuthorizationServer,
    InvalidClientError,
    OAuth2Error,
    OAuth2Request,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload  # type: ignore[import-untyped]  # the same

from oidc_dev.claims import LIFETIME_S, Identity
from oidc_dev.clients import CLIENTS, Client
from oidc_dev.codes import Codes
from oidc_dev.grants import CodeGrant, S256Only
from oidc_dev.parameters import Parameters, parse_parameters
from oidc_dev.provider import Provider
from oidc_dev.reply import Reply
from sigcore.errors import Malformed
from sigcore.strict import parse_base64

_SECURE: Final = "https://localhost/"
"""What Authlib is told to have been asked at. Whether TLS stands in front is decided where the provider is given its URL."""


class Request(OAuth2Request):  # type: ignore[misc]  # Authlib brings no types
    """A request to either endpoint: its parameters, its ``Authorization`` header, and the moment it is judged at."""

    def __init__(self, parameters: Parameters, *, now: datetime, authorization: str = "") -> None:
        super().__init__("POST", _SECURE, headers={"Authorization": authorization} if authorization else {})
        self.payload = BasicOAuth2Payload(dict(parameters))
        self.now = now

    @property
    def args(self) -> Mapping[str, str]:
        """The parameters; whether they came in a query or in a form was decided before."""
        return self.payload.data  # type: ignore[no-any-return]  # Authlib brings no types

    @property
    def form(self) -> Mapping[str, str]:
        """The same."""
        return self.args


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib brings no types
    """The provider's two OAuth endpoints. Grants that a later version adds are registered beside the first."""

    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider
        self.codes = Codes()
        self.register_client_auth_method("public", _name_oneself)
        self.register_token_generator("default", self._tokens)
        self.register_grant(CodeGrant, [S256Only()])

    def redeem(self, data: bytes, authorization: str, *, now: datetime) -> Reply:
        """The answer of the token endpoint to the form ``data`` with this ``Authorization`` header.

        Raises:
            Malformed: ``data`` is no form. What is wrong with a form is answered, in the words of RFC 6749 section 5.2.
        """
        asked = Request(parse_parameters(data, what="the token request"), now=now, authorization=authorization)
        reply: Reply = self.create_token_response(asked)
        return reply

    def query_client(self, client_id: str) -> Client | None:
        """The registered client of that id."""
        return CLIENTS.get(client_id)

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
            error.description = "the grant type must be authorization_code"
            raise

    def _tokens(
        self, *, client: Client, user: tuple[Identity, datetime], scope: str, **_unused: object
    ) -> dict[str, Any]:
        """The token response. sigstore-python reads ``access_token``, everybody else ``id_token``: they are one token."""
        identity, now = user
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


def _name_oneself(query_client: Callable[[str], Client | None], request: Request) -> Client:
    """The client that the request names: by HTTP Basic, in the form, or the same in both.

    Go tries Basic with an empty password first, sigstore-python sends nothing else, sigstore-js sends a form. A secret is
    neither asked for nor looked at: a program that everybody can read has none.
    """
    header = request.headers.get("Authorization", "")
    in_header = _basic_user(header) if header else ""
    in_form = request.payload.client_id or ""
    if in_header and in_form and in_header != in_form:
        raise InvalidClientError("the Authorization header and the form name different clients", status_code=401)
    client = query_client(in_header or in_form)
    if client is None:
        raise InvalidClientError("no such client; expected the client_id sigstore", status_code=401 if header else 400)
    return client


def _basic_user(header: str) -> str:
    """The user of ``Basic base64(user:password)`` (RFC 7617), percent-decoded (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, colon, _ = parse_base64(encoded, what="the credentials").decode("utf-8").partition(":")
    except (Malformed, UnicodeDecodeError):
        colon = user = ""
    if scheme.lower() != "basic" or not colon or not user:
        raise InvalidClientError("the Authorization header must be Basic with client_id:secret", status_code=401)
    return unquote_plus(user)
