# SPDX-License-Identifier: Apache-2.0
"""Certificates that the public Sigstore issued, out of the bundles of its conformance suite."""

from __future__ import annotations

import base64
import json

from sigcore import sct, x509


def public_leaves(vectors):
    found = {}
    for path in sorted((vectors / "sigstore-conformance" / "bundle-verify").glob("*/bundle.sigstore.json")):
        try:
            material = json.loads(path.read_bytes())["verificationMaterial"]
        except ValueError:
            continue  # the malformed one
        single = [material["certificate"]] if "certificate" in material else []
        for item in (*single, *material.get("x509CertificateChain", {}).get("certificates", ())):
            certificate = x509.parse_certificate(base64.b64decode(item["rawBytes"]))
            # Others are CA certificates, and forgeries that were made to be refused.
            if x509.organization(certificate.issuer) == "sigstore.dev" and certificate.extension(sct.SCT_LIST_OID):
                found[certificate.der] = certificate
    return list(found.values())
