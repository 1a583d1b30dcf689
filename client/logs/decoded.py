# SPDX-License-Identifier: Apache-2.0
"""An entry of a log for people: body, signers, certificates with Fulcio's names, the time or that there is none.

Whoever wrote the entry chose what stands in it; that it is in the log says nothing about whom it names.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict

from client.inspection import inspect_certificate, inspect_log_entry
from sigcore import keys, merkle
from sigcore.entry_content import EntryContent, read_content
from sigcore.errors import Malformed, SigError
from sigcore.fulcio import parse_extensions
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON
from sigcore.subjects import subject_names
from sigcore.values import dataclass
from sigcore.x509 import Certificate


@dataclass(frozen=True, slots=True)
class Named:
    """Whom one signer of an entry names: the ``names`` of a certificate and its OIDC ``issuer``, or a bare ``key`` alone.

    ``key`` is SHA-256 of the DER SubjectPublicKeyInfo in hexadecimal digits, ``serial`` the certificate's number.
    """

    names: tuple[str, ...]
    issuer: str | None
    """Empty where none is named, None where it cannot be read."""
    extensions: tuple[tuple[str, str], ...]
    """(Fulcio's name, value), those that are there."""
    key: str
    serial: str = ""


def read_named(body: bytes) -> tuple[Named, ...]:
    """Whom the signers of an entry name; nothing of a body that is of no known kind."""
    return tuple(map(named_by, read_content_or_nothing(body).signers))


def read_content_or_nothing(body: bytes) -> EntryContent:
    """What a body says; nothing where it is of another kind than we know, which any log may have."""
    try:
        return read_content(body)
    except Malformed:
        return EntryContent("", (), ())


def named_by(signer: bytes | Certificate) -> Named:
    """Whom a signer names: a key (DER SubjectPublicKeyInfo), or a certificate."""
    if isinstance(signer, bytes):
        return Named((), "", (), keys.key_id(signer).hex())
    key, serial = keys.key_id(signer.spki).hex(), f"{signer.serial:x}"
    return Named(_names(signer), *_extensions(signer), key, serial)


def _names(certificate: Certificate) -> tuple[str, ...]:
    with suppress(Malformed):
        return subject_names(certificate)
    return ()


def _extensions(certificate: Certificate) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Read apart from the names: a broken extension must not hide whom a certificate names."""
    try:
        values = parse_extensions(certificate)
    except Malformed:
        return None, ()
    return values.issuer, tuple((name, text) for name, text in asdict(values).items() if text)


def decode_entry(entry: LogEntry) -> dict[str, JSON]:
    """Everything that is in ``entry``, and what its body says of the signers."""
    content = read_content_or_nothing(entry.body)
    return {
        **inspect_log_entry(entry),
        "leafHash": merkle.hash_leaf(entry.body).hex(),
        "digests": [*content.digests],
        "signers": [_signer(signer) for signer in content.signers],
    }


def _signer(signer: bytes | Certificate) -> JSON:
    if isinstance(signer, bytes):
        return {"publicKey": {"sha256": keys.key_id(signer).hex()}}
    try:
        return {"certificate": inspect_certificate(signer.der)}
    except SigError as error:
        return {"cannot be read": str(error)}
