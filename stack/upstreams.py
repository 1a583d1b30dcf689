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
    ca_file: the TLS authority to trust, in PEM; files are looked for from the folder of the configuration.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from oidc_dev.upstream import Upstream
from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import Fields, shown
from stack.files import load_file
from stack.outside import Fetcher

TABLE: Final = "upstreams"
_MEMBERS: Final = (
    *("name", "label", "issuer", "client_id", "client_secret_file", "domains", "groups", "groups_claim", "scopes"),
    *("email_claim", "email_verified", "userinfo", "hosts", "ca_file"),
)
_LISTED: Final = 100
"""Domains, groups, scopes or hosts of one row."""


def load_upstreams(file: Path) -> tuple[Upstream, ...]:
    """The providers that the TOML file ``file`` names; none where it has no such table.

    Raises:
        NotFound, Malformed, Refused: the file or one that it names cannot be read, or a row is not one that could be meant.
    """
    text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
    try:
        tables = tomllib.loads(text.decode("utf-8")).get(TABLE, [])
    except ValueError as error:
        raise Malformed(f"{file} is not TOML: {error}") from error
    if not isinstance(tables, list):
        raise Malformed(f"{file}: {TABLE} is no list of tables", f"write [[{TABLE}]] above each of them")
    rows = tuple(_upstreams(file, tables))
    names = [row.name for row in rows]
    if len(set(names)) != len(names):
        raise Malformed(f"{file}: two rows of {TABLE} have the same name", "each needs one of its own")
    return rows


def _upstreams(file: Path, tables: list[object]) -> Iterator[Upstream]:
    for number, table in enumerate(tables, 1):
        try:
            if not isinstance(table, dict):
                raise Malformed(f"{shown(table)} is no table")
            upstream = _upstream(file.parent, Fields.of(table, TABLE))
        except SigError as error:
            raise type(error)(f"{file}, upstream {number}: {error.message}", error.hint) from error
        yield upstream


def _upstream(folder: Path, fields: Fields) -> Upstream:
    fields.only(*_MEMBERS)
    name = fields.text("name")
    label = fields.optional_text("label", name)
    ca_file = fields.optional_text("ca_file")
    secret = fields.optional_text("client_secret_file")
    verified = fields.optional_text("email_verified", "required")
    if verified not in ("required", "assumed"):
        raise Malformed(f"email_verified is {shown(verified)}", "expected required, or assumed")
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
        assume_verified=verified == "assumed",
        userinfo=fields.boolean("userinfo") if "userinfo" in fields else False,
        hosts=_texts(fields, "hosts"),
    )


def _texts(fields: Fields, name: str) -> tuple[str, ...]:
    return fields.texts(name, limit=_LISTED) if name in fields else ()


def _secret(file: Path) -> str:
    secret = load_file(file, what="the client secret", limit=limits.TEXT).decode("utf-8", "replace").strip()
    if not secret or not secret.isprintable():
        raise Malformed(f"{file} holds no client secret", "expected one line of printable characters")
    return secret
