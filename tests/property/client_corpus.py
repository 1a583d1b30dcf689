# SPDX-License-Identifier: Apache-2.0
"""The rows of ``corpus.py`` for what people hand to the client: policies, parts of bundles, old bundles, options."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial

import client.assembly
import client.packages.npm
import client.policy.conditions
import client.policy.document
import client.policy.glob
import client.policy.moments
import client.policy.yaml_form
import client.tuf_kit
import client.verify.stamp
import stack.cli.pairs
from sigcore import keys, kms, legacy_bundle, pep740, x509
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import encode_bundle
from sigcore.log_entry import encode_log_entry
from sigcore.strict import encode_time
from tests.property.corpus import BUNDLE, CERTIFICATE, P256, RESPONSE, SIGSTORE, WHAT, Parser, b64, of_fields
from tests.unit.client.policies import DOCUMENT

POLICY = json.dumps(DOCUMENT).encode()
YAML = b"apiVersion: policy/v1\ndefaults:\n  require: [log, time]\ngroups:\n  many: ['a', \"b\"]  # two\nnumber: 7\n"
PEM = x509.encode_certificate_pem(CERTIFICATE.der).encode()
ATTESTED = SIGSTORE.attest("dsse 0.0.1")
GROUP = {"publisher": None, "attestations": [json.loads(pep740.encode_attestation(ATTESTED))]}
PROVENANCE_OF_PYPI = json.dumps({"version": 1, "attestation_bundles": [GROUP]}).encode()
PROVENANCE = {"predicateType": client.packages.npm.PROVENANCE, "bundle": json.loads(encode_bundle(ATTESTED))}
DOCUMENT_OF_NPM = json.dumps({"attestations": [PROVENANCE]}).encode()
ENTRY = encode_log_entry(BUNDLE.log_entries[0])
TSA_PEM = "".join(map(x509.encode_certificate_pem, SIGSTORE.root.timestamp_authorities[0].chain)).encode()
STAMP = json.dumps({"SignedRFC3161Timestamp": b64(RESPONSE)}).encode()


def legacy() -> bytes:
    """cosign's own bundle around an entry of Rekor v1."""
    bundle = SIGSTORE.sign_v1()
    (entry,) = bundle.log_entries
    promised = {
        "body": b64(entry.body),
        "integratedTime": entry.integrated_time,
        "logIndex": entry.index,
        "logID": entry.log_id.hex(),
    }
    return json.dumps(
        {
            "base64Signature": b64(bundle.content.signature),
            "cert": b64(x509.encode_certificate_pem(bundle.certificate).encode()),
            "rekorBundle": {"SignedEntryTimestamp": b64(entry.promise), "Payload": promised},
        }
    ).encode()


KIT = client.tuf_kit.Kit("https://sig.example/tuf", {"tuf/1.root.json": b"{}", "tuf/timestamp.json": b"{}"})

PUBLIC = keys.encode_public_key_pem(P256.public_key()).encode()
ASKED = [
    kms.Request(kms.Method.PUBLIC_KEY, "release", deadline=datetime(2125, 4, 1, 2, 47, tzinfo=UTC)),
    kms.Request(kms.Method.CREATE_KEY, "release", None, algorithm="ecdsa-p256"),
    kms.Request(kms.Method.SIGN, "release", digest=bytes(32), digest_hashing=HashAlgorithm.SHA2_256),
    kms.Request(kms.Method.VERIFY, "release", HashAlgorithm.SHA2_384, signature=b"signature"),
]


def answers(method: kms.Method, *values: kms.Answer) -> Parser:
    """What a program answers that is asked for ``method``."""
    seeds = [kms.encode_answer(value, method) for value in (*values, kms.Answer(error="not now"))]
    return Parser(
        lambda data: kms.parse_answer(data, method), seeds, lambda value: kms.encode_answer(value, method), exact=False
    )


