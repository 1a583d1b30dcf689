# SPDX-License-Identifier: Apache-2.0
"""The grant of people without a browser at hand (RFC 8628), with PKCE as cosign adds it: who steals a device code gains nothing."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from authlib.oauth2.rfc6749 import (  # type: ignore[import-untyped]  # Authlib brings no types
    InvalidGrantError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]  # the same
from authlib.oauth2.rfc8628 import (  # type: ignore[import-untyped]  # the same
    DeviceAuthorizationEndpoint,
    DeviceCodeGrant,
)

from oidc_dev.claims import Identity
from oidc_dev.clients import DEVICE, PUBLIC
from oidc_dev.devices import INTERVAL_S, LIFETIME_S, Device, shown_user_code
from oidc_dev.grants import NONCE, require_challenge
from oidc_dev.guests import identity_of_user

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}\Z", re.ASCII)
"""RFC 7636 section 4.1."""


class DeviceEndpoint(DeviceAuthorizationEndpoint):  # type: ignore[misc]  # Authlib brings no types
    """Where a program begins to wait (section 3.1)."""

    CLIENT_AUTH_METHODS = (PUBLIC,)

    def create_endpoint_response(self, request: Any) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Two codes: one for the program to ask with, one for its user to type.

        1. The client names itself and may use this grant.
        2. A PKCE challenge, always, and ``openid`` among the scopes.
        3. There is room for one more that waits.
        """
        client = self.authenticate_client(request)  # 1
        challenge, scope = require_challenge(request), client.get_allowed_scope(request.payload.scope)  # 2
        if not client.check_grant_type(DEVICE):
            raise UnauthorizedClientError("this client has no device flow")
        if scope is None:
            raise InvalidScopeError("the scope must contain openid")
        device = self._device(request, challenge, scope)
        code = self.server.devices.begin(device, now=request.now)
        if code is None:  # 3
            raise OAuth2Error("too many programs wait already", error="temporarily_unavailable", status_code=503)
        uri, user_code = f"{self.server.provider.issuer}/device", shown_user_code(device.user_code)
        body = {
            "device_code": code,
            "user_code": user_code,
            "verification_uri": uri,
            "verification_uri_complete": f"{uri}?user_code={user_code}",
            "expires_in": LIFETIME_S,
            "interval": INTERVAL_S,
        }
        return 200, body, [("Cache-Control", "no-store")]

    def _device(self, request: Any, challenge: str, scope: str) -> Device:
        return Device(
            client_id=request.client.client_id,
            scope=scope,
            nonce=request.payload.data.get("nonce", "")[:NONCE],
            code_challenge=challenge,
            user_code=self.server.devices.new_user_code(),
            address=request.address,
            asked=request.now,
            expires=request.now + timedelta(seconds=LIFETIME_S),
        )


class DeviceGrant(DeviceCodeGrant):  # type: ignore[misc]  # Authlib brings no types
    """Where it asks whether it has a token (section 3.4). The answer is given once."""

    TOKEN_ENDPOINT_AUTH_METHODS = (PUBLIC,)

    def query_device_credential(self, device_code: str) -> Polled:
        """The program that this code is of.

        The verifier is looked at in every poll, whatever the user has decided; a wrong one ends the wait: who sends it has the
        device code from somebody else.
        """
        device, early = self.server.devices.poll(device_code, now=self.request.now)
        if device is None:
            raise InvalidGrantError("no program waits with this device_code; each is good for one token")
        if not _verifies(self.request.payload.data.get("code_verifier", ""), device.code_challenge):
            self.server.devices.take(device_code)
            raise InvalidGrantError("code_verifier does not fit the code_challenge that the device code was asked with")
        self._polled = Polled(device, early, self.request.now >= device.expires)
        if device.approved or device.denied:
            self.server.devices.take(device_code)
        return self._polled

    def query_user_grant(self, _user_code: str) -> tuple[tuple[Identity, datetime], bool] | None:
        """What the user has decided: whom the token speaks of, and whether there is one; None: nothing yet."""
        device, now = self._polled.device, self.request.now
        if device.denied:
            return (Identity(), now), False
        if device.approved is None:
            return None
        login = device.approved
        identity = identity_of_user(login.account, scope=device.scope, nonce=device.nonce, logged_in=login.since)
        return (identity, now), True

    def should_slow_down(self, credential: Polled) -> bool:
        """Whether it asks too often."""
        return credential.early


@dataclass(frozen=True, slots=True)
class Polled:
    """A waiting program at the moment of a poll, as Authlib asks about it."""

    device: Device
    early: bool
    expired: bool

    def get_client_id(self) -> str:
        """The client that asked."""
        return self.device.client_id

    def get_scope(self) -> str:
        """The granted scope."""
        return self.device.scope

    def get_user_code(self) -> str:
        """What the user typed."""
        return self.device.user_code

    def is_expired(self) -> bool:
        """Whether it has waited too long."""
        return self.expired


def _verifies(verifier: str, challenge: str) -> bool:
    return bool(_VERIFIER.match(verifier)) and hmac.compare_digest(create_s256_code_challenge(verifier), challenge)
