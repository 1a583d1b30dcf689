# SPDX-License-Identifier: Apache-2.0
"""The keys of a stack with their ids and the times in which they count: from the published trust root, and the provider's ring.

Only public files are read, so the page works where the console sees no secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from oidc_dev.signing import KeyRing
from sigcore import x509
from sigcore.algorithms import KeyDetails
from sigcore.trustroot import AuthorityInstance, LogInstance, TrustedRoot, Validity
from sigcore.values import dataclass

SIGNS: Final = "signs"
VERIFIES: Final = "for what it signed"
NOT_YET: Final = "published ahead"


@dataclass(frozen=True, slots=True)
class ShownKey:
    """``id`` is what others know the key by; ``use`` is one of SIGNS, VERIFIES, NOT_YET; None for a time that nothing says."""

    of: str
    id: str
    kind: str
    use: str
    since: datetime | None = None
    until: datetime | None = None


def trusted_keys(root: TrustedRoot, now: datetime) -> tuple[ShownKey, ...]:
    """Every key that clients are told to trust; those of logs by log id, those of authorities by the SHA-256 of the root."""
    logs = [("Rekor", log) for log in root.logs] + [("CT", log) for log in root.ct_logs]
    authorities = [("CA", one) for one in root.certificate_authorities]
    authorities += [("TSA", one) for one in root.timestamp_authorities]
    return (*(_log(*pair, now) for pair in logs), *(_authority(*pair, now) for pair in authorities))


def _log(of: str, log: LogInstance, now: datetime) -> ShownKey:
    kind = log.details.name if isinstance(log.details, KeyDetails) else log.details
    return ShownKey(
        of, log.log_id.hex(), kind.removeprefix("PKIX_"), _use(log.validity, now), log.validity.start, log.validity.end
    )


def _authority(of: str, one: AuthorityInstance, now: datetime) -> ShownKey:
    identifier = hashlib.sha256(one.chain[-1]).hexdigest()
    return ShownKey(of, identifier, one.common_name, _use(one.validity, now), one.validity.start, one.validity.end)


def _use(validity: Validity, now: datetime) -> str:
    if validity.covers(now):
        return SIGNS
    return NOT_YET if now < validity.start else VERIFIES


def provider_keys(ring: KeyRing, now: datetime) -> Iterator[ShownKey]:
    """The keys of identity tokens, that which signs first."""
    until = {one.id: one.until for one in ring.others}
    for name in ring.published(now):
        if name == ring.signing.id:
            yield ShownKey("OIDC", name, "RSA_2048_SHA_256", SIGNS)
        else:
            yield ShownKey(
                "OIDC", name, "RSA_2048_SHA_256", VERIFIES if until.get(name) else NOT_YET, until=until.get(name)
            )


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """A certificate that something depends on, and when it ends."""

    of: str
    name: str
    ends: datetime
    corporate: bool = False
    """Whether a PKI elsewhere has issued its chain, which issues the next one, too."""


def certificates(root: TrustedRoot, tls: bytes | None, now: datetime) -> tuple[ShownCertificate, ...]:
    """Those of the authorities that sign now, and of the listening socket (``tls``, PEM); the first to end comes first.

    Raises:
        Malformed: one of them is none.
    """
    found = [
        _certificate(of, der)
        for of, authorities in (("CA", root.certificate_authorities), ("TSA", root.timestamp_authorities))
        for one in authorities
        if one.validity.covers(now)
        for der in one.chain
    ]
    if tls is not None:
        found.append(_certificate("TLS", x509.parse_certificates_pem(tls, what="the TLS certificate")[0].der))
    return tuple(sorted(found, key=lambda one: one.ends))


def _certificate(of: str, der: bytes) -> ShownCertificate:
    certificate = x509.parse_certificate(der)
    return ShownCertificate(of, x509.common_name(certificate.subject) or of, certificate.not_after)
