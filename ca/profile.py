# SPDX-License-Identifier: Apache-2.0
"""Principal + key + time -> the TBSCertificate of a Fulcio leaf (Fulcio certificate specification, RFC 5280). Pure.

    precertificate = draft + poison          final = draft + SCT list

Both come from one :class:`Draft`, so that they cannot differ in anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ca.principal import Principal
from sigcore import certify, der, extensions, fulcio
from sigcore.errors import Refused, Unavailable
from sigcore.strict import encode_time
from sigcore.x509 import EKU_CODE_SIGNING, Certificate, Extension

LIFETIME: Final = timedelta(minutes=10)
EMPTY_NAME: Final = der.sequence()


@dataclass(frozen=True, slots=True)
class Draft:
    """All of a certificate but its last extension and its signature."""

    serial: int
    not_before: datetime
    spki: bytes
    extensions: tuple[Extension, ...]


class Profile:
    """The certificates of one issuing CA; what is the same in all of them is encoded once."""

    __slots__ = ("_constant", "_issuer", "_key_identifier")

    def __init__(self, issuer: Certificate) -> None:
        self._issuer = issuer
        self._constant = (extensions.key_usage("digitalSignature"), extensions.extended_key_usage(EKU_CODE_SIGNING))
        self._key_identifier = extensions.authority_key_id(subject_key_identifier(issuer))

    def draft(self, principal: Principal, spki: bytes, now: datetime) -> Draft:
        """A fresh certificate for ``principal`` and the key ``spki``, valid from ``now`` (whole seconds) for ten minutes.

        Raises:
            Unavailable: the CA certificate is not valid for the whole of that time.
        """
        start = now.replace(microsecond=0)
        if not self._issuer.not_before <= start <= start + LIFETIME <= self._issuer.not_after:
            raise Unavailable(
                f"the CA certificate is valid from {encode_time(self._issuer.not_before)} to"
                f" {encode_time(self._issuer.not_after)}, a certificate from {encode_time(start)} would leave that",
                "check the clock, or rotate the CA",
            )
        found = (
            *self._constant,
            extensions.subject_key_id(spki),
            self._key_identifier,
            extensions.subject_alternative_name(principal.san),
            *fulcio.encode_extensions(principal.extensions),
        )
        return Draft(certify.random_serial(), start, spki, found)

    def encode(self, draft: Draft, last: Extension) -> bytes:
        """The TBSCertificate of ``draft`` with ``last`` as its last extension."""
        return certify.encode_tbs(
            serial=draft.serial,
            issuer=self._issuer.subject,
            not_before=draft.not_before,
            not_after=draft.not_before + LIFETIME,
            subject=EMPTY_NAME,
            spki=draft.spki,
            extensions=(*draft.extensions, last),
        )


def subject_key_identifier(issuer: Certificate) -> bytes:
    """The key identifier of a CA certificate; Refused when it has none (RFC 5280 section 4.2.1.2: it must)."""
    identifier = extensions.parse_subject_key_id(issuer)
    if not identifier:
        raise Refused(
            "the CA certificate has no subject key identifier", "issue it with one (RFC 5280 section 4.2.1.2)"
        )
    return identifier
