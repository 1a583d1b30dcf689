# SPDX-License-Identifier: Apache-2.0
"""That the signing certificate was valid when it was used: its chain, and its profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from client.verify.times import parse_chain
from sigcore import extensions
from sigcore.chain import verify_chain
from sigcore.errors import Refused, SigError
from sigcore.strict import encode_time
from sigcore.trustroot import AuthorityInstance
from sigcore.x509 import EKU_CODE_SIGNING, Certificate


def verify_certificate(
    leaf: Certificate, times: Sequence[datetime], authorities: Sequence[AuthorityInstance]
) -> tuple[Certificate, ...]:
    """The chain of ``leaf`` at the first of ``times``, leaf first, root last; there is a valid one at each of them.

    1. The leaf has the profile of a code-signing certificate.
    2. At each time, some authority of the trusted root vouches for it: the authority's window covers the time, and the chain
       to its root is valid at that time (RFC 5280 section 6). What is valid now plays no role.

    Args:
        leaf: the signing certificate.
        times: verified times of signing; not empty.
        authorities: certificate authorities of the trusted root.

    Raises:
        Refused: one of these does not hold.
    """
    _check_profile(leaf)
    first, *_ = [_chain_at(leaf, time, authorities) for time in times]
    return first


def _chain_at(leaf: Certificate, time: datetime, authorities: Sequence[AuthorityInstance]) -> tuple[Certificate, ...]:
    refusals: list[str] = []
    for authority in authorities:
        if not authority.validity.covers(time):
            refusals.append(f"{authority.common_name} is trusted from {authority.validity}")
            continue
        *intermediates, root = parse_chain(authority.chain)
        try:
            return verify_chain(leaf, intermediates, [root], at=time, eku=EKU_CODE_SIGNING)
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
