# SPDX-License-Identifier: Apache-2.0
"""What a verified signature of an image claims, in the JSON that ``cosign verify`` prints.

    [{"critical": {"identity": {"docker-reference": ...}, "image": {"docker-manifest-digest": ...}, "type": ...},
      "optional": {annotations, "Subject", "Issuer", "Bundle", "RFC3161Timestamp"} or null}]

The type is that of the payload, or the predicate type of a statement. Subject and issuer come from the certificate.

Source: cosign ``cmd/cosign/cli/verify/common.go`` (PrintVerification).
"""

from __future__ import annotations

from typing import Final

from client.oci.attached import Layout
from client.oci.simplesigning import Payload, payload_json
from client.oci.verification import ImageVerified
from sigcore import fulcio
from sigcore.legacy_bundle import cosign_timestamp_json, rekor_bundle_json
from sigcore.strict import JSON

_ISSUER_OID: Final = "1.3.6.1.4.1.57264.1.1"
_WORKFLOW: Final = (
    ("githubWorkflowTrigger", "1.3.6.1.4.1.57264.1.2", "github_workflow_trigger"),
    ("githubWorkflowSha", "1.3.6.1.4.1.57264.1.3", "github_workflow_sha"),
    ("githubWorkflowName", "1.3.6.1.4.1.57264.1.4", "github_workflow_name"),
    ("githubWorkflowRepository", "1.3.6.1.4.1.57264.1.5", "github_workflow_repository"),
    ("githubWorkflowRef", "1.3.6.1.4.1.57264.1.6", "github_workflow_ref"),
)


def claims_json(one: ImageVerified, reference: str) -> dict[str, JSON]:
    """One element of that list. ``reference`` is the image as it was asked for: a statement names none itself."""
    statement = one.verified.statement
    payload = one.attached.payload
    if payload is not None:
        document = payload_json(payload)
    else:
        kind = statement.predicate_type if statement is not None else ""
        document = payload_json(Payload(reference, one.digest), kind)
    optional = {**one.annotations, **_signer(one), **_material(one)}
    return {**document, "optional": dict(sorted(optional.items())) or None}


def _signer(one: ImageVerified) -> dict[str, JSON]:
    verified = one.verified
    if not verified.chain:
        return {}
    issuer = verified.signer.issuer
    found: dict[str, JSON] = {"Subject": verified.signer.identity, "Issuer": issuer, _ISSUER_OID: issuer}
    extensions = fulcio.parse_extensions(verified.chain[0])
    for name, oid, field in _WORKFLOW:
        if value := getattr(extensions, field, ""):
            found |= {name: value, oid: value}
    return found


def _material(one: ImageVerified) -> dict[str, JSON]:
    """What stands beside a signature in the layout of tags; of a bundle cosign prints none of it."""
    bundle, found = one.attached.bundle, dict[str, JSON]()
    if one.attached.layout is not Layout.TAG:
        return found
    promised = next((entry for entry in bundle.log_entries if entry.promise is not None), None)
    if promised is not None:
        found["Bundle"] = rekor_bundle_json(promised)
    if bundle.timestamps:
        found["RFC3161Timestamp"] = cosign_timestamp_json(bundle.timestamps[0])
    return found
