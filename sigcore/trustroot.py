# SPDX-License-Identifier: Apache-2.0
"""What a client trusts: TrustedRoot 0.1 in proto-JSON.

Reading is strict: unknown members, other versions and missing windows are refused, because a restriction that is not
understood must not be dropped. Writing gives what the strictest readers take: sigstore-python forbids extra members,
sigstore-go requires ``validFor.start``, sigstore-js stumbles over ``checkpointKeyId``.

Source: sigstore protobuf-specs ``sigstore_trustroot.proto``. The other two messages of that file are in
:mod:`sigcore.signing_config`.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import Final

from sigcore import limits
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.errors import Malformed, Refused
from sigcore.keys import PublicKey, parse_public_key
from sigcore.patterns import pattern
from sigcore.strict import JSON, Fields, encode_base64, encode_time, shown
from sigcore.values import dataclass

TRUSTED_ROOT: Final = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

_DETAILS_NAME = pattern(r"[A-Z][A-Z0-9_]{0,63}\Z", re.ASCII)


_log_key = lru_cache(maxsize=64)(parse_public_key)
"""Logs are few and sign much."""


# --- values ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Validity:
    """A closed time range, both ends included (``TimeRange``); without ``end`` it goes on."""

    start: datetime
    end: datetime | None = None

    def covers(self, moment: datetime) -> bool:
        """Whether ``moment`` lies in the range."""
        return self.start <= moment and (self.end is None or moment <= self.end)

    def __str__(self) -> str:
        return f"{encode_time(self.start)} to {encode_time(self.end) if self.end else 'open end'}"


@dataclass(frozen=True, slots=True)
class LogInstance:
    """A transparency log, Rekor or CT. ``key`` is SPKI DER, ``log_id`` the full 32 bytes."""

    base_url: str
    hash: HashAlgorithm
    key: bytes
    details: KeyDetails | str
    """A name outside the registry stays as text: a foreign root survives a round trip, its log verifies nothing."""
    validity: Validity
    log_id: bytes
    operator: str = ""

    def public_key(self) -> PublicKey:
        """The log's key.

        Raises:
            Refused: it is of a kind that this project does not verify with.
        """
        if isinstance(self.details, str):
            raise Refused(f"the log {shown(self.base_url)} has a key of the unsupported kind {self.details}")
        try:
            return _log_key(self.key)
        except Malformed:
            return parse_public_key(self.key, what=f"the key of the log {shown(self.base_url)}")

    def __hash__(self) -> int:
        return hash(self.log_id)  # different enough; caches ask for it often


@dataclass(frozen=True, slots=True)
class AuthorityInstance:
    """A certificate authority (``chain``: intermediates, root) or timestamp authority (leaf, intermediates, root).

    ``chain`` is DER. sigstore-python requires ``organization`` and ``common_name``.
    """

    organization: str
    common_name: str
    uri: str
    chain: tuple[bytes, ...]
    validity: Validity
    operator: str = ""


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """Everything that verification trusts; nothing else is."""

    logs: tuple[LogInstance, ...] = ()
    certificate_authorities: tuple[AuthorityInstance, ...] = ()
    ct_logs: tuple[LogInstance, ...] = ()
    timestamp_authorities: tuple[AuthorityInstance, ...] = ()


# --- parse -----------------------------------------------------------------------------------------
def parse_trusted_root(data: bytes) -> TrustedRoot:
    """A ``TrustedRoot`` in proto-JSON, version 0.1.

    Raises:
        Malformed: not that, with the path of the member at fault.
    """
    return read_trusted_root(Fields.parse(data, what="the trusted root", limit=limits.TRUSTED_ROOT, proto=True))


def check_media_type(fields: Fields, expected: str) -> None:
    """Refuse any version but ``expected``."""
    found = fields.text("mediaType")
    if found != expected:
        raise Malformed(f"{fields.path}.mediaType is {shown(found, 90)}, expected {expected}")


def read_trusted_root(fields: Fields) -> TrustedRoot:
    """A ``TrustedRoot`` message that may stand inside another one."""
    fields.only("mediaType", "tlogs", "certificateAuthorities", "ctlogs", "timestampAuthorities")
    check_media_type(fields, TRUSTED_ROOT)
    return TrustedRoot(
        logs=tuple(map(_log, fields.objects("tlogs", limit=limits.TRUST_INSTANCES))),
        certificate_authorities=tuple(
            map(_authority, fields.objects("certificateAuthorities", limit=limits.TRUST_INSTANCES))
        ),
        ct_logs=tuple(map(_log, fields.objects("ctlogs", limit=limits.TRUST_INSTANCES))),
        timestamp_authorities=tuple(
            map(_authority, fields.objects("timestampAuthorities", limit=limits.TRUST_INSTANCES))
        ),
    )


def read_validity(fields: Fields) -> Validity:
    """A ``TimeRange``; ``start`` is required, as sigstore-go demands."""
    fields.only("start", "end")
    validity = Validity(fields.time("start"), fields.optional_time("end"))
    if validity.end is not None and validity.end < validity.start:
        raise Malformed(f"{fields.path} ends before it starts: {validity}")
    return validity


def _log(fields: Fields) -> LogInstance:
    # checkpointKeyId is allowed and dropped: logId says it all, and sigstore-js breaks on its 4-byte form.
    fields.only("baseUrl", "hashAlgorithm", "publicKey", "logId", "checkpointKeyId", "operator")
    public = fields.object("publicKey")
    public.only("rawBytes", "keyDetails", "validFor")
    identifier = fields.object("logId")
    identifier.only("keyId")
    log_id = identifier.base64("keyId", limit=64)
    if len(log_id) != 32:
        raise Malformed(f"{identifier.path}.keyId has {len(log_id)} bytes, expected 32")
    key, details = public.base64("rawBytes", limit=limits.PUBLIC_KEY), _details(public)
    if isinstance(details, KeyDetails):
        parse_public_key(key, what=f"{public.path}.rawBytes")
    return LogInstance(
        base_url=fields.text("baseUrl"),
        hash=HashAlgorithm.parse(fields.text("hashAlgorithm"), what=f"{fields.path}.hashAlgorithm"),
        key=key,
        details=details,
        validity=read_validity(public.object("validFor")),
        log_id=log_id,
        operator=fields.optional_text("operator"),
    )


def _details(fields: Fields) -> KeyDetails | str:
    name = fields.text("keyDetails")
    if not _DETAILS_NAME.match(name):
        raise Malformed(f"{fields.path}.keyDetails is {shown(name)}, expected a name like PKIX_ECDSA_P256_SHA_256")
    return KeyDetails.__members__.get(name, name)


def _authority(fields: Fields) -> AuthorityInstance:
    fields.only("subject", "uri", "certChain", "validFor", "operator")
    subject = fields.object("subject")
    subject.only("organization", "commonName")
    chain = fields.object("certChain")
    chain.only("certificates")
    certificates = chain.objects("certificates", limit=limits.CHAIN_CERTIFICATES)
    if not certificates:
        raise Malformed(f"{chain.path}.certificates is empty")
    for certificate in certificates:
        certificate.only("rawBytes")
    return AuthorityInstance(
        organization=subject.optional_text("organization"),
        common_name=subject.optional_text("commonName"),
        uri=fields.optional_text("uri"),
        chain=tuple(certificate.base64("rawBytes", limit=limits.CERTIFICATE) for certificate in certificates),
        validity=read_validity(fields.object("validFor")),
        operator=fields.optional_text("operator"),
    )


# --- encode ----------------------------------------------------------------------------------------
def encode_trusted_root(root: TrustedRoot) -> bytes:
    """The file ``trusted_root.json``."""
    return dump(trusted_root_json(root))


def dump(value: dict[str, JSON]) -> bytes:
    """JSON for files: indented for people, final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def trusted_root_json(root: TrustedRoot) -> dict[str, JSON]:
    """The message as it stands in a file or inside a ``ClientTrustConfig``."""
    return {
        "mediaType": TRUSTED_ROOT,
        "tlogs": [_log_json(log) for log in root.logs],
        "certificateAuthorities": [_authority_json(authority) for authority in root.certificate_authorities],
        "ctlogs": [_log_json(log) for log in root.ct_logs],
        "timestampAuthorities": [_authority_json(authority) for authority in root.timestamp_authorities],
    }


def _given(**members: str) -> dict[str, JSON]:
    """Only the members that have a value: absent and empty are the same in protobuf, not in every reader."""
    return {name: value for name, value in members.items() if value}


def validity_json(validity: Validity) -> dict[str, JSON]:
    """The ``TimeRange`` message."""
    end = encode_time(validity.end) if validity.end else ""
    return {"start": encode_time(validity.start), **_given(end=end)}


def _log_json(log: LogInstance) -> dict[str, JSON]:
    return {
        "baseUrl": log.base_url,
        "hashAlgorithm": log.hash.name,
        "publicKey": {
            "rawBytes": encode_base64(log.key),
            "keyDetails": log.details if isinstance(log.details, str) else log.details.name,
            "validFor": validity_json(log.validity),
        },
        "logId": {"keyId": encode_base64(log.log_id)},
        **_given(operator=log.operator),
    }


def _authority_json(authority: AuthorityInstance) -> dict[str, JSON]:
    return {
        "subject": {"organization": authority.organization, "commonName": authority.common_name},
        **_given(uri=authority.uri),
        "certChain": {"certificates": [{"rawBytes": encode_base64(der)} for der in authority.chain]},
        "validFor": validity_json(authority.validity),
        **_given(operator=authority.operator),
    }
