# SPDX-License-Identifier: Apache-2.0
"""That the certificate is in a certificate-transparency log: the SCTs embedded in it (RFC 6962 section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sigcore import der, keys, precertificate, sct
from sigcore.errors import Malformed, Refused
from sigcore.sct import PrecertEntry, SignedCertificateTimestamp
from sigcore.strict import encode_time
from sigcore.trustroot import LogInstance
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_key_id = lru_cache(maxsize=64)(keys.key_id)
"""Logs are few and sign much."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class VerifiedSct:
    """The log at ``log`` has promised at ``time`` to hold the certificate: ``sct``, by ``source`` of the trusted root."""

    log: str
    time: datetime
    sct: SignedCertificateTimestamp
    source: LogInstance


def verify_scts(leaf: Certificate, issuer: Certificate, logs: Sequence[LogInstance]) -> tuple[VerifiedSct, ...]:
    """The SCTs of trusted logs; there must be one, and each of a trusted log must verify. Those of others say nothing.

    1. Take the SCT list out of the certificate.
    2. Rebuild what the log saw: the precertificate, bound to the issuer's key.
    3. For each SCT: find the log by its full id; its window must cover the SCT's time; verify the signature.

    Raises:
        Refused: no SCT, none of a trusted log, or one that does not verify. Malformed: the list is not well-formed.
    """
    extension = leaf.extension(sct.SCT_LIST_OID)
    if extension is None:
        raise Refused(
            "the certificate carries no SCT, so it may never have been published",
            "the certificate authority must submit to a certificate-transparency log and embed the answer",
        )
    reader = der.Reader(extension.value, "the SCT extension")
    found = sct.parse_sct_list(reader.octet_string())
    reader.finish()
    entry = precertificate.precert_entry(leaf, issuer.spki)
    verified = tuple(
        _verify(one, entry, known) for one in found if (known := [log for log in logs if log.log_id == one.log_id])
    )
    if not verified:
        ids = ", ".join(one.log_id.hex()[:16] for one in found)
        raise Refused(
            f"the certificate has {len(found)} SCTs, none of a trusted log",
            f"log ids start with {ids}; is the trusted root the right one and up to date?",
        )
    return verified


def _verify(one: SignedCertificateTimestamp, entry: PrecertEntry, known: Sequence[LogInstance]) -> VerifiedSct:
    time = _moment(one.timestamp_ms)
    log = next((log for log in known if log.validity.covers(time)), None)
    if log is None:
        raise Refused(
            f"the SCT is of {encode_time(time)}, the log {known[0].base_url} is trusted from {known[0].validity}",
            "is the trusted root up to date?",
        )
    key = log.public_key()  # its SPKI has one spelling, so the id of the key is that of log.key
    sct.verify_sct(one, entry, key, _key_id(log.key))
    return VerifiedSct(log.base_url, time, one, log)


def _moment(milliseconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError as error:
        raise Malformed(f"the SCT has the time {milliseconds} ms, which is no moment of the calendar") from error
