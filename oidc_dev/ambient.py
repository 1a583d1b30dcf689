# SPDX-License-Identifier: Apache-2.0
"""Tokens in the form of GitHub Actions, for jobs of any CI system: official clients ask for theirs there by themselves. Pure.

A job has two variables, ``ACTIONS_ID_TOKEN_REQUEST_URL`` (``ISSUER/ambient?api-version=2.0``) and ``..._TOKEN``. The second is
what proves who it is: the secret of a machine (``NAME.SECRET``), or the token that its own CI system gave it, which a broker
exchanges. What is asked here is what the token endpoint is asked, in other words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from oidc_dev.clients import CLIENTS, EXCHANGE
from oidc_dev.parameters import encode_parameters, parse_parameters
from oidc_dev.reply import Reply
from sigcore.errors import Refused
from sigcore.strict import JSON, shown

_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"


def grant_request(query: bytes, authorization: str) -> bytes:
    """The form for the token endpoint that means the same as a request with this query and ``Authorization`` header.

    Raises:
        Malformed: the query is none. Refused: there is no bearer token, or the audience is not one that tokens are made for.
    """
    asked = parse_parameters(query, what="the query")
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret or not secret.isascii():
        raise Refused("the request has no Authorization header of the scheme bearer")
    client, audience = next(iter(CLIENTS)), asked.get("audience", "")
    if audience != client:
        raise Refused(f"the audience is {shown(audience)}, expected {client}")
    if secret.count(".") == 2:
        given = {"grant_type": EXCHANGE, "subject_token": secret, "subject_token_type": _JWT}
    else:
        given = {"grant_type": "client_credentials", "client_secret": secret}
    return encode_parameters({"client_id": client, **given}).encode("ascii")


def as_github(reply: Reply) -> Mapping[str, JSON]:
    """The token endpoint's answer as GitHub would put it.

    Raises:
        Refused: it holds no token; with its own words.
    """
    body = reply.body if isinstance(reply.body, Mapping) else {}
    token = body.get("id_token")
    if reply.status != 200 or not isinstance(token, str):
        raise Refused(str(body.get("error_description") or body.get("error") or "no token is given for that"))
    return {"count": len(token), "value": token}
