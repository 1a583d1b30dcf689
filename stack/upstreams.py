# SPDX-License-Identifier: Apache-2.0
"""``[[upstreams]]``: providers of others that people may log in through.

Members of each table:
    name: its name in URLs; the redirect URI to register there is ``URL/auth/upstream/NAME/callback``.
    label: its name on the login page (default: the name).
    issuer: its exact issuer string.
    client_id, client_secret_file: how the stack is registered there; without a secret, PKCE alone protects the code.
    domains: the mail domains that it answers for; ``["*"]`` for all.
    groups, groups_claim: who of them may log in (default: everybody; ``groups``).
    scopes, email_claim, userinfo, hosts: how it says who somebody is, and where (:class:`oidc_dev.upstream.Upstream`).
    email_verified: ``required`` (default), or ``assumed`` for providers that never say it.
    certificate_issuer: ``own`` (default): certificates name this stack's provider; ``upstream``: they name that one.
    ca_file: the TLS authority to trust, in PEM; files are looked for from the folder of the configuration.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from oidc_dev.upstream import Upstream
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import Fields, shown
from stack.files import load_file
from stack.rows import load_rows

TABLE: Final = "upstreams"
_MEMBERS: Final = (
    *("name", "label", "issuer", "client_id", "client_secret_file", "domains", "groups", "groups_claim", "scopes"),
    *("email_claim", "email_verified", "userinfo", "hosts", "ca_file", "certificate_issuer"),
)
_LISTED: Final = 100
"""Domains, groups, scopes or hosts of one row."""


def load_upstreams(file: Path) -> tuple[Upstream, ...]:
    """The providers that the TOML file ``file`` names; none where it has no such table.

    Raises:
        NotFound, Malformed, Refused: the file or one that it names cannot be read, or a row is not one that could be meant.
    """
    return load_rows(file, TABLE, _upstream)


def _upstream(fields: Fields, folder: Path) -> Upstream:
    from stack.outside import Fetcher  # noqa: PLC0415 - aiohttp's client takes 280 ms

    fields.only(*_MEMBERS)
    name = fields.text("name")
    label = fields.optional_text("label", name)
    ca_file = fields.optional_text("ca_file")
    secret = fields.optional_text("client_secret_file")
    return Upstream(
        name=name,
        label=label,
        issuer=fields.text("issuer"),
        client_id=fields.text("client_id"),
        client_secret=_secret(folder / secret) if secret else "",
        outside=Fetcher(label, str(folder / ca_file) if ca_file else None),
        domains=tuple(domain.lower() for domain in _texts(fields, "domains")),
        scopes=_texts(fields, "scopes") or ("openid", "email"),
        groups=_texts(fields, "groups"),
        groups_claim=fields.optional_text("groups_claim", "groups"),
        email_claim=fields.optional_text("email_claim", "email"),
        assume_verified=_chosen(fields, "email_verified", "required", "assumed"),
        userinfo=fields.boolean("userinfo") if "userinfo" in fields else False,
        hosts=_texts(fields, "hosts"),
        certified=_chosen(fields, "certificate_issuer", "own", "upstream"),
    )


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    return fields.texts(name, limit=_LISTED) if name in fields else ()


def _chosen(fields: Fields, name: str, default: str, other: str) -> bool:
    """Whether the member says ``other``."""
    found = fields.optional_text(name, default)
    if found not in (default, other):
        raise Malformed(f"{name} is {shown(found)}", f"expected {default}, or {other}")
    return found == other


def _secret(file: Path) -> str:
    secret = load_file(file, what="the client secret", limit=limits.TEXT).decode("utf-8", "replace").strip()
    if not secret or not secret.isprintable():
        raise Malformed(f"{file} holds no client secret", "expected one line of printable characters")
    return secret
