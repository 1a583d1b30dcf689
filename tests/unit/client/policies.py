# SPDX-License-Identifier: Apache-2.0
"""A policy for the tests, as the JSON object that somebody would write, and signatures that it is about."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta

from client.policy.document import parse_policy
from client.policy.rules import Policy
from client.verify import Verified, verify_own
from client.verify.signed import ManagedKey
from sigcore import fulcio, general_name, keys
from tests.unit.client.minilog import NOW
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, MiniSigstore, digest_of

CI, OTHER = "https://ci.example", "https://other.example"
JOB = "https://ci.example/web/shop//.ci.yml@refs/tags/v1"
KEY = keys.generate_p256()
KEY_HASH = keys.key_id(keys.encode_public_key(KEY.public_key())).hex()
PREDICATE = "https://example.com/p/v1"
EXPIRES = NOW + timedelta(days=400)

DOCUMENT = {
    "apiVersion": "policy/v1",
    "expires": EXPIRES.date().isoformat(),
    "identities": {
        "alice": {"issuer": ISSUER, "email": EMAIL},
        "bob": {"issuer": ISSUER, "email": "bob@example.com"},
        "web": {
            "issuer": CI,
            "san": "https://ci.example/web/*//.ci.yml@refs/tags/*",
            "claims": {"source-repository-owner-uri": "https://ci.example/web"},
        },
        "old-key": {"publicKey": f"sha256:{KEY_HASH}", "until": "2026-12-31"},
    },
    "groups": {"managers": ["alice", "bob"]},
    "artifacts": [
        {"match": {"file": "installer-*.msi", "purl": "pkg:generic/installer@*"}, "allow": ["managers"], "threshold": 2},
        {"match": {"file": "*.txt"}, "allow": ["alice"], "anyName": True},
        {"match": {"file": "dist/**"}, "allow": ["web", "old-key"]},
        {"match": {"oci": "r.example/web/**"}, "allow": ["web"], "trustRoot": "public"},
        {
            "match": {"file": "it"},
            "attestations": [{"predicateType": PREDICATE, "by": ["alice"], "where": {"build.type": "https://b/*"}}],
        },
    ],
}  # fmt: skip


def document(**changes) -> dict:
    """The document with other members; a value of None takes the member away."""
    made = deepcopy(DOCUMENT) | changes
    return {name: value for name, value in made.items() if value is not None}


def policy(**changes) -> Policy:
    return parse_policy(json.dumps(document(**changes)).encode())


def signed(
    sigstore: MiniSigstore, san: general_name.San | None = None, issuer: str = ISSUER, **claims: str
) -> Verified:
    """A verified signature of the artifact by that name."""
    given = fulcio.encode_extensions(fulcio.FulcioExtensions(issuer, **claims))
    bundle = sigstore.sign(san=san or general_name.Email(EMAIL), issuer=given)
    return verify_own(bundle, digest_of(ARTIFACT), root=sigstore.root)


def by_job(sigstore: MiniSigstore, uri: str = JOB, issuer: str = CI, owner: str = "https://ci.example/web") -> Verified:
    return signed(sigstore, general_name.Uri(uri), issuer, source_repository_owner_uri=owner)


def by_key(sigstore: MiniSigstore) -> Verified:
    bundle = sigstore.sign_v1(key=KEY)
    return verify_own(bundle, digest_of(ARTIFACT), root=sigstore.root, key=ManagedKey(KEY.public_key()))
