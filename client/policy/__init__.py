# SPDX-License-Identifier: Apache-2.0
"""Who may sign what: one file for all artifacts, read strictly, and judged without a clock, disk or socket.

    {"apiVersion": "policy/v1", "expires": "2027-03-31",
     "defaults": {"require": ["log", "time"], "onNoMatch": "deny"},
     "identities": {
       "web-release": {"issuer": URL, "san": GLOB, "claims": {"source-repository-uri": GLOB}},
       "alice": {"issuer": URL, "email": "alice@corp.example"},
       "old-key": {"publicKey": "sha256:HEX of the SPKI", "until": "2026-12-31"}},
     "groups": {"managers": ["alice", "bob"]},
     "artifacts": [
       {"match": {"file": GLOB, "oci": GLOB, "purl": GLOB}, "allow": ["managers"], "threshold": 2,
        "trustRoot": NAME, "anyName": false,
        "attestations": [{"predicateType": URI, "by": ["web-release"], "where": {"path.in.predicate": CONDITION}}]}]}

How a name and its bundles are judged:

1. The policy has not expired.
2. The rule is the one with the most specific glob that matches the name (:mod:`client.policy.glob`). Without one,
   ``onNoMatch`` decides.
3. The name is the user's (``--as``), or the signature carries it, or the rule says ``anyName``: a local file name is chosen
   by whoever made the file.
4. ``threshold`` distinct identities of ``allow`` have signed, each as it is written down: issuer and name, or key before its
   ``until``, with the claims. One identity counts once, and so does one signer.
5. Every attestation that the rule demands is there: of the type, by one of ``by``, with all of ``where``.

The caller must have verified every bundle (:mod:`client.verify`) against the trusted root that the rule names. The same may be
written in YAML (:mod:`client.policy.yaml_form`); what is delivered is canonical JSON.
"""
