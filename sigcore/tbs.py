# SPDX-License-Identifier: Apache-2.0
"""A certificate of which only the signed part is there, as a certificate log keeps a precertificate.

Source: RFC 6962 section 3.2 (PreCert), RFC 5280 section 4.1.2 (TBSCertificate).
"""

from __future__ import annotations

from dataclasses import replace

from sigcore import der
from sigcore.x509 import Certificate, parse_certificate


def unsigned(tbs: bytes) -> Certificate:
    """What the signed part of a precertificate says; its ``der`` and ``signature`` are empty.

    Raises:
        Malformed: it is no TBSCertificate.
    """
    fields = der.Reader(tbs, "the precertificate").enter()
    fields.raw(der.context(0))
    fields.content(der.INTEGER)
    without_signature = der.sequence(tbs, fields.raw(der.SEQUENCE), der.bit_string(b""))
    return replace(parse_certificate(without_signature, what="the precertificate"), der=b"")
