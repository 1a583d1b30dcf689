# SPDX-License-Identifier: Apache-2.0
"""Entries of known identities, and a log that they go into."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from sigcore import certify, der, entries, extensions, fulcio, general_name, keys, x509
from sigcore.entries import HashedRekord
from tlog.log import Submission

KEY = keys.generate_p256()
START = datetime(2026, 3, 1, tzinfo=UTC)
ISSUER = "https://login.example"


def certificate(identity: str, number: int = 1, **values: str) -> x509.Certificate:
    """As the CA makes them; it begins ``number`` minutes after START and has that serial number."""
    san = general_name.Email(identity) if "@" in identity else general_name.Uri(identity)
    moment = START + timedelta(minutes=number)
    tbs = certify.encode_tbs(
        serial=number,
        issuer=certify.name("ca", "org"),
        not_before=moment,
        not_after=moment + timedelta(minutes=10),
        subject=der.sequence(),
        spki=keys.encode_public_key(KEY.public_key()),
        extensions=(
            extensions.subject_alternative_name(san),
            *fulcio.encode_extensions(fulcio.FulcioExtensions(**{"issuer": ISSUER, **values})),
        ),
    )
    return x509.parse_certificate(certify.sign_tbs(tbs, KEY))


def digest(number: int) -> bytes:
    return hashlib.sha256(b"artifact %d" % number).digest()


def signed(identity: str, number: int = 1, **values: str) -> Submission:
    """An entry of Rekor v2; the signature is nothing, no log looks here."""
    verifier = entries.certificate_verifier(certificate(identity, number, **values).der)
    leaf = entries.encode_body(HashedRekord(digest(number), b"signature", verifier))
    return Submission(leaf, hashlib.sha256(leaf).digest())


def signed_by_key(number: int) -> Submission:
    verifier = entries.key_verifier(keys.encode_public_key(KEY.public_key()))
    leaf = entries.encode_body(HashedRekord(digest(number), b"signature", verifier))
    return Submission(leaf, hashlib.sha256(leaf).digest())
