# SPDX-License-Identifier: Apache-2.0
"""How the sender of a request to the token endpoint names itself (RFC 6749 section 2.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import InvalidClientError  # type: ignore[import-untyped]  # Authlib brings no types

from oidc_dev.clients import CLIENTS, Client
from oidc_dev.machines import machine_of, secret_holds
from sigcore.errors import Malformed
from sigcore.strict import parse_base64


def name_oneself(query_client: Callable[[str], Client | None], request: Any) -> Client:
    """The client that the request names: by HTTP Basic, in the form, or the same in both.

    Go tries Basic with an empty password first, sigstore-python sends nothing else, sigstore-js sends a form. A secret is
    neither asked for nor looked at: a program that everybody can read has none.
    """
    named, _ = credentials(request)
    client = query_client(named)
    if client is None:
        raise _nobody(request, "no such client; expected the client_id sigstore")
    return client


def prove_machine(query_client: Callable[[str], Client | None], request: Any) -> Client:
    """The client that the request's machine asks for, which its secret proves; ``request.machine`` was looked up before.

    It is named ``sigstore``, as cosign does, or as the machine itself.
    """
    named, secret = credentials(request)
    if not secret_holds(request.machine, secret) or named not in (*CLIENTS, request.machine.name):
        raise _nobody(
            request, "no such client, or not its secret; expected NAME.SECRET as sigbox client add printed it"
        )
    client = query_client(named) or query_client(next(iter(CLIENTS)))
    assert client is not None  # noqa: S101 - CLIENTS has one
    return client


def secret_machine(request: Any) -> str:
    """The name of the machine whose secret the request carries; empty where it carries none."""
    try:
        return machine_of(credentials(request)[1])
    except InvalidClientError:
        return ""


def credentials(request: Any) -> tuple[str, str]:
    """Client id and secret, each empty where it is not said."""
    header = request.headers.get("Authorization", "")
    named, secret = _basic(header) if header else ("", "")
    in_form, secret_in_form = request.payload.client_id or "", request.payload.data.get("client_secret", "")
    if named and in_form and named != in_form:
        raise InvalidClientError("the Authorization header and the form name different clients", status_code=401)
    return named or in_form, secret or secret_in_form


def _nobody(request: Any, description: str) -> InvalidClientError:
    status = 401 if request.headers.get("Authorization") else 400
    return InvalidClientError(description, status_code=status)


def _basic(header: str) -> tuple[str, str]:
    """User and password of ``Basic base64(user:password)`` (RFC 7617), percent-decoded (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        user, colon, password = parse_base64(encoded, what="the credentials").decode("utf-8").partition(":")
    except (Malformed, UnicodeDecodeError):
        colon = user = password = ""
    if scheme.lower() != "basic" or not colon or not user:
        raise InvalidClientError("the Authorization header must be Basic with client_id:secret", status_code=401)
    return unquote_plus(user), unquote_plus(password)
