# SPDX-License-Identifier: Apache-2.0
"""Every bound in one place, each with its reason. Sizes are in bytes unless the name says otherwise."""

from __future__ import annotations

from typing import Final

# --- generic -------------------------------------------------------------------------------------
JSON_DEPTH: Final = 64
"""Nesting that no Sigstore message comes near; keeps recursive walks away from the interpreter's limit."""
INTEGER_DIGITS: Final = 19
"""2**63-1 has 19 decimal digits; longer numbers are hostile (quadratic conversion) or a bug."""
INT64_MAX: Final = 2**63 - 1
TEXT: Final = 16 * 1024
"""Any single JSON string that is not itself a blob."""
OID_ARCS: Final = 32
OID_ARC_BITS: Final = 128
"""Long enough for UUID arcs (2.25.*), short enough that conversion costs nothing."""
OID_BYTES: Final = 128
"""In DER; the longest identifiers in use have under 30."""
DER_DEPTH: Final = 32

# --- keys, certificates, tokens --------------------------------------------------------------------
PUBLIC_KEY: Final = 4096
"""SPKI of RSA-4096 is 550 bytes; its PEM under 1 KiB."""
SIGNATURE: Final = 1024
"""RSA-4096 signs with 512 bytes."""
CERTIFICATE: Final = 32 * 1024
CSR: Final = 16 * 1024
CHAIN_CERTIFICATES: Final = 8
PASSPHRASE: Final = 1024
"""One line that somebody chose; PBKDF2 takes any length."""
KEY_URI: Final = 2 * 1024
"""The URI of a key in a token: labels have 32 characters, paths up to 255 for each folder."""
KMS_ANSWER: Final = 64 * 1024
"""What a program that holds a key may answer: a public key, a signature, or a sentence."""
IDENTITY_TOKEN: Final = 16 * 1024
TOKEN_KEY_SET: Final = 256 * 1024
"""Keys come with certificate chains (x5c) at some providers."""
TOKEN_KEYS: Final = 50
ISSUERS: Final = 256
"""Rows of the table of issuers in one file; the public Fulcio has 31."""
NAME_PATTERNS: Final = 64
"""Of one issuer: each of them is held against every name."""
DISCOVERY: Final = 64 * 1024
"""An issuer's ``openid-configuration``; those of the large providers have under 8 KiB."""
IDENTITY: Final = 254
"""RFC 5321 section 4.5.3.1.3: a path has at most 256 octets with its angle brackets."""

# --- log -------------------------------------------------------------------------------------------
ENTRY: Final = 65535
"""C2SP tlog-tiles: entry bundles carry a 16-bit length."""
LOG_REQUEST: Final = 4 * 1024 * 1024
"""rekor-tiles refuses request bodies above 4 MiB."""
NOTE: Final = 64 * 1024
NOTE_SIGNATURES: Final = 64
TLOG_POLICY: Final = 256 * 1024
TLOG_POLICY_ROWS: Final = 256
"""Of each kind; C2SP tlog-policy asks for at least 32."""
ORIGIN: Final = 255
PROOF_HASHES: Final = 64
"""A tree of 2**63 leaves has paths of 63 hashes."""

ENVELOPE_SIGNATURES: Final = 16
"""Signatures of one DSSE envelope, and keys that may verify them: each pair costs a verification."""
ATTESTATION: Final = 100 * 1024
"""Payloads up to this size are kept beside an in-toto entry; Rekor's own default."""
STATEMENT_DIGESTS: Final = 4096
"""Digests of one in-toto statement that the entry is found by, in the order of the statement."""
INDEX_KEY: Final = 512
"""Characters of one search key; Rekor's API has the same bound for subjects."""
SEARCH_RESULTS: Final = 100_000
"""Entries that one search may answer, 8 MB of ids; who matches more is told so instead of given a part."""
RETRIEVE_QUERIES: Final = 10
"""Entries that one ``retrieve`` may ask for (Rekor's ``maxSearchQueries``)."""

