# SPDX-License-Identifier: Apache-2.0
"""When it was signed: RFC 3161 timestamps over the signature, by authorities of the trusted root.

The other source, the promise of a Rekor v1 log, is in :mod:`client.verify.promise`; an entry of v2 carries no signed time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from sigcore import timestamp, x509
from sigcore.errors import Refused
from sigcore.strict import encode_time
from sigcore.timestamp import TimestampResponse
from sigcore.trustroot import AuthorityInstance, LogInstance
from sigcore.values import dataclass
from sigcore.x509 import Certificate


@dataclass(frozen=True, slots=True)
class VerifiedTime:
    """The signature existed at ``time``, says ``authority``: the name of a timestamp authority, or the URL of a log.

    ``source`` is that instance of the trusted root.
    """

    time: datetime
    authority: str
    source: AuthorityInstance | LogInstance


def verify_times(
    responses: Sequence[bytes], signature: bytes, authorities: Sequence[AuthorityInstance]
) -> tuple[VerifiedTime, ...]:
    """The verified time of every response; each must verify.

    Raises:
        Refused: one does not verify. Malformed: one is no timestamp response.
    """
    count = len(responses)
    return tuple(
        [
            verify_time(response, signature, authorities, what=f"timestamp {number} of {count}")
            for number, response in enumerate(responses, 1)
        ]
    )


def verify_time(
    response: bytes, message: bytes, authorities: Sequence[AuthorityInstance], *, what: str
) -> VerifiedTime:
    """The time in one response (DER) over ``message``; errors as :func:`verify_digest_time`, and Malformed: not a timestamp response."""
    parsed = timestamp.parse_response(response)
    return verify_digest_time(parsed, parsed.info.hash.digest(message), authorities, what=what)


def verify_digest_time(
    parsed: TimestampResponse, digest: bytes, authorities: Sequence[AuthorityInstance], *, what: str
) -> VerifiedTime:
    """The time in one response over what has this ``digest``, by the response's own hash; ``what`` names it in refusals.

    The authority that made it is found by trying: a token need not say who signed it. The time must lie within the window
    in which the trusted root trusts that authority, both ends included.

    Raises:
        Refused: no authority of the trusted root made it.
    """
    refusals: list[Refused] = []
    for authority in authorities:
        try:
            time = timestamp.verify_stamped(parsed, digest, chain=parse_chain(authority.chain))
            _check_window(authority, time)
        except Refused as error:
            refusals.append(error)
        else:
            return VerifiedTime(time, authority.common_name, authority)
    if len(refusals) == 1:
        raise Refused(f"{what}: {refusals[0].message}", refusals[0].hint) from refusals[0]
    reasons = "; ".join(f"{a.common_name}: {e.message}" for a, e in zip(authorities, refusals, strict=True))
    raise Refused(
        f"{what} is by none of the {len(authorities)} trusted timestamp authorities",
        reasons or "the trusted root names no timestamp authority",
    )


def _check_window(authority: AuthorityInstance, time: datetime) -> None:
    if not authority.validity.covers(time):
        raise Refused(
            f"the timestamp says {encode_time(time)}, {authority.common_name} is trusted from {authority.validity}",
            "is the trusted root up to date?",
        )


@lru_cache(maxsize=64)
def parse_chain(chain: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    """The certificates of an authority, parsed once per process.

    Raises:
        Malformed: one is no certificate.
    """
    return tuple(x509.parse_certificate(der, what="a certificate of the trusted root") for der in chain)
