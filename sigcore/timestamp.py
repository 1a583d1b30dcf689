# SPDX-License-Identifier: Apache-2.0
"""Timestamps: the request, the response, and what a verifier believes of it.

What is signed is in ``tst_info.py``, the CMS around it in ``cms.py``, issuing in ``timestamp_signer.py``.

What RFC 3161 asks and is not done here, and why: the ``tsa`` name of a token is not compared with its certificate (section
2.4.2), because the trusted chain and the signed signing-certificate attribute pin the very certificate; revocation is not
looked up, because a trusted root's validity windows take its place.

Sources: RFC 3161, RFC 5816 (ESSCertIDv2 in tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Final

from sigcore import cms, der, limits
from sigcore.algorithms import HashAlgorithm
from sigcore.chain import verify_chain
from sigcore.errors import Malformed, Refused, SigError
from sigcore.extensions import EXTENDED_KEY_USAGE, parse_basic_constraints
from sigcore.strict import shown
from sigcore.tst_info import INTEGER_BITS, TimestampInfo, encode_imprint, parse_info
from sigcore.values import dataclass
from sigcore.x509 import EKU_TIME_STAMPING, Certificate, parse_certificate

TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"
"""id-ct-TSTInfo, the content type of a timestamp token."""
_DEPTH: Final = 8
"""A request nests three levels; the rest is room for what is refused by name."""
_GRANTED: Final = 0
_STATUS: Final = ("granted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification")


class FailureInfo(Enum):
    """PKIFailureInfo (RFC 3161 section 2.4.2). Value: (bit, the RFC's name)."""

    BAD_ALG = (0, "badAlg")
    BAD_REQUEST = (2, "badRequest")
    BAD_DATA_FORMAT = (5, "badDataFormat")
    TIME_NOT_AVAILABLE = (14, "timeNotAvailable")
    UNACCEPTED_POLICY = (15, "unacceptedPolicy")
    UNACCEPTED_EXTENSION = (16, "unacceptedExtension")
    ADD_INFO_NOT_AVAILABLE = (17, "addInfoNotAvailable")
    SYSTEM_FAILURE = (25, "systemFailure")

    @property
    def bit(self) -> int:
        """The position in the BIT STRING, from the left."""
        return self.value[0]

    @property
    def text(self) -> str:
        """The name that the RFC gives it."""
        return self.value[1]


class Rejected(Refused):
    """A request that no token will be issued for; ``failure`` is the RFC's word for it."""

    def __init__(self, failure: FailureInfo, message: str, hint: str = "") -> None:
        super().__init__(f"{failure.text}: {message}", hint)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class TimestampRequest:
    """TimeStampReq: ``digest`` is the message's, ``certificates`` asks for the signer's certificate in the token."""

    hash: HashAlgorithm
    digest: bytes
    policy: str | None = None
    nonce: int | None = None
    certificates: bool = False


@dataclass(frozen=True, slots=True)
class TimestampResponse:
    """A granted TimeStampResp, unverified until :func:`verify_response` returns."""

    info: TimestampInfo
    token: cms.SignedData


# --- request -----------------------------------------------------------------------------------------
def check_request(request: TimestampRequest) -> TimestampRequest:
    """``request`` if its values fit each other, however it was spelled.

    Raises:
        Rejected: the digest has not its algorithm's length; the nonce is negative or has more than 32 octets.
    """
    if len(request.digest) != request.hash.size:
        raise Rejected(
            FailureInfo.BAD_DATA_FORMAT,
            f"the message imprint has {len(request.digest)} bytes, {request.hash.name} has {request.hash.size}",
        )
    if request.nonce is not None and not 0 <= request.nonce < 1 << INTEGER_BITS:
        raise Rejected(FailureInfo.BAD_REQUEST, f"the nonce is negative or longer than {limits.NONCE} octets")
    return request


def parse_request(data: bytes) -> TimestampRequest:
    """A TimeStampReq (RFC 3161 section 2.4.1).

    Raises:
        Rejected: not DER (badDataFormat), a hash outside SHA-2 (badAlg), any extension at all (unacceptedExtension: section
            2.4.1 asks for that whether it is critical or not), or what :func:`check_request` refuses.
    """
    if len(data) > limits.TIMESTAMP_REQUEST:
        raise Rejected(
            FailureInfo.BAD_DATA_FORMAT,
            f"the timestamp request is {len(data)} bytes long, the limit is {limits.TIMESTAMP_REQUEST}",
        )
    try:
        return check_request(_request(data))
    except Malformed as error:
        raise Rejected(FailureInfo.BAD_DATA_FORMAT, error.message) from error


def _request(data: bytes) -> TimestampRequest:
    outer = der.Reader(data, "the timestamp request", _DEPTH)
    fields = outer.enter()
    outer.finish()
    if (version := fields.integer()) != 1:
        raise Rejected(FailureInfo.BAD_REQUEST, f"the timestamp request has version {shown(version)}, expected 1")
    imprint = fields.enter()
    oid = cms.algorithm(imprint)
    try:
        hashing = HashAlgorithm.by_oid(oid, what="the hash algorithm")
    except Malformed as error:
        raise Rejected(FailureInfo.BAD_ALG, error.message, "use SHA-256, SHA-384 or SHA-512") from error
    digest = imprint.octet_string()
    imprint.finish()
    policy = fields.oid() if fields.peek() == der.OID else None
    nonce = fields.integer() if fields.peek() == der.INTEGER else None
    certificates = fields.default_false()
    if fields.peek() == der.context(0):
        raise Rejected(FailureInfo.UNACCEPTED_EXTENSION, "the timestamp request has extensions, none is known here")
    fields.finish()
    return TimestampRequest(hashing, digest, policy, nonce, certificates)


def encode_request(request: TimestampRequest) -> bytes:
    """TimeStampReq version 1 without extensions."""
    return der.sequence(
        der.integer(1),
        encode_imprint(request.hash, request.digest),
        der.oid(request.policy) if request.policy is not None else b"",
        der.integer(request.nonce) if request.nonce is not None else b"",
        der.boolean(True) if request.certificates else b"",
    )


# --- response ------------------------------------------------------------------------------------------
def encode_rejected(failure: FailureInfo, text: str) -> bytes:
    """A TimeStampResp with status ``rejection`` and no token; the bit string is cut after its last one (X.690 11.2.2)."""
    size, last = divmod(failure.bit, 8)
    bits = der.bit_string(bytes(size) + bytes((0x80 >> last,)), 7 - last)
    return der.sequence(der.sequence(der.integer(2), der.sequence(der.utf8_string(text)), bits))


def parse_response(data: bytes) -> TimestampResponse:
    """A TimeStampResp, of which nothing is verified yet.

    Raises:
        Malformed: not DER, or the token is no SignedData over a TSTInfo.
        Refused: the status is not ``granted`` (``grantedWithMods`` counts as not), or what :func:`parse_info` refuses.
    """
    what = "the timestamp response"
    if len(data) > limits.TIMESTAMP_RESPONSE:
        raise Malformed(f"{what} is {len(data)} bytes long, the limit is {limits.TIMESTAMP_RESPONSE}")
    outer = der.Reader(data, what)
    fields = outer.enter()
    outer.finish()
    _check_status(fields.enter())
    token = cms.parse_signed_data(fields.raw(der.SEQUENCE), what="the timestamp token")
    fields.finish()
    if token.content_type != TST_INFO:
        raise Malformed(f"the timestamp token holds {token.content_type}, expected a TSTInfo")
    return TimestampResponse(parse_info(token.content), token)


def _check_status(fields: der.Reader) -> None:
    status = fields.integer()
    texts = fields.optional(der.SEQUENCE)
    said = texts.utf8() if texts is not None and not texts.at_end else ""
    failure = ""
    if fields.peek() == der.BIT_STRING:
        bits, _ = fields.bit_string()
        names = [f.text for f in FailureInfo if f.bit // 8 < len(bits) and bits[f.bit // 8] & 0x80 >> f.bit % 8]
        failure = ", ".join(names) or "failure without a known name"
    fields.finish()
    if status != _GRANTED or failure:
        name = _STATUS[status] if 0 <= status < len(_STATUS) else "an unknown status"
        raise Refused(
            f"the timestamp authority answered {name}{failure and f' ({failure})'}", said and shown(said, 200)
        )


def verify_answer(response: TimestampResponse, request: TimestampRequest) -> TimestampInfo:
    """Check that ``response`` answers ``request`` (RFC 3161 section 2.4.2, end); :func:`verify_response` is still due.

    Raises:
        Refused: imprint, nonce or policy differ from what was asked.
    """
    info = response.info
    if (info.hash, info.digest) != (request.hash, request.digest):
        raise Refused("the timestamp is over another message imprint than the request's")
    if request.nonce is not None and info.nonce != request.nonce:
        raise Refused("the timestamp does not repeat the request's nonce", "an old response may have been replayed")
    if request.policy not in (None, info.policy):
        raise Refused(f"the timestamp has the policy {info.policy}, the request asked for {request.policy}")
    return info


def verify_response(response: TimestampResponse, message: bytes, *, chain: Sequence[Certificate]) -> datetime:
    """The time at which a trusted authority saw ``message``: :func:`verify_stamped` with its hash."""
    return verify_stamped(response, response.info.hash.digest(message), chain=chain)


def verify_stamped(response: TimestampResponse, digest: bytes, *, chain: Sequence[Certificate]) -> datetime:
    """The time at which a trusted authority saw the message with this ``digest``.

    1. The imprint is ``digest``.
    2. The signer is ``chain``'s leaf; where ``chain`` starts with a CA, it is the embedded certificate that the token names.
       Certificates that are embedded must include the signer's.
    3. The signer signed the TSTInfo (:func:`sigcore.cms.verify_signer`).
    4. The signer's extended key usage is critical and timeStamping alone (RFC 3161 section 2.3), and it is no CA.
    5. The chain from the signer to ``chain``'s last certificate holds at the timestamp's own time.

    The caller must still check that the trusted root's validity window for this authority covers the time.

    Args:
        response: from :func:`parse_response`.
        digest: by the response's own hash, of what was timestamped; in Sigstore the raw signature bytes.
        chain: the authority's certificates in a trusted root: leaf, intermediates, root, or without the leaf.

    Raises:
        Refused: one of the checks fails; the message says which.
        Malformed: a signed attribute or a certificate extension that is needed cannot be read.
    """
    info = response.info
    if info.digest != digest:
        raise Refused("the timestamp is over another message")
    signer = _signer_certificate(response.token, chain)
    cms.verify_signer(response.token, signer, what="the timestamp token")
    _verify_purpose(signer)
    between = list(chain[:-1])
    if signer not in chain:
        between += _parsed(response.token.certificates)
    verify_chain(signer, between, chain[-1:], at=info.time, eku=EKU_TIME_STAMPING, keep=True)
    return info.time


def verify_embedded(response: TimestampResponse) -> Certificate:
    """The certificate inside ``response`` that its signature holds with: steps 3 and 4 of :func:`verify_stamped`, and no trust at all.

    Raises:
        Refused: none is embedded, or one of the checks fails. Malformed: as :func:`verify_stamped`.
    """
    signer = _named_certificate(response.token, "without a chain to hold it against, the token must bring it")
    cms.verify_signer(response.token, signer, what="the timestamp token")
    _verify_purpose(signer)
    return signer


def _named_certificate(token: cms.SignedData, why: str) -> Certificate:
    """The embedded certificate that the token names."""
    named = [found for found in _parsed(token.certificates) if cms.identifies(token.signer, found)]
    if len(named) != 1:
        raise Refused(f"the timestamp token embeds {len(named)} certificates of its signer, expected one", why)
    return named[0]


def _signer_certificate(token: cms.SignedData, chain: Sequence[Certificate]) -> Certificate:
    """Step 2."""
    if not chain:
        raise Refused("the trusted timestamp authority has no certificates")
    leaf = chain[0]
    if _is_authority(leaf):
        return _named_certificate(token, "the trusted root does not hold the signer's certificate, so the token must")
    if len(chain) == 1:
        raise Refused("the trusted timestamp authority has a leaf certificate and no root")
    if token.certificates and leaf.der not in token.certificates:
        raise Refused("the certificate in the timestamp token is not the trusted authority's")
    return leaf


def _parsed(certificates: Sequence[bytes]) -> list[Certificate]:
    """The embedded certificates that can be read; what is no certificate of ours cannot be part of a chain either."""
    found = []
    for data in certificates:
        with suppress(SigError):
            found.append(parse_certificate(data))
    return found


def _is_authority(certificate: Certificate) -> bool:
    constraints = parse_basic_constraints(certificate)
    return constraints is not None and constraints.ca


def _verify_purpose(signer: Certificate) -> None:
    """Step 4."""
    if _is_authority(signer):
        raise Refused("the timestamp is signed by a certificate authority, expected an end-entity certificate")
    usage = signer.extension(EXTENDED_KEY_USAGE)
    if usage is None or not usage.critical or usage.value != der.sequence(der.oid(EKU_TIME_STAMPING)):
        raise Refused(
            "the timestamp signer's extended key usage is not critical and timeStamping alone (RFC 3161 section 2.3)"
        )
