# SPDX-License-Identifier: Apache-2.0
"""What an attacker of the lessons makes, in memory: an authority, a clock that goes fast, a log of his own."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ca.principal import Principal
from ca.profile import Profile
from client.sign import Certified
from sigcore import certify, fulcio, general_name, keys, merkle, x509
from sigcore.bundle import Bundle
from sigcore.checkpoint import Checkpoint, sign_checkpoint
from sigcore.log_entry import InclusionProof, LogEntry
from sigcore.note import parse_note
from sigcore.timestamp_signer import TimestampSigner
from sigcore.trustroot import AuthorityInstance, Validity
from sigcore.tst_info import TimestampInfo
from sigcore.x509 import Certificate

_LIFE: Final = timedelta(days=2)
_NAME: Final = "Mallory"
_POLICY: Final = "1.3.6.1.4.1.57264.2"


def make_authority(honest: Certificate, now: datetime) -> tuple[Certified, AuthorityInstance]:
    """A key with a certificate that says what ``honest`` says, by an authority of the attacker's, and that authority."""
    root_key, issuing, key = (keys.generate_p256() for _ in range(3))
    root = x509.parse_certificate(certify.make_root(root_key, _subject("authority root", now)))
    spki = keys.encode_public_key(issuing.public_key())
    authority = x509.parse_certificate(
        certify.make_intermediate(root, root_key, spki, _subject("authority", now), eku=x509.EKU_CODE_SIGNING)
    )
    principal = Principal(general_name.parse_san(honest), "", fulcio.parse_extensions(honest))
    draft = Profile(authority).draft(principal, keys.encode_public_key(key.public_key()), now)
    certificate = certify.sign_tbs(draft.encode(b""), issuing)
    return Certified(key, certificate), _instance("authority", (authority.der, root.der), now)


def stamp_late(signature: bytes, at: datetime, now: datetime) -> tuple[bytes, AuthorityInstance]:
    """A timestamp for ``at`` over ``signature``, and the authority that gave it."""
    root_key, key = keys.generate_p256(), keys.generate_p256()
    root = x509.parse_certificate(certify.make_root(root_key, _subject("clock root", now)))
    leaf = x509.parse_certificate(
        certify.make_leaf(
            root,
            root_key,
            keys.encode_public_key(key.public_key()),
            _subject("clock", now),
            eku=x509.EKU_TIME_STAMPING,
        )
    )
    signer = TimestampSigner.of(key, leaf)
    info = TimestampInfo(_POLICY, signer.hash, signer.hash.digest(signature), certify.random_serial(), at)
    return signer.encode_granted(info, certificates=True), _instance("clock", (leaf.der, root.der), now)


def fork(bundle: Bundle) -> Bundle:
    """``bundle`` with the same entry in a log of the attacker's, whose head has the name of the real log and his signature."""
    return replace(bundle, log_entries=tuple(map(_fork_entry, bundle.log_entries)))


def _fork_entry(entry: LogEntry) -> LogEntry:
    if entry.proof is None:
        return entry
    origin = parse_note(entry.proof.checkpoint).text.split("\n")[0]
    first = merkle.hash_leaf(b"whatever Mallory likes")
    root = merkle.hash_node(first, merkle.hash_leaf(entry.body))
    checkpoint = sign_checkpoint(Checkpoint(origin, 2, root), keys.generate_p256())
    return replace(entry, index=1, proof=InclusionProof(1, 2, root, (first,), checkpoint))


def change_path(bundle: Bundle) -> Bundle:
    """``bundle`` with the first hash of each proof changed."""

    def changed(entry: LogEntry) -> LogEntry:
        if entry.proof is None:
            return entry
        first, *others = entry.proof.hashes
        hashes = (bytes([first[0] ^ 1]) + first[1:], *others)
        return replace(entry, proof=replace(entry.proof, hashes=hashes))

    return replace(bundle, log_entries=tuple(map(changed, bundle.log_entries)))


def _subject(role: str, now: datetime) -> certify.Subject:
    start = now.replace(microsecond=0) - timedelta(hours=1)
    return certify.Subject(f"{_NAME}'s {role}", _NAME, start, start + _LIFE)


def _instance(role: str, chain: tuple[bytes, ...], now: datetime) -> AuthorityInstance:
    return AuthorityInstance(_NAME, f"{_NAME}'s {role}", "", chain, Validity(now - timedelta(hours=1)))
