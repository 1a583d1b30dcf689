# SPDX-License-Identifier: Apache-2.0
"""That the signing certificate was valid when it was used: its chain, and its profile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from client.verify.times import parse_chain
from sigcore import der, x509
from sigcore.errors import Refused
from sigcore.strict import encode_time
from sigcore.trustroot import AuthorityInstance
from sigcore.x509 import Certificate

_BASIC_CONSTRAINTS: Final = "2.5.29.19"
_KEY_USAGE: Final = "2.5.29.15"
_EXTENDED_KEY_USAGE: Final = "2.5.29.37"


def verify_certificate(
    leaf: Certificate, times: Sequence[datetime], authorities: Sequence[AuthorityInstance]
) -> tuple[Certificate, ...]:
    """The chain of ``leaf``, leaf first, root last, valid at every one of ``times``.

    1. The leaf has the profile of a code-signing certificate.
    2. At each time, some authority of the trusted root vouches for it: the authority's window covers the time, and the chain
       to its root is valid at that time (RFC 5280 section 6). What is valid now plays no role.
    3. It is the same chain at each time.

    Args:
        leaf: the signing certificate.
        times: verified times of signing; not empty.
        authorities: certificate authorities of the trusted root.

    Raises:
        Refused: one of these does not hold.
    """
    _check_profile(leaf)
    chains = {_chain_at(leaf, time, authorities) for time in times}
    if len(chains) != 1:
        raise Refused(f"the certificate has {len(chains)} different chains at its verified times")
    return chains.pop()


def _chain_at(leaf: Certificate, time: datetime, authorities: Sequence[AuthorityInstance]) -> tuple[Certificate, ...]:
    refusals: list[str] = []
    for authority in authorities:
        if not authority.validity.covers(time):
            refusals.append(f"{authority.common_name} is trusted from {authority.validity}")
            continue
        *intermediates, root = parse_chain(authority.chain)
        try:
            return x509.verify_chain(leaf, intermediates, [root], at=time, eku=x509.EKU_CODE_SIGNING)
        except Refused as error:
            refusals.append(f"{authority.common_name}: {error.message}")
    raise Refused(
        f"no trusted certificate authority vouches for the certificate at {encode_time(time)}, when it was used",
        "; ".join(refusals) or "the trusted root names no certificate authority",
    )


def _check_profile(leaf: Certificate) -> None:
    """Fulcio's certificate specification: an end entity that may sign code and nothing else.

    Checked here once more and apart from the chain, so that no change there can let an authority sign as a person.
    """
    if (constraints := leaf.extension(_BASIC_CONSTRAINTS)) is not None:
        fields = der.Reader(constraints.value, "the basic constraints").enter()
        if fields.default_false():
            raise Refused("the signing certificate is a certificate authority's", "a CA must not sign artifacts itself")
    usage = leaf.extension(_KEY_USAGE)
    bits = der.Reader(usage.value, "the key usage").bit_string()[0] if usage is not None else b""
    if not bits or not bits[0] & 0x80:
        raise Refused("the signing certificate's key usage does not allow digital signatures")
    if x509.EKU_CODE_SIGNING not in _purposes(leaf):
        raise Refused(
            "the signing certificate is not for code signing", f"its extended key usage lacks {x509.EKU_CODE_SIGNING}"
        )


def _purposes(leaf: Certificate) -> tuple[str, ...]:
    extension = leaf.extension(_EXTENDED_KEY_USAGE)
    if extension is None:
        return ()
    fields = der.Reader(extension.value, "the extended key usage").enter()
    purposes = []
    while not fields.at_end:
        purposes.append(fields.oid())
    return tuple(purposes)