PARSERS: dict[str, Parser] = {
    "sigcore.kms.parse_reference": Parser(
        kms.parse_reference, [b"sigbox:///a/release.key", b"my-hsm://1"], str, text=True
    ),
    "sigcore.kms.parse_request": Parser(
        kms.parse_request,
        [kms.encode_request(one).encode() for one in ASKED],
        kms.encode_request,
        exact=False,
        text=True,
    ),
    "sigcore.kms.parse_answer": answers(kms.Method.PUBLIC_KEY, kms.Answer(public_key=PUBLIC)),
    "client.assembly.parse_certificate_file": Parser(
        client.assembly.parse_certificate_file, [PEM, b64(PEM).encode(), CERTIFICATE.der], bytes, exact=False
    ),
    "client.assembly.parse_entry_file": Parser(client.assembly.parse_entry_file, [json.dumps(ENTRY).encode()]),
    "client.assembly.parse_signature_file": Parser(
        client.assembly.parse_signature_file, [b64(BUNDLE.content.signature).encode(), BUNDLE.content.signature]
    ),
    "client.assembly.parse_timestamp_file": Parser(client.assembly.parse_timestamp_file, [RESPONSE, STAMP]),
    "client.tuf_kit.parse_kit": Parser(
        client.tuf_kit.parse_kit, [client.tuf_kit.encode_kit(KIT)], client.tuf_kit.encode_kit, exact=False
    ),
    "client.verify.stamp.parse_authority_pem": Parser(
        partial(client.verify.stamp.parse_authority_pem, what=WHAT),
        [TSA_PEM],
        lambda authority: "".join(map(x509.encode_certificate_pem, authority.chain)).encode(),
        exact=False,
    ),
    "sigcore.pep740.parse_attestation": Parser(
        pep740.parse_attestation, [pep740.encode_attestation(ATTESTED)], pep740.encode_attestation, exact=False
    ),
    "sigcore.pep740.parse_provenance": Parser(pep740.parse_provenance, [PROVENANCE_OF_PYPI]),
    "sigcore.legacy_bundle.parse_cosign_timestamp": Parser(legacy_bundle.parse_cosign_timestamp, [STAMP]),
    "sigcore.legacy_bundle.parse_legacy_bundle": Parser(legacy_bundle.parse_legacy_bundle, [legacy()]),
    "client.packages.npm.parse_attestations": Parser(client.packages.npm.parse_attestations, [DOCUMENT_OF_NPM]),
    "client.policy.conditions.parse_conditions": of_fields(
        client.policy.conditions.parse_conditions, [{"a.b": "x-*", "c": ["y", "z"]}, {"d": {"before": "2026-01-01"}}]
    ),
    "client.policy.document.parse_document": Parser(
        lambda data: client.policy.document.parse_document(data).raw(), [POLICY, YAML]
    ),
    "client.policy.document.parse_policy": Parser(client.policy.document.parse_policy, [POLICY]),
    "client.policy.glob.parse_glob": Parser(
        lambda text: client.policy.glob.parse_glob(text, what=WHAT),
        [b"a/*/b", b"**", b"installer-*.msi"],
        lambda glob: glob.text,
        text=True,
    ),
    "client.policy.moments.parse_moment": Parser(
        lambda text: client.policy.moments.parse_moment(text, what=WHAT),
        [b"2026-12-31", b"2026-12-31T12:00:00Z"],
        encode_time,
        exact=False,
        text=True,
    ),
    "client.policy.yaml_form.parse_yaml": Parser(
        lambda data: client.policy.yaml_form.parse_yaml(data, what=WHAT), [YAML, POLICY]
    ),
    "stack.cli.pairs.parse_pairs": Parser(
        lambda text: stack.cli.pairs.parse_pairs(text, "--log", required=("url",), optional=("operator",)),
        [b"url=https://a.example", b"url=https://a.example,operator=b"],
        lambda pairs: ",".join(f"{key}={value}" for key, value in pairs.items()),
        text=True,
    ),
    "stack.cli.pairs.parse_window": Parser(
        lambda text: stack.cli.pairs.parse_window({"start-time": text}, "--log"), [b"2026-01-01T00:00:00Z"], text=True
    ),
}
