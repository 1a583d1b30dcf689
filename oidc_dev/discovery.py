# SPDX-License-Identifier: Apache-2.0
"""The discovery document (OpenID Connect Discovery 1.0 section 3). Pure."""

from __future__ import annotations

from oidc_dev.clients import CLIENTS, EXCHANGE, SCOPES
from oidc_dev.parts import Directory
from oidc_dev.signing import ALGORITHM
from sigcore.language import LANGUAGES
from sigcore.strict import JSON


def discovery(issuer: str, directory: Directory) -> dict[str, JSON]:
    """What this provider can do: all of it, and nothing that it cannot.

    ``request_uri_parameter_supported`` stands there because leaving it out would mean yes.
    """
    absent = {"client_credentials"} if directory.machines is None else set()
    absent |= {EXCHANGE} if directory.broker is None else set()
    grants: list[JSON] = [*sorted({grant for client in CLIENTS.values() for grant in client.grant_types} - absent)]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "device_authorization_endpoint": f"{issuer}/device/code",
        "jwks_uri": f"{issuer}/keys",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": grants,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": [*SCOPES],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "claims_supported": [
            "iss", "sub", "aud", "iat", "nbf", "exp", "auth_time", "nonce", "email", "email_verified",
        ],
        "ui_locales_supported": [*LANGUAGES],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }  # fmt: skip
