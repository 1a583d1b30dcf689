# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider, from the signer's side: the authorization code flow of a public client, with PKCE.

1. The provider's discovery document names its endpoints; it must speak for the very issuer that was asked.
2. The user goes to the authorization endpoint with a state, a nonce and the hash of a verifier, all new.
3. The answer must carry the state. Its code is redeemed with the verifier.
4. The ID token must be of this issuer and carry the nonce. Its signature is for the certificate authority to check.

Sources: OpenID Connect Core 1.0 section 3.1, Discovery 1.0 section 4, RFC 7636 (PKCE), RFC 8252 (native apps).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from client.answers import answering
from client.identity import IdentityToken, parse_identity_token, token_claims
from client.transport import Transport, call
from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import Fields, encode_base64url, shown
from sigcore.values import dataclass

OUT_OF_BAND: Final = "urn:ietf:wg:oauth:2.0:oob"
"""The redirect URI of a client that nothing can be redirected to: the user carries the code over."""
_SERVICE: Final = "the OpenID provider"


@dataclass(frozen=True, slots=True)
class Provider:
    """What discovery says, as far as it is needed."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    device_endpoint: str = ""
    """Empty where the provider has no device flow."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One attempt to log in. Everything random in it is used once."""

    client_id: str
    redirect_uri: str
    state: str
    nonce: str
    verifier: str

    def url(self, provider: Provider) -> str:
        """Where the user goes."""
        challenge = encode_base64url(hashlib.sha256(self.verifier.encode("ascii")).digest())
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid email",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        separator = "&" if "?" in provider.authorization_endpoint else "?"
        return f"{provider.authorization_endpoint}{separator}{urlencode(query)}"

    def code_from(self, answer: Mapping[str, str]) -> str:
        """The code in the query of the redirect.

        Raises:
            Refused: the provider said no, or the answer is not to this attempt.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            raise Refused("the answer has another state: it is not to this login", "log in again")
        if "error" in answer:
            said = shown(f"{answer['error']}: {answer.get('error_description', '')}", 300)
            raise Refused(f"{_SERVICE} refused the login: {said}", "log in again, or ask whoever runs it")
        if not answer.get("code"):
            raise Malformed(f"the answer of {_SERVICE} has no code")
        return answer["code"]


def new_authorization(client_id: str, redirect_uri: str) -> Authorization:
    """An attempt with a state, a nonce and a verifier of 256 bits each."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Authorization(client_id, redirect_uri, state, nonce, verifier)


async def discover(transport: Transport, issuer: str) -> Provider:
    """Step 1.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: no discovery document.
        Refused: it speaks for another issuer, or has no use for PKCE.
    """
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    answer = await call(transport, "GET", url, service=_SERVICE, headers={"Accept": "application/json"})
    with answering(_SERVICE, url):
        fields = Fields.parse(answer, what="the discovery document", limit=limits.SERVICE_RESPONSE)
    if fields.text("issuer") != issuer:
        raise Refused(
            f"{url} speaks for the issuer {shown(fields.text('issuer'), 200)}, expected {shown(issuer, 200)}",
            "the comparison is exact: look for a trailing slash",
        )
    if "S256" not in fields.texts("code_challenge_methods_supported", limit=limits.TRUST_INSTANCES):
        raise Refused(f"{_SERVICE} {shown(issuer, 200)} does not support PKCE with S256")
    endpoints = [fields.text(f"{name}_endpoint") for name in ("authorization", "token")]
    endpoints.append(fields.optional_text("device_authorization_endpoint"))
    for endpoint in filter(None, endpoints):
        if not endpoint.startswith(("https://", "http://")):
            raise Malformed(
                f"the discovery document names the endpoint {shown(endpoint)}, expected an http or https URL"
            )
    return Provider(issuer, *endpoints)


async def redeem_code(
    transport: Transport, provider: Provider, authorization: Authorization, code: str
) -> IdentityToken:
    """Steps 3 and 4: the ID token for ``code``.

    Raises:
        ServiceRefused, Unavailable: as :func:`client.transport.call`. Malformed: no ID token in the answer.
        Refused: a token of another issuer, or not for this login.
    """
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": authorization.redirect_uri,
        "client_id": authorization.client_id,
        "code_verifier": authorization.verifier,
    }
    answer = await call(
        transport,
        "POST",
        provider.token_endpoint,
        service=_SERVICE,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        body=urlencode(form).encode("ascii"),
    )
    with answering(_SERVICE, provider.token_endpoint):
        fields = Fields.parse(answer, what="the answer", limit=limits.SERVICE_RESPONSE)
    token = parse_identity_token(fields.text("id_token", limit=limits.IDENTITY_TOKEN))
    if token.issuer != provider.issuer:
        raise Refused(f"the token is of {shown(token.issuer, 200)}, expected {shown(provider.issuer, 200)}")
    if token_claims(token.text).optional_text("nonce") != authorization.nonce:
        raise Refused("the token carries another nonce: it was not made for this login", "log in again")
    return token
