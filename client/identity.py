# SPDX-License-Identifier: Apache-2.0
"""Identity tokens, seen from the signer's side.

The certificate authority judges the token. The client reads three claims from it and trusts none of them: they decide what
the proof of possession is made over, and what is shown to the user.

Sources: RFC 7519 (JWT), RFC 7515 section 3.1 (compact serialization), OpenID Connect Core section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed, NotFound
from sigcore.strict import Fields, parse_base64url, parse_json

ENVIRONMENT: Final = "SIGSTORE_ID_TOKEN"
"""The variable that cosign, sigstore-js and GitLab use."""


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """A token and its unverified claims. ``text`` stays out of ``repr``: it is a credential."""

    text: str = field(repr=False)
    issuer: str
    subject: str
    email: str = ""

    @property
    def possession_subject(self) -> str:
        """What the proof of possession signs: the email where there is one, else the subject (as Go and JS choose)."""
        return self.email or self.subject


def parse_identity_token(text: str) -> IdentityToken:
    """Read a compact JWT without verifying it.

    Raises:
        Malformed: not three base64url parts with a JSON object in the middle, or no ``iss`` and ``sub`` in it.
    """
    claims = token_claims(text)
    return IdentityToken(text, claims.text("iss"), claims.text("sub"), claims.optional_text("email"))


def token_claims(text: str) -> Fields:
    """All claims of a compact JWT, unverified. Errors as :func:`parse_identity_token`."""
    if len(text) > limits.IDENTITY_TOKEN:
        raise Malformed(f"the identity token is {len(text)} characters long, the limit is {limits.IDENTITY_TOKEN}")
    parts = text.split(".")
    if len(parts) != 3 or not all(parts):
        raise Malformed(
            f"the identity token has {len(parts)} parts, expected three separated by dots",
            "give the JWT itself, @FILE for a file that holds it, or set " + ENVIRONMENT,
        )
    payload = parse_base64url(parts[1], what="the payload of the identity token")
    what = "the identity token"
    return Fields.of(parse_json(payload, what=what, limit=limits.IDENTITY_TOKEN, floats=True), what)


def load_identity_token(given: str | None, environ: Mapping[str, str]) -> IdentityToken:
    """The token from the first that is there: ``given`` (the token, or ``@FILE``), the environment's SIGSTORE_ID_TOKEN.

    Raises:
        NotFound: no token anywhere, or no such file. Malformed: what was found is none.
    """
    text = given if given is not None else environ.get(ENVIRONMENT)
    if not text:
        raise NotFound(
            "there is no identity token",
            f"give --identity-token TOKEN or @FILE, set {ENVIRONMENT}, or log in: sigbox login",
        )
    if text.startswith("@"):
        text = _read(Path(text[1:]))
    return parse_identity_token(text.strip())


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limits.IDENTITY_TOKEN + 1).decode("ascii")
    except OSError as error:
        raise NotFound(
            f"the identity token file {path} cannot be read: {error.strerror}", "@FILE names a file that holds the JWT"
        ) from error
    except UnicodeDecodeError as error:
        raise Malformed(f"the identity token file {path} holds bytes that no token has") from error
