# SPDX-License-Identifier: Apache-2.0
"""The grant of people with a browser: the authorization code with PKCE (RFC 6749 section 4.1, RFC 7636, OpenID Connect Core
section 3.1).
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]  # Authlib brings no types
    InvalidRequestError,
    OAuth2Error,
)
from authlib.oauth2.rfc6749.grants import (  # type: ignore[import-untyped]  # the same
    AuthorizationCodeGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge  # type: ignore[import-untyped]  # the same

from oidc_dev.claims import Identity
from oidc_dev.clients import PUBLIC, Client
from oidc_dev.codes import LIFETIME_S, OUT_OF_BAND_LIFETIME_S, AuthorizationCode
from oidc_dev.guests import GuestSession, identity_of_user
from oidc_dev.redirects import OUT_OF_BAND
from oidc_dev.sessions import Session

NONCE: Final = 512
"""Characters; it is kept with the code and goes into the token. Clients send 22 to 43."""
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)
"""SHA-256 in base64url."""
_UNDERSTOOD_NOT: Final = ("request", "request_uri", "registration")
"""OpenID Connect Core sections 6 and 7.2.1: to be refused by name when they are not supported."""


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib brings no types
    """Authorization codes: 256 bits, a minute long, redeemed once; bound to client, redirect URI and PKCE challenge."""

    TOKEN_ENDPOINT_AUTH_METHODS = (PUBLIC,)

    @staticmethod
    def validate_authorization_redirect_uri(request: Any, client: Client) -> str:
        """The redirect URI, if it is allowed. The refusal does not quote it, and nothing is ever sent there."""
        uri: str = request.payload.redirect_uri or ""
        if not client.check_redirect_uri(uri):
            description = (
                "the redirect_uri must be http://localhost or a loopback address, with any port and path and without "
                "query, fragment and user; or urn:ietf:wg:oauth:2.0:oob"
            )
            raise InvalidRequestError(description)
        return uri

    def validate_authorization_request(self) -> str:
        """Authlib's checks, and those that OpenID Connect adds; the answer is the redirect URI."""
        uri: str = super().validate_authorization_request()
        asked = self.request.payload.data
        for name in _UNDERSTOOD_NOT:
            if name in asked:
                raise OAuth2Error(f"{name} is not supported", redirect_uri=uri, error=f"{name}_not_supported")
        if asked.get("response_mode", "query") != "query":
            raise InvalidRequestError("the response mode must be query", redirect_uri=uri)
        if len(asked.get("nonce", "")) > NONCE:
            raise InvalidRequestError(f"the nonce is longer than {NONCE} characters", redirect_uri=uri)
        return uri

    def create_authorization_response(
        self, redirect_uri: str, grant_user: Session | GuestSession | None
    ) -> tuple[int, Any, list[Any]]:
        """A redirect with the code, or, out of band, the bare code."""
        if redirect_uri != OUT_OF_BAND or grant_user is None:
            response: tuple[int, Any, list[Any]] = super().create_authorization_response(redirect_uri, grant_user)
            return response
        self.request.user = grant_user
        code = self.generate_authorization_code()
        self.save_authorization_code(code, self.request)
        return 200, {"code": code}, []

    def generate_authorization_code(self) -> str:
        """Text that can be put into a URL, and copied by a double click."""
        return secrets.token_hex(32)

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Bind the code to everything that its redemption must repeat."""
        asked, now, uri = request.payload.data, request.now, request.payload.redirect_uri
        lifetime = timedelta(seconds=OUT_OF_BAND_LIFETIME_S if uri == OUT_OF_BAND else LIFETIME_S)
        granted = AuthorizationCode(
            client_id=request.client.client_id,
            redirect_uri=uri,
            scope=request.scope,
            identity=identity_of_user(
                request.user.account, scope=request.scope, nonce=asked.get("nonce", ""), logged_in=request.user.since
            ),
            code_challenge=asked["code_challenge"],
            expires=now + lifetime,
        )
        self.server.codes.save(code, granted, now=now)

    def query_authorization_code(self, code: str, client: Client) -> AuthorizationCode | None:
        """Redeem it, here and not after the other checks: a second try finds nothing, whatever became of the first."""
        found: AuthorizationCode | None = self.server.codes.redeem(code, client.client_id, now=self.request.now)
        return found

    def delete_authorization_code(self, authorization_code: AuthorizationCode) -> None:
        """It is gone already."""

    def authenticate_user(self, authorization_code: AuthorizationCode) -> tuple[Identity, datetime]:
        """Whom the tokens speak of, and from when on."""
        return authorization_code.identity, self.request.now


class S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib brings no types
    """PKCE, always, and by S256 alone: ``plain`` and leaving it out are what a downgrade looks like (RFC 9700 section 2.1.1)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS: Final = {"S256": CodeChallenge.CODE_CHALLENGE_METHODS["S256"]}

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Before anybody logs in. That the verifier is there and fits is checked by Authlib: every code has a challenge."""
        require_challenge(grant.request)
        super().validate_code_challenge(grant, redirect_uri)


def require_challenge(request: Any) -> str:
    """The S256 challenge of a request that begins a login; one without is refused."""
    asked = request.payload.data
    challenge: str = asked.get("code_challenge", "")
    if asked.get("code_challenge_method") != "S256":
        raise InvalidRequestError("PKCE is required: code_challenge_method must be S256")
    if not _CHALLENGE.match(challenge):
        raise InvalidRequestError("PKCE is required: code_challenge must be 43 characters of base64url")
    return challenge
