# SPDX-License-Identifier: Apache-2.0
"""What a user may say about the registries of one command: cosign's ``--allow-...`` and ``--registry-...`` options."""

from __future__ import annotations

from typing import Final

from sigcore.values import dataclass

REQUEST_TIMEOUT_S: Final = 30.0
ATTEMPTS: Final = 4
BACKOFF_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name with a password, or a token in place of both. Its representation shows neither.

    ``identity_token`` is exchanged at the registry's token service (docker's ``identitytoken``, or the user ``<token>`` of a
    credential helper); ``registry_token`` is sent to the registry as it is.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be repeated in a message."""
        return tuple(text for text in (self.password, self.identity_token, self.registry_token) if text)

    def __repr__(self) -> str:
        return "Credential(...)"


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How registries are reached.

    Attributes:
        allow_http: speak plain http with any registry that does not speak TLS (``--allow-http-registry``); with those at a
            loopback address that is always done.
        allow_insecure: do not check TLS certificates, and the above (``--allow-insecure-registry``).
        ca_file: authorities to trust for TLS, in place of the system's (``--registry-cacert``).
        client_cert: PEM file to authenticate with, ``client_key`` its key (``--registry-client-cert``, ``...-key``).
        server_name: the name that the registry's certificate is for, where it is another (``--registry-server-name``).
        credential: in place of docker's configuration, for every registry that the command names (``--registry-username``,
            ``--registry-password``, ``--registry-token``).
        token_hosts: hosts, or ``host:port``, of token services that may be given the password of a registry that asks for it;
            those that belong to the registry by their name need not be named (``--registry-token-host``).
        timeout_s: for one request and its answer; a large content has more time, by its size.
        attempts: for a request that finds no usable answer.
        backoff_s: between the first two attempts; it doubles.
    """

    allow_http: bool = False
    allow_insecure: bool = False
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None
    credential: Credential | None = None
    token_hosts: tuple[str, ...] = ()
    timeout_s: float = REQUEST_TIMEOUT_S
    attempts: int = ATTEMPTS
    backoff_s: float = BACKOFF_S

    @property
    def http_allowed(self) -> bool:
        """Plain http with other machines."""
        return self.allow_http or self.allow_insecure
