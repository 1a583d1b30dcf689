# SPDX-License-Identifier: Apache-2.0
"""Certificates that the public Sigstore issued, wherever they stand in the third-party vectors."""

from __future__ import annotations

import base64
import re
from functools import cache

from sigcore import sct, x509
from sigcore.errors import SigError

BASE64 = re.compile(rb"[A-Za-z0-9+/]{200,}={0,2}")
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")


@cache
def public_leaves(vectors):
    found = {}
    for path in sorted(vectors.rglob("*")):
        for der in certificates_in(path.read_bytes()) if path.is_file() else ():
            try:
                certificate = x509.parse_certificate(der)
            except SigError:
                continue  # something else that starts alike, or damaged on purpose
            # Others are CA certificates, and forgeries that were made to be refused.
            if x509.organization(certificate.issuer) == "sigstore.dev" and certificate.extension(sct.SCT_LIST_OID):
                found[certificate.der] = certificate
    return list(found.values())


def certificates_in(data):
    """DER, as it stands in JSON, in PEM, and in the bodies of log entries, which are base64 of JSON with base64 of PEM."""
    spellings = [re.sub(rb"\s|\\n", b"", pem) for pem in PEM.findall(data)]
    for text in (*spellings, *BASE64.findall(data)):
        try:
            inner = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        if inner.startswith(b"\x30\x82"):
            yield inner
        elif inner.startswith((b"{", b"-----")):
            yield from certificates_in(inner)
