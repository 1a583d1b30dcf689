# SPDX-License-Identifier: Apache-2.0
"""A timestamp that stands alone, over a file: what ``sigbox timestamp`` makes and verifies.

In a bundle a timestamp is over the signature, and :mod:`client.verify` reads it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from client.verify.report import Check
from client.verify.times import VerifiedTime, verify_digest_time
from sigcore import chain, timestamp, x509
from sigcore.errors import Refused
from sigcore.strict import encode_time, shown
from sigcore.timestamp import TimestampRequest, TimestampResponse
from sigcore.trustroot import AuthorityInstance, Validity
from sigcore.tst_info import TimestampInfo
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class VerifiedStamp:
    """What an authority said (``info``) to what was asked or expected (``request``), and when, by whom (``time``)."""

    request: TimestampRequest
    info: TimestampInfo
    time: VerifiedTime


def verify_stamp(
    response: TimestampResponse, request: TimestampRequest, authorities: Sequence[AuthorityInstance]
) -> VerifiedStamp:
    """The time that ``response`` proves.

    1. It is over the digest of ``request``, and has its nonce and policy, where that has them.
    2. One of the ``authorities`` signed it, within its window.

    Raises:
        Refused: one of that does not hold.
    """
    info = response.info
    if (info.hash, info.digest) != (request.hash, request.digest):
        raise Refused(
            f"the timestamp is for another file: it holds {info.hash.hashlib_name}:{info.digest.hex()}, "
            f"the file is {request.hash.hashlib_name}:{request.digest.hex()}",
            "did the file change since it was timestamped?",
        )
    timestamp.verify_answer(response, request)  # 1
    time = verify_digest_time(response, request.digest, authorities, what="the timestamp")  # 2
    return VerifiedStamp(request, info, time)


def list_stamp_checks(stamp: VerifiedStamp) -> tuple[Check, ...]:
    """The checks in the order in which they ran; made from a verified value, so none is listed that did not."""
    return tuple(_checks(stamp))


def _checks(stamp: VerifiedStamp) -> Iterator[Check]:
    info, request, authority = stamp.info, stamp.request, stamp.time.source
    yield Check("artifact", f"the imprint is the file's {info.hash.hashlib_name}", info.digest.hex())
    if request.nonce is not None:
        yield Check("nonce", "the one that was expected", f"{info.nonce:x}")
    if request.policy is not None:
        yield Check("policy", "the one that was expected", info.policy)
    yield Check("signature", "by a certificate for timestamping alone", shown(stamp.time.authority, 300))
    if isinstance(authority, AuthorityInstance):
        count = len(authority.chain) - 1
        yield Check("chain", f"{count} certificates above the first, all valid at that time", str(authority.validity))
    yield Check("time", "when the authority saw the file's hash", encode_time(stamp.time.time))


def parse_authority_pem(pem: bytes, *, what: str) -> AuthorityInstance:
    """The authority with this chain, lower certificates first; trusted as long as its chain is valid.

    Raises:
        Malformed: no chain in PEM. Refused: a certificate is not signed by the next.
    """
    found = x509.parse_certificates_pem(pem, what=what)
    for lower, upper in pairwise(found):
        chain.verify_signed_by(lower, upper)
    root = found[-1]
    window = Validity(max(one.not_before for one in found), min(one.not_after for one in found))
    name = x509.common_name(root.subject)
    return AuthorityInstance(x509.organization(root.subject), name, "", tuple(one.der for one in found), window)
