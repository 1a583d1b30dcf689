# SPDX-License-Identifier: Apache-2.0
"""The JSON form of a timestamp request, which sigstore-js sends.

Source: sigstore/timestamp-authority ``pkg/api/timestamp.go`` (JSONRequest). Its Go form writes absent members as ``null``
or ``""``, so those count as absent here too. Deviation: the nonce is a JSON integer of at most 63 bits (RFC 8259 section 6:
larger numbers are not interoperable); the DER form takes 32 octets.
"""

from __future__ import annotations

from sigcore import limits, strict
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed
from sigcore.timestamp import FailureInfo, Rejected, TimestampRequest, check_request

_WHAT = "the timestamp request"
_HASHES = {hashing.hashlib_name: hashing for hashing in HashAlgorithm}


def parse_json_request(data: bytes) -> TimestampRequest:
    """``{"artifactHash", "hashAlgorithm", "certificates"?, "nonce"?, "tsaPolicyOID"?}`` in at most 1 KiB.

    Raises:
        Rejected: not that JSON (badDataFormat), a hash outside SHA-2 (badAlg), or what
            :func:`sigcore.timestamp.check_request` refuses.
    """
    try:
        return check_request(_plain(data) or _request(data))
    except Malformed as error:
        raise Rejected(FailureInfo.BAD_DATA_FORMAT, error.message, error.hint) from error


def _plain(data: bytes) -> TimestampRequest | None:
    """What :func:`_request` reads out of the form that sigstore-js sends; None for any other form, and for errors."""
    if len(data) > limits.TIMESTAMP_JSON_REQUEST:
        return None
    match strict.parse_plain_json(data, strings=4):
        case {"artifactHash": str(text), "hashAlgorithm": str(name), **others} if not others and name in _HASHES:
            return TimestampRequest(_HASHES[name], strict.parse_base64(text, what=f"{_WHAT}.artifactHash"))
    return None


def _request(data: bytes) -> TimestampRequest:
    members = strict.Fields.parse(data, what=_WHAT, limit=limits.TIMESTAMP_JSON_REQUEST).raw()
    fields = strict.Fields({name: value for name, value in members.items() if value is not None}, _WHAT)
    fields.only("artifactHash", "hashAlgorithm", "certificates", "nonce", "tsaPolicyOID")
    name = fields.text("hashAlgorithm")
    hashing = _HASHES.get(name.lower())
    if hashing is None:
        raise Rejected(
            FailureInfo.BAD_ALG, f"the hash algorithm is {strict.shown(name)}", "use sha256, sha384 or sha512"
        )
    policy = fields.optional_text("tsaPolicyOID") or None
    if policy is not None:
        strict.parse_oid(policy, what=f"{_WHAT}.tsaPolicyOID")
    return TimestampRequest(
        hash=hashing,
        digest=fields.base64("artifactHash", limit=limits.TIMESTAMP_JSON_REQUEST),
        policy=policy,
        nonce=fields.integer("nonce") if "nonce" in fields else None,
        certificates=fields.boolean("certificates") if "certificates" in fields else False,
    )
