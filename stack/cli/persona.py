# SPDX-License-Identifier: Apache-2.0
"""Who a minted token speaks of: put together from a persona and from the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, parse_json
from stack.files import load_file
from stack.personas import Persona, load_shipped, parse_persona, parse_toml


def find_persona(text: str) -> Persona:
    """The persona that ``text`` names: a file in TOML or JSON, or a shipped one.

    Raises:
        NotFound: there is neither. Malformed: the file holds something else.
    """
    path = Path(text)
    if path.suffix not in (".json", ".toml") and not path.is_file():
        return load_shipped(text)
    data = load_file(path, what="the persona", limit=limits.IDENTITY_TOKEN)
    if path.suffix == ".toml":
        return parse_toml(data, what=f"the persona {path}")
    return parse_persona(Fields.parse(data, what="the persona", limit=limits.IDENTITY_TOKEN))


def over(
    persona: Persona, *, email: str | None, subject: str | None, audience: str | None, claims: Mapping[str, JSON]
) -> Persona:
    """``persona`` with what the command line says instead; claims are added."""
    given = {"email": email, "subject": subject, "audience": audience}
    stated = {name: value for name, value in given.items() if value is not None}
    return replace(persona, claims={**persona.claims, **claims}, **stated)


def parse_claim(text: str) -> tuple[str, JSON]:
    """``NAME=VALUE``; the value is JSON, or else text.

    Raises:
        Malformed: there is no name or no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Malformed(f"--claim is {text!r}, expected NAME=VALUE", 'for example --claim groups=["dev"]')
    try:
        return name, parse_json(value, what=f"--claim {name}", limit=4096)
    except Malformed:
        return name, value
