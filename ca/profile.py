# SPDX-License-Identifier: Apache-2.0
"""Principal + key + time -> the TBSCertificate of a Fulcio leaf (Fulcio certificate specification, RFC 5280). Pure.

    precertificate = draft + poison          final = draft + SCT list

Both come from one :class:`Draft`, so that they cannot differ in anything else. The general builder, ``certify.encode_tbs``,
makes the same bytes and is their oracle in the tests; here the parts that never vary are joined ready-made.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from ca.principal import Principal
from sigcore import certify, der, extensions, fulcio, signatures
from sigcore.errors import Refused, Unavailable
from sigcore.strict import encode_time
from sigcore.values import dataclass
from sigcore.x509 import EKU_CODE_SIGNING, Certificate, Extension

LIFETIME: Final = timedelta(minutes=10)
"""As the official authority has it; :class:`Profile` takes another one."""
EMPTY_NAME: Final = der.sequence()
_VERSION_3: Final = der.tlv(der.context(0), der.integer(2))
_EXTENSIONS: Final = der.context(3)
_USAGE: Final = b"".join(
    map(
        certify.encode_extension,
        (extensions.key_usage("digitalSignature"), extensions.extended_key_usage(EKU_CODE_SIGNING)),
    )
)
_SUBJECT_KEY_ID: Final = certify.encode_extension(
    Extension(extensions.SUBJECT_KEY_ID, critical=False, value=der.octet_string(bytes(20)))
)[:-20]
"""What stands before a key identifier, which is always 20 bytes long."""


@dataclass(frozen=True, slots=True)
class Draft:
    """All of a certificate but its last extension and its signature, in DER.

    Attributes:
        head: the fields of the TBSCertificate before the extensions.
        extensions: one after the other, without what holds them together.
    """

    head: bytes
    extensions: bytes

    def encode(self, last: bytes) -> bytes:
        """The TBSCertificate with ``last`` (Extension in DER, or nothing) as its last extension."""
        return der.sequence(self.head, der.tlv(_EXTENSIONS, der.sequence(self.extensions, last)))


class Profile:
    """The certificates of one issuing CA. What is the same in all of them is encoded once."""

    __slots__ = ("_algorithm_and_issuer", "_authority_key_id", "_issuer", "_lifetime")

    def __init__(self, issuer: Certificate, lifetime: timedelta = LIFETIME) -> None:
        self._issuer = issuer
        self._lifetime = lifetime
        self._algorithm_and_issuer = signatures.ECDSA_WITH_SHA256 + issuer.subject
        self._authority_key_id = certify.encode_extension(extensions.authority_key_id(subject_key_identifier(issuer)))

    def draft(self, principal: Principal, spki: bytes, now: datetime) -> Draft:
        """A fresh certificate for ``principal`` and the key ``spki``, valid from ``now`` (whole seconds) for the lifetime.

        Raises:
            Unavailable: the CA certificate is not valid for the whole of that time.
        """
        start = now.replace(microsecond=0)
        end = start + self._lifetime
        if not self._issuer.not_before <= start <= end <= self._issuer.not_after:
            raise Unavailable(
                f"the CA certificate is valid from {encode_time(self._issuer.not_before)} to"
                f" {encode_time(self._issuer.not_after)}, a certificate from {encode_time(start)} would leave that",
                "check the clock, or rotate the CA",
            )
        serial = der.integer(certify.random_serial())
        return Draft(
            b"".join((_VERSION_3, serial, self._algorithm_and_issuer, _validity(start, end), EMPTY_NAME, spki)),
            b"".join(
                (
                    _USAGE,
                    _SUBJECT_KEY_ID,
                    extensions.key_identifier(spki),
                    self._authority_key_id,
                    certify.encode_extension(extensions.subject_alternative_name(principal.san)),
                    fulcio.encode_all(principal.extensions),
                )
            ),
        )


@lru_cache(maxsize=2)
def _validity(start: datetime, end: datetime) -> bytes:
    """Kept for the certificates of one second, which have the same."""
    return der.sequence(der.time(start), der.time(end))


def subject_key_identifier(issuer: Certificate) -> bytes:
    """The key identifier of a CA certificate; Refused when it has none (RFC 5280 section 4.2.1.2: it must)."""
    identifier = extensions.parse_subject_key_id(issuer)
    if not identifier:
        raise Refused(
            "the CA certificate has no subject key identifier", "issue it with one (RFC 5280 section 4.2.1.2)"
        )
    return identifier
