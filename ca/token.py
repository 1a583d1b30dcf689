# SPDX-License-Identifier: Apache-2.0
"""An ID token -> verified claims (OpenID Connect Core section 3.1.3.7, RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

from ca.issuers import ALGORITHMS, Issuer, IssuerTable
from ca.ports import TokenKey
from sigcore import limits
from sigcore.errors import Malformed, Refused
from sigcore.strict import Fields, parse_base64url, parse_json, shown
from sigcore.values import dataclass

if TYPE_CHECKING:
    import jwt

LEEWAY_S: Final = 5
"""Seconds that the issuer's clock may be off; sigstore-python allows the same."""

_SMALL_HEADER: Final = 512
"""Characters; longer ones are not kept, so that what others send cannot fill the memory."""
_FOREIGN_KEYS: Final = ("jwk", "jku", "x5u", "x5c")
_LAST_SECOND: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that a calendar here can name."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says, and the issuer that answers for it."""

    issuer: Issuer
    subject: str
    fields: Fields


async def verify_token(text: str, issuers: IssuerTable, *, now: datetime) -> Claims:
    """The claims of ``text``, an ID token of one of ``issuers`` that is valid at ``now``.

    1. At most 16 KiB, compact serialization: three parts, each in its one base64url spelling. (No JSON serialization, no
       encryption; bounded before anything is decoded.)
    2. The header is strict JSON without ``crit`` and without a key of its own, and with an algorithm for public keys; it never
       chooses how it is checked.
    3. ``iss``, still unverified, names exactly one issuer of the table.
    4. ``aud`` is the issuer's audience. A list is taken only as a list of this one element: a token for us *and* another
       service could have been replayed by that service.
    5. ``nbf`` and ``iat`` are not after ``now``, ``exp`` is, each with :data:`LEEWAY_S`; ``exp`` and ``iat`` are required.
    6. ``sub`` is a non-empty string.
    7. The header's ``kid`` names a key inside that issuer's set and nowhere else; the header says the one algorithm that is
       pinned for that key.
    8. The signature verifies. Only now is anything believed; 4 to 6 come before it so that a token that could not be taken
       anyway makes nobody fetch keys.

    The caller must still decide whom the claims describe (``principal``), and redeem the token for one certificate only if it
    wants that; tokens are not remembered.

    Raises:
        Malformed: not such a token at all. Refused: a check does not hold. Unavailable: the issuer's keys cannot be read.
    """
    header, payload = _split(text)  # 1
    _check_header(header)  # 2
    fields = Fields.of(
        parse_json(payload, what="the token's payload", limit=limits.IDENTITY_TOKEN, floats=True), "token"
    )
    issuer = issuers.find(fields.text("iss"))  # 3
    _check_audience(fields, issuer.audience)  # 4
    _check_times(fields, now)  # 5
    subject = _subject(fields)  # 6
    key = await issuer.keys.find(header.text("kid"))  # 7
    _check_algorithm(header, key)
    _verify_signature(text, key)  # 8
    return Claims(issuer, subject, fields)


def _verify_signature(text: str, key: TokenKey) -> None:
    # Deferred: PyJWT takes 60 ms to import, a tenth of a start; a stack imports it once it is ready.
    import jwt  # noqa: PLC0415 - see the line above

    try:
        _verifier().decode(text, key.key, algorithms=[key.algorithm])
    except jwt.PyJWTError as error:
        raise Refused("the token's signature does not verify", "ask the issuer for a fresh token") from error


@cache
def _verifier() -> jwt.PyJWS:
    """PyJWT with the algorithms that there are here and no other; made once, it costs a third of a verification."""
    import jwt  # noqa: PLC0415 - deferred as above

    return jwt.PyJWS(algorithms=ALGORITHMS)


def _split(text: str) -> tuple[Fields, bytes]:
    if len(text) > limits.IDENTITY_TOKEN:
        raise Malformed(f"the token is {len(text)} characters long, the limit is {limits.IDENTITY_TOKEN}")
    parts = text.split(".", 3)
    if len(parts) != 3 or not all(parts):
        raise Malformed("the token is not a signed JWT: expected three non-empty parts joined by dots")
    header, payload, signature = parts
    read = _recent_header if len(header) <= _SMALL_HEADER else _parse_header
    fields, decoded = read(header), _decode(payload)
    _decode(signature)
    return fields, decoded


def _decode(part: str) -> bytes:
    return parse_base64url(part, what="a part of the token")


def _parse_header(part: str) -> Fields:
    return Fields.parse(_decode(part), what="the token's header", limit=limits.IDENTITY_TOKEN)


_recent_header = lru_cache(maxsize=64)(_parse_header)
"""All tokens of one issuer's key have the same."""


def _check_header(header: Fields) -> None:
    if "crit" in header or "b64" in header:
        raise Refused("the token's header asks for an extension (crit, b64) that is not understood here")
    for name in _FOREIGN_KEYS:
        if name in header:
            raise Refused(f"the token's header brings a key of its own ({name})", "only the issuer's key set counts")
    if header.text("alg") not in ALGORITHMS:
        raise Refused(f"the token is signed with {shown(header.text('alg'))}", f"expected {', '.join(ALGORITHMS)}")


def _check_algorithm(header: Fields, key: TokenKey) -> None:
    found = header.text("alg")
    if found != key.algorithm:
        raise Refused(f"the token is signed with {shown(found)}, the issuer's key is for {key.algorithm}")


def _check_audience(fields: Fields, audience: str) -> None:
    found = fields.raw().get("aud")
    if found not in (audience, [audience]):
        raise Refused(
            f"the token's audience is wrong: aud is {shown(found)}, expected {shown(audience)}",
            f"ask its issuer for a token with the audience {audience}",
        )


def _check_times(fields: Fields, now: datetime) -> None:
    moment = now.timestamp()
    starts = {name: _seconds(fields, name) for name in ("iat", "nbf") if name == "iat" or name in fields}
    for name, start in starts.items():
        if start > moment + LEEWAY_S:
            raise Refused(f"the token is not valid yet: {name} is {start}, now is {int(moment)}", "compare the clocks")
    end = _seconds(fields, "exp")
    if end + LEEWAY_S <= moment:
        raise Refused(f"the token has expired: exp is {end}, now is {int(moment)}", "ask the issuer for a fresh token")


def _seconds(fields: Fields, name: str) -> int:
    value = fields.integer(name)
    if not 0 <= value <= _LAST_SECOND:
        raise Malformed(f"token.{name} is {value}, which is no moment of the calendar")
    return value


def _subject(fields: Fields) -> str:
    subject = fields.text("sub")
    if not subject:
        raise Malformed("token.sub is empty")
    return subject
