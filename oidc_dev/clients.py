# SPDX-License-Identifier: Apache-2.0
"""Who may ask for tokens, and by which grants.

The one client is a public one, a program on somebody's machine that can keep no secret. Machines with a secret of their own
(:mod:`oidc_dev.machines`) ask under its name: its tokens are those that the certificate authority takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oidc_dev.redirects import is_redirect_uri

if TYPE_CHECKING:
    from oidc_dev.codes import Codes
from sigcore.values import dataclass

SCOPES: Final = ("openid", "email")
DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANTS: Final = ("authorization_code", "client_credentials", DEVICE, EXCHANGE)
"""No refresh: a token lives as long as the certificate that it buys, and no client of Sigstore asks for another one."""
PUBLIC: Final = "public"
"""To name oneself: the one way of a program that can keep no secret."""
MACHINE: Final = "machine"
"""By the secret of a machine."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client. Its id is also the audience of its tokens, so nobody chooses an audience.

    The methods are those that Authlib asks a client (its ``ClientMixin``); the restrictions of a client stand here and nowhere
    else, so every grant meets them.
    """

    client_id: str
    grant_types: tuple[str, ...] = GRANTS
    redirect_uri: str = ""
    """Of a client in this very process: the one place where its answers go. It redeems its codes itself and gets no token."""

    def get_client_id(self) -> str:
        """The identifier."""
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        """None: a client always says where it listens."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Of the requested scopes those that exist here, unknown ones dropped (OpenID Connect Core section 3.1.2.1).

        None when ``openid`` is missing: nothing but OpenID Connect is spoken here.
        """
        asked = (scope or "").split(" ")
        return " ".join(known for known in SCOPES if known in asked) if "openid" in asked else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Its own one, or for programs :func:`oidc_dev.redirects.is_redirect_uri`."""
        return redirect_uri == self.redirect_uri if self.redirect_uri else is_redirect_uri(redirect_uri)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Which of the two is asked for, the grant says."""
        return not self.redirect_uri and method in (PUBLIC, MACHINE)

    def check_response_type(self, response_type: str) -> bool:
        """Codes only: a token in a URL would stand in histories and logs."""
        return response_type == "code" and self.check_grant_type("authorization_code")

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may use this grant."""
        return grant_type in self.grant_types


@dataclass(frozen=True, slots=True)
class Registered:
    """A client in this process, and the codes that it redeems."""

    client: Client
    codes: Codes


CLIENTS: Final = {client.client_id: client for client in (Client("sigstore"),)}
"""The audience that every official client asks for."""
