# SPDX-License-Identifier: Apache-2.0
"""A JSON Web Key set -> the keys of an issuer (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

Of a set that an operator gives with the configuration, whatever is not understood is refused with its place, since he can
mend it. Of a set that was fetched, the keys that are understood are taken, since nobody here can mend the others. Keys for
encryption are passed over in both; providers publish them in the same set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca.issuers import PinnedKeys, token_key
from sigcore import limits
from sigcore.errors import Malformed, Refused, SigError
from sigcore.keys import PublicKey
from sigcore.strict import Fields, parse_base64url, shown

_WHAT: Final = "the key set"
_SECRET: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_CURVES: Final[Mapping[str, tuple[ec.EllipticCurve, int]]] = {
    "P-256": (ec.SECP256R1(), 32),
    "P-384": (ec.SECP384R1(), 48),
}


def parse_jwks(data: bytes) -> PinnedKeys:
    """The signature keys of a JWK set.

    1. Strict JSON with ``keys``, at most :data:`limits.TOKEN_KEYS` of them.
    2. A key whose ``use`` is another than ``sig`` is passed over.
    3. Each other key has an id of its own, no private part, and numbers of exactly the length of their kind.
    4. Its ``alg``, where it names one, is the one that goes with it.

    Raises:
        Malformed: not such a set; names the key and the member. Refused: a key that is weak, of a kind that is not
            supported, or private.
    """
    return PinnedKeys((key.text("kid"), _parse(key)) for key in _listed(data) if _signs(key))


def parse_fetched_jwks(data: bytes) -> tuple[PinnedKeys, tuple[str, ...]]:
    """The keys of a set that can be used, and why each of the others cannot.

    A key that :func:`parse_jwks` would refuse does not take the others with it. Of two with one id neither is taken.

    Raises:
        Malformed: no such set, or none of its keys can be used.
    """
    good: dict[str, PublicKey | None] = {}
    left_out: list[str] = []
    for fields in _listed(data):
        try:
            if _signs(fields):
                name, key = fields.text("kid"), _parse(fields)
                if name in good:
                    left_out.append(f"{_WHAT} has the id {shown(name)} more than once")
                good[name] = None if name in good else key
        except SigError as error:
            left_out.append(error.message)
    keys = [(name, key) for name, key in good.items() if key is not None]
    if not keys:
        raise Malformed(f"{_WHAT} has no key that can be used", "; ".join(left_out[:5]))
    return PinnedKeys(keys), tuple(left_out)


def _listed(data: bytes) -> tuple[Fields, ...]:
    fields = Fields.parse(data, what=_WHAT, limit=limits.TOKEN_KEY_SET)
    if "keys" not in fields:
        raise Malformed(f"{_WHAT} has no member keys", "expected a JWK set (RFC 7517 section 5)")
    return fields.objects("keys", limit=limits.TOKEN_KEYS)


def _signs(key: Fields) -> bool:
    return key.optional_text("use", "sig") == "sig"


def _parse(fields: Fields) -> PublicKey:
    secret = next((name for name in _SECRET if name in fields), "")
    if secret:
        raise Refused(
            f"{fields.path} has the private member {secret}", "give the public half, and take this key for lost"
        )
    kind = fields.text("kty")
    if kind not in _KINDS:
        raise Refused(f"{fields.path} has kty {shown(kind)}", f"use {', '.join(_KINDS)}")
    try:
        key = _KINDS[kind](fields)
    except ValueError as error:
        raise Malformed(f"{fields.path} is no valid {kind} key: {error}") from error
    algorithm = token_key(key).algorithm
    if fields.optional_text("alg", algorithm) != algorithm:
        raise Refused(
            f"{fields.path} is for {shown(fields.text('alg'))}", f"a key of its kind is used with {algorithm}"
        )
    return key


def _rsa(fields: Fields) -> PublicKey:
    modulus, exponent = (_octets(fields, name) for name in ("n", "e"))
    if not modulus[0] or not exponent[0]:
        raise Malformed(f"{fields.path} has a number with leading zero octets (RFC 7518 section 2)")
    return rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


def _ec(fields: Fields) -> PublicKey:
    name = fields.text("crv")
    if name not in _CURVES:
        raise Refused(f"{fields.path} has crv {shown(name)}", f"use {', '.join(_CURVES)}")
    curve, size = _CURVES[name]
    point = b"\x04" + _octets(fields, "x", size) + _octets(fields, "y", size)
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)


def _okp(fields: Fields) -> PublicKey:
    if fields.text("crv") != "Ed25519":
        raise Refused(f"{fields.path} has crv {shown(fields.text('crv'))}", "use Ed25519")
    return ed25519.Ed25519PublicKey.from_public_bytes(_octets(fields, "x", 32))


def _octets(fields: Fields, name: str, size: int | None = None) -> bytes:
    octets = parse_base64url(fields.text(name, limit=limits.PUBLIC_KEY), what=f"{fields.path}.{name}")
    if not octets or len(octets) != (size or len(octets)):
        raise Malformed(f"{fields.path}.{name} has {len(octets)} octets, expected {size or 'some'}")
    return octets


_KINDS: Final[Mapping[str, Callable[[Fields], PublicKey]]] = {"RSA": _rsa, "EC": _ec, "OKP": _okp}
