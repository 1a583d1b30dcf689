# SPDX-License-Identifier: Apache-2.0
"""What an entry of a log says about itself, in the words that people search by. Pure; nothing here is verified.

A body that a log took was verified then. Certificates are read leniently all the same: a log vouches for no identity, so it
holds certificates of every kind, and one that cannot be read is an entry without an identity.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from enum import Enum

from sigcore import merkle, sct, tbs, x509
from sigcore.entry_content import read_content
from sigcore.errors import Malformed
from sigcore.fulcio import parse_extensions
from sigcore.subjects import subject_names
from sigcore.values import dataclass


class Kind(Enum):
    """What a term is; the values are what a query writes before the colon."""

    IDENTITY = "identity"
    ISSUER = "issuer"
    REPOSITORY = "repository"
    COMMIT = "commit"
    DIGEST = "digest"
    KEY = "key"
    SERIAL = "serial"
    ENTRY = "entry"


@dataclass(frozen=True, slots=True)
class Term:
    """``value`` is text for IDENTITY, ISSUER, REPOSITORY and COMMIT, lower-case hexadecimal digits for the others.

    DIGEST is of an artifact, a payload or an envelope; KEY is SHA-256 of a DER SubjectPublicKeyInfo; ENTRY is the leaf hash.
    """

    kind: Kind
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """``kind`` is that of the entry (``hashedrekord 0.0.2``, ``precertificate``); ``time_ms`` is Unix time in milliseconds.

    ``time_ms`` is when the log says that it took the entry, where it says so; else when the certificate began; else None.
    """

    kind: str
    terms: tuple[Term, ...]
    time_ms: int | None = None
    certificate: x509.Certificate | None = None
    spki: bytes = b""
    """The first bare key, DER; empty where certificates speak for all."""

    def first(self, kind: Kind) -> str:
        """The first term of this kind; empty when there is none."""
        return next((term.value for term in self.terms if term.kind is kind), "")


# --- Rekor -------------------------------------------------------------------------------------------
def rekor_facts(body: bytes, time_ms: int | None = None) -> Facts:
    """The facts of a canonical body of Rekor v1 or v2.

    Args:
        body: the leaf.
        time_ms: the integrated time where the log has one.

    Raises:
        Malformed: the body is of no kind that these logs take.
    """
    content = read_content(body)
    terms = [Term(Kind.DIGEST, digest) for digest in content.digests]
    certificate: x509.Certificate | None = None
    spki = b""
    for signer in content.signers:
        if isinstance(signer, bytes):
            spki = spki or signer
            terms.append(_key(signer))
        else:
            certificate = certificate or signer
            terms.extend(certificate_terms(signer))
    terms.append(Term(Kind.ENTRY, merkle.hash_leaf(body).hex()))
    if time_ms is None and certificate is not None:
        time_ms = _milliseconds(certificate.not_before)
    return Facts(content.kind, tuple(dict.fromkeys(terms)), time_ms, certificate, spki)


# --- CT ----------------------------------------------------------------------------------------------
def certificate_facts(leaf: bytes) -> Facts:
    """The facts of a MerkleTreeLeaf (RFC 6962 section 3.4): final certificate or precertificate.

    Raises:
        Malformed: the leaf is none.
    """
    entry, time_ms, _ = sct.parse_leaf(leaf)
    try:
        if isinstance(entry, sct.X509Entry):
            kind, certificate = "certificate", x509.parse_certificate(entry.certificate)
        else:
            kind, certificate = "precertificate", tbs.unsigned(entry.tbs)
    except Malformed:
        return Facts("certificate", (Term(Kind.ENTRY, merkle.hash_leaf(leaf).hex()),), time_ms)
    terms = (*certificate_terms(certificate), Term(Kind.ENTRY, merkle.hash_leaf(leaf).hex()))
    return Facts(kind, tuple(dict.fromkeys(terms)), time_ms, certificate)


# --- certificates ------------------------------------------------------------------------------------
def certificate_terms(certificate: x509.Certificate) -> Iterator[Term]:
    """Who it names, who said so, where the source lies; its key and serial number."""
    yield from _names(certificate)
    yield _key(certificate.spki)
    yield Term(Kind.SERIAL, f"{certificate.serial:x}")


def _names(certificate: x509.Certificate) -> Iterator[Term]:
    try:
        names, values = subject_names(certificate), parse_extensions(certificate)
    except Malformed:
        return
    for name in names:
        yield Term(Kind.IDENTITY, name)
    for kind, text in (
        (Kind.ISSUER, values.issuer),
        (Kind.REPOSITORY, values.source_repository_uri or values.github_workflow_repository),
        (Kind.COMMIT, values.source_repository_digest or values.github_workflow_sha),
    ):
        if text:
            yield Term(kind, text)


def _key(spki: bytes) -> Term:
    return Term(Kind.KEY, hashlib.sha256(spki).hexdigest())


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
