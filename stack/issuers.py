# SPDX-License-Identifier: Apache-2.0
"""``[[issuers]]``: whose tokens the CA accepts beside those of the stack's own provider. Nothing is fetched.

Members of each table:
    url: the exact ``iss`` of its tokens.
    jwks: file with its public keys (RFC 7517), from the folder of the configuration.
    kind: ``email`` (default), or ``uri``: the identity is ``sub``.
    subject_domain: for ``uri``: what every ``sub`` starts with, such as ``https://ci.example.com``.
    audience: the exact ``aud``; ``sigstore`` where it is absent.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ca.issuers import CHALLENGE_CLAIMS, Issuer
from ca.jwks import parse_jwks
from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import JSON, Fields, shown
from stack.files import load_file

TABLE: Final = "issuers"
_MEMBERS: Final = ("url", "jwks", "kind", "subject_domain", "audience")


def load_issuers(file: Path) -> tuple[Issuer, ...]:
    """The issuers that the TOML file ``file`` names; none where it has no such table.

    Raises:
        NotFound, Malformed, Refused: the file or a key set cannot be read, or an issuer is not one that could be meant.
    """
    text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
    try:
        tables = tomllib.loads(text.decode("utf-8")).get(TABLE, [])
    except ValueError as error:
        raise Malformed(f"{file} is not TOML: {error}") from error
    return tuple(_issuers(file, tables))


def _issuers(file: Path, tables: object) -> Iterator[Issuer]:
    if not isinstance(tables, list):
        raise Malformed(f"{file}: {TABLE} is no list of tables", f"write [[{TABLE}]] above each of them")
    for number, table in enumerate(tables, 1):
        try:
            issuer = _issuer(file.parent, Fields.of(_texts(table), TABLE))
        except SigError as error:
            raise type(error)(f"{file}, issuer {number}: {error.message}", error.hint) from error
        yield issuer


def _texts(table: object) -> JSON:
    """The table, if it holds nothing that only TOML can say, such as a date."""
    if not isinstance(table, dict):
        raise Malformed(f"{TABLE} holds {shown(table)}, expected a table of strings")
    for name, value in table.items():
        if not isinstance(value, str):
            raise Malformed(f"{name} is {shown(value)}, expected a string")
    return table


def _issuer(folder: Path, fields: Fields) -> Issuer:
    fields.only(*_MEMBERS)
    kind = fields.optional_text("kind", "email")
    if kind not in CHALLENGE_CLAIMS:
        raise Malformed(f"the kind is {shown(kind)}", f"use {' or '.join(CHALLENGE_CLAIMS)}")
    keys = load_file(folder / fields.text("jwks"), what="the issuer's key set", limit=limits.TOKEN_KEY_SET)
    return Issuer(
        fields.text("url"),
        parse_jwks(keys),
        audience=fields.optional_text("audience", "sigstore"),
        kind=kind,
        subject_domain=fields.optional_text("subject_domain"),
    )
