# SPDX-License-Identifier: Apache-2.0
"""That the signing certificate was valid when it was used: its chain, and its profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from client.verify.times import parse_chain
from sigcore import extensions, x509
from sigcore.chain import verify_chain
from sigcore.errors import Refused, SigError
from sigcore.strict import encode_time
from sigcore.trustroot import AuthorityInstance
from sigcore.x509 import EKU_CODE_SIGNING, Certificate


def verify_certificate(
    leaf: Certificate,
    times: Sequence[datetime],
    authorities: Sequence[AuthorityInstance],
    intermediates: Sequence[bytes] = (),
) -> tuple[Certificate, ...]:
    """The chain of ``leaf`` at the first of ``times``, leaf first, root last; there is a valid one at each of them.

    1. The leaf has the profile of a code-signing certificate.
    2. At each time, some authority of the trusted root vouches for it: the authority's window covers the time, and the chain
       to its root is valid at that time (RFC 5280 section 6). What is valid now plays no role.
    3. Certificates that came with the leaf stand, in their order, in the chain, and none of them is a root: what a bundle
       brings along decides nothing, and what is in it without being needed is somebody's mistake or trick.

    Args:
        leaf: the signing certificate.
        times: verified times of signing; not empty.
        authorities: certificate authorities of the trusted root.
        intermediates: DER, as they came with the leaf.

    Raises:
        Refused: one of these does not hold.
    """
    if leaf.like is None:
        _check_profile(leaf)
    else:
        _check_recent_profile(leaf.like)
    given = [x509.parse_certificate(der, what="a certificate of the bundle's chain") for der in intermediates]
    if any(certificate.subject == certificate.issuer for certificate in given):
        raise Refused("the bundle's certificate chain contains a root", "whom to trust is not for the bundle to say")
    first, *_ = [_chain_at(leaf, time, authorities, given) for time in times]
    if tuple(given) != first[1 : 1 + len(given)]:
        raise Refused("the bundle's certificate chain is not the one that leads to the trusted root")
    return first


def _chain_at(
    leaf: Certificate, time: datetime, authorities: Sequence[AuthorityInstance], given: Sequence[Certificate]
) -> tuple[Certificate, ...]:
    refusals: list[str] = []
    for authority in authorities:
        if not authority.validity.covers(time):
            refusals.append(f"{authority.common_name} is trusted from {authority.validity}")
            continue
        *intermediates, root = parse_chain(authority.chain)
        try:
            return verify_chain(leaf, [*intermediates, *given], [root], at=time, eku=EKU_CODE_SIGNING)
        except SigError as error:
            refusals.append(f"{authority.common_name}: {error.message}")
    raise Refused(
        f"no trusted certificate authority vouches for the certificate at {encode_time(time)}, when it was used",
        "; ".join(refusals) or "the trusted root names no certificate authority",
    )


def _check_profile(leaf: Certificate) -> None:
    """Fulcio's certificate specification: an end entity that may sign code.

    The chain looks at this too. It is checked here apart from it, so that no change there lets an authority sign as a person.
    """
    constraints = extensions.parse_basic_constraints(leaf)
    if constraints is not None and constraints.ca:
        raise Refused("the signing certificate is a certificate authority's", "a CA must not sign artifacts itself")
    if "digitalSignature" not in (extensions.parse_key_usage(leaf) or ()):
        raise Refused("the signing certificate's key usage does not allow digital signatures")
    if EKU_CODE_SIGNING not in (extensions.parse_extended_key_usage(leaf) or ()):
        raise Refused(
            "the signing certificate is not for code signing", f"its extended key usage lacks {EKU_CODE_SIGNING}"
        )


_check_recent_profile = lru_cache(maxsize=64)(_check_profile)
"""For one that others are like: none of these extensions is a certificate's own. A refusal is not kept."""