# --- services ----------------------------------------------------------------------------------------
CERTIFICATE_REQUEST: Final = 64 * 1024
TIMESTAMP_REQUEST: Final = 2 * 1024
TIMESTAMP_JSON_REQUEST: Final = 1024
TIMESTAMP_RESPONSE: Final = 64 * 1024
NONCE: Final = 32
OAUTH_PARAMETERS: Final = 8 * 1024
"""A query or a form of the OpenID provider; aiohttp takes no longer request line."""
REDIRECT_URI: Final = 1024
PASSWORD: Final = 1024
"""Hashed whole; longer ones would be work for nothing."""

# --- client ------------------------------------------------------------------------------------------
BUNDLE: Final = 32 * 1024 * 1024
"""An attestation may carry a large predicate; everything beside it is small."""
TRUSTED_ROOT: Final = 4 * 1024 * 1024
TRUST_KIT: Final = 64 * 1024 * 1024
TRUST_KIT_FILES: Final = 1024
SERVICE_RESPONSE: Final = 4 * 1024 * 1024
TRUST_INSTANCES: Final = 64
"""Logs or authorities of one kind in a trusted root, services of one kind in a signing config; the public root has 2."""
BUNDLE_LOG_ENTRIES: Final = 32
"""sigstore-go caps entries and timestamps at 32 each (CVE-2024-45395): each one costs signature checks."""
BUNDLE_TIMESTAMPS: Final = 32
STATEMENT_SUBJECTS: Final = 1024
"""sigstore-go's bound for the subjects of one in-toto statement."""
SUBJECT_DIGESTS: Final = 32
"""sigstore-go's bound for the digests of one subject."""
IDENTITY_PATTERN: Final = 1024
"""Characters of a regular expression for identities."""
PATTERN_STEPS: Final = 4096
"""Of a regular expression's automaton, with its repeats written out; RE2's bound for one repeat is 1000."""

WORKERS: Final = 256
"""Processes that one command verifies with."""

PACKAGE: Final = 512 * 1024 * 1024
"""What an npm package may unpack to, while its name is looked for; the largest that are in use have half of that."""
PACKAGE_MANIFEST: Final = 1024 * 1024
"""A ``package.json``."""

# --- policy ------------------------------------------------------------------------------------------
POLICY: Final = 1024 * 1024
POLICY_YAML: Final = 128 * 1024
"""Reading YAML takes a second for so much, and JSON a hundredth of that."""
POLICY_RULES: Final = 256
POLICY_WILDCARDS: Final = 512
"""Patterns with wildcards in one policy: they are compared with each other when it is loaded."""
POLICY_PLACES: Final = 2_000_000
"""Places tried in all these comparisons; some seconds. Patterns of many ``**`` that begin alike cost so much."""
POLICY_IDENTITIES: Final = 1024
"""Also groups, and the members of one."""
POLICY_NAMES: Final = 64
"""Patterns of one rule, claims of one identity, conditions of one attestation, values of one condition."""
POLICY_GLOB: Final = 512
POLICY_NAME: Final = 4096
"""Characters of a name that a pattern is held against; PATH_MAX."""

# --- images ------------------------------------------------------------------------------------------
OCI_NAME: Final = 255
"""Characters of registry and repository together; the distribution specification's note for implementers."""
OCI_MANIFEST: Final = 4 * 1024 * 1024
"""The distribution specification: registries should take manifests of 4 MB."""
OCI_DESCRIPTORS: Final = 1000
"""Layers of one manifest, or manifests of one index or page (CVE-2024-29902)."""
OCI_ANNOTATIONS: Final = 256
OCI_ANNOTATION: Final = 1024 * 1024
"""A signature's annotations hold certificate chains and timestamps."""
OCI_PAYLOAD: Final = 1024 * 1024
"""What a signature in the layout of tags is over; its annotations are all that grows."""
OCI_ATTACHMENT: Final = 128 * 1024 * 1024
"""A blob that is held in memory; cosign's own bound for attachments (CVE-2024-29903)."""
OCI_BLOB: Final = 64 * 1024 * 1024 * 1024
"""A layer that is copied by way of a file."""
OCI_REFERRERS: Final = 1000
"""What refers to one image, over all pages and both ways of listing."""
OCI_PAGES: Final = 100
OCI_TAGS: Final = 100_000
OCI_TOKEN: Final = 64 * 1024
"""A registry's token; it goes into one header line."""
DOCKER_CONFIG: Final = 1024 * 1024
