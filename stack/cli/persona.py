# SPDX-License-Identifier: Apache-2.0
"""Who a minted token speaks of: put together from a file and from the options of the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from oidc_dev.claims import Identity
from sigcore import limits
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, parse_json
from stack.files import load_file

AUDIENCE = "sigstore"


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody or something that tokens are minted for. The members are those of the control API's request."""

    email: str = ""
    subject: str = ""
    audience: str = AUDIENCE
    claims: Mapping[str, JSON] = field(default_factory=dict)

    def identity(self) -> Identity:
        """As the provider takes it."""
        return Identity(email=self.email, subject=self.subject, extra=tuple(self.claims.items()))

    def over(
        self, *, email: str | None, subject: str | None, audience: str | None, claims: Mapping[str, JSON]
    ) -> Persona:
        """This one with what the command line says instead; claims are added."""
        given = {"email": email, "subject": subject, "audience": audience}
        stated = {name: value for name, value in given.items() if value is not None}
        return replace(self, claims={**self.claims, **claims}, **stated)


def load_persona(path: Path) -> Persona:
    """A JSON file with ``email``, ``subject``, ``audience`` and ``claims``, each of them optional.

    Raises:
        NotFound: there is no such file. Malformed: it holds something else.
    """
    data = load_file(path, what="the persona", limit=limits.IDENTITY_TOKEN)
    fields = Fields.parse(data, what="the persona", limit=limits.IDENTITY_TOKEN)
    fields.only("email", "subject", "audience", "claims")
    claims = fields.optional_object("claims")
    return Persona(
        email=fields.optional_text("email"),
        subject=fields.optional_text("subject"),
        audience=fields.optional_text("audience", AUDIENCE),
        claims=dict(claims.raw()) if claims else {},
    )


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
