# SPDX-License-Identifier: Apache-2.0
"""What a test orders of ``/_ctl/token``: whom a token speaks of, by which issuer, at which times, and what is wrong with it.

Durable stacks make none of it: their tokens are good ones, by their own provider, from now on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from oidc_dev.claims import make_claims
from oidc_dev.provider import Provider
from oidc_dev.signing import mint
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields
from stack.personas import MEMBERS, Persona, parse_persona

TIMES: Final[Mapping[str, str]] = {"expires_in": "exp", "not_before": "nbf", "issued_at": "iat"}
"""Member -> the claim that is so many seconds after the token is ordered; negative for before."""
FARTHEST_S: Final = 10 * 365 * 86400


@dataclass(frozen=True, slots=True)
class Order:
    """A token to be minted.

    Attributes:
        issuer: the name of another issuer of the stack, made by ``PUT /_ctl/issuers/NAME``; empty for its own provider.
        times: member of :data:`TIMES` -> seconds, for those that are not as usual.
        wrong: a row of :data:`oidc_dev.wrong_tokens.WRONG`; empty for a token that is good.
    """

    persona: Persona
    issuer: str = ""
    times: Mapping[str, int] = field(default_factory=dict)
    wrong: str = ""

    @property
    def plain(self) -> bool:
        """Whether any stack would mint it."""
        return not (self.issuer or self.times or self.wrong)

    def token(self, provider: Provider) -> str:
        """The token, by ``provider``.

        Raises:
            Malformed: it names nobody, restates a claim of the provider, or there is no such way to be wrong.
        """
        speaker, persona = self.persona.speaker(provider), self.persona
        now = speaker.clock()
        claims = make_claims(persona.identity(), issuer=speaker.issuer, audience=persona.audience, now=now)
        claims |= {TIMES[name]: int(now.timestamp()) + seconds for name, seconds in self.times.items()}
        if not self.wrong:
            return mint(claims, speaker.keys.signing)
        from oidc_dev.wrong_tokens import mint_wrong  # noqa: PLC0415 - most tokens are good

        return mint_wrong(self.wrong, claims, speaker.keys.signing)

    def document(self) -> dict[str, JSON]:
        """What :func:`parse_order` reads as this one."""
        told = {"issuer": self.issuer, "wrong": self.wrong}
        return {**self.persona.document(), **{name: text for name, text in told.items() if text}, **self.times}


def parse_order(fields: Fields) -> Order:
    """An order out of its members, which are those of a persona and three kinds more, each of them optional.

    Raises:
        Malformed: there is another member, a time beyond ten years, or a persona with an issuer of its own and another one.
    """
    fields.only(*MEMBERS, *TIMES, "issuer", "wrong")
    raw = fields.raw()
    persona = parse_persona(Fields.of({name: raw[name] for name in MEMBERS if name in raw}, fields.path))
    order = Order(
        persona,
        issuer=fields.optional_text("issuer"),
        times={name: _seconds(fields, name) for name in TIMES if name in fields},
        wrong=fields.optional_text("wrong"),
    )
    if persona.kind and order.issuer:
        raise Malformed(f"a persona of the kind {persona.kind} has its issuer", "leave out kind, or issuer")
    return order


def _seconds(fields: Fields, name: str) -> int:
    seconds = fields.integer(name)
    if abs(seconds) > FARTHEST_S:
        raise Malformed(f"{name} is {seconds} s, expected at most {FARTHEST_S} s (ten years) before or after now")
    return seconds
