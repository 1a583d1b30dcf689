# SPDX-License-Identifier: Apache-2.0
"""Fulcio's certificate extensions 1.3.6.1.4.1.57264.1.*: one table, both ways.

Arcs 1 to 6 hold the text's UTF-8 bytes as they are, arcs 8 to 24 a DER UTF8String. Which of the two is decided by the arc
alone: a raw value that happens to look like DER, or that holds a NUL, is still just text. Arc 7 is no extension but the type
of an otherName (``general_name.OtherName``). Arcs 1 and 8 both carry the issuer, and always both: sigstore-python reads arc 1, the
others arc 8.

Source: Fulcio ``docs/oid-info.md`` and ``pkg/certificate/extensions.go``.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import compress
from operator import attrgetter

from sigcore import der
from sigcore.errors import Malformed
from sigcore.strict import shown
from sigcore.values import dataclass
from sigcore.x509 import Certificate, Extension

ARC = "1.3.6.1.4.1.57264.1"


@dataclass(frozen=True, slots=True)
class FulcioExtensions:
    """What the identity token said, as the certificate repeats it. An empty text is an absent extension."""

    issuer: str = ""
    github_workflow_trigger: str = ""
    github_workflow_sha: str = ""
    github_workflow_name: str = ""
    github_workflow_repository: str = ""
    github_workflow_ref: str = ""
    build_signer_uri: str = ""
    build_signer_digest: str = ""
    runner_environment: str = ""
    source_repository_uri: str = ""
    source_repository_digest: str = ""
    source_repository_ref: str = ""
    source_repository_identifier: str = ""
    source_repository_owner_uri: str = ""
    source_repository_owner_identifier: str = ""
    build_config_uri: str = ""
    build_config_digest: str = ""
    build_trigger: str = ""
    run_invocation_uri: str = ""
    source_repository_visibility_at_signing: str = ""
    deployment_environment: str = ""
    token_subject: str = ""


_TABLE: tuple[tuple[int, str], ...] = (
    (1, "issuer"),
    (2, "github_workflow_trigger"),
    (3, "github_workflow_sha"),
    (4, "github_workflow_name"),
    (5, "github_workflow_repository"),
    (6, "github_workflow_ref"),
    (8, "issuer"),
    (9, "build_signer_uri"),
    (10, "build_signer_digest"),
    (11, "runner_environment"),
    (12, "source_repository_uri"),
    (13, "source_repository_digest"),
    (14, "source_repository_ref"),
    (15, "source_repository_identifier"),
    (16, "source_repository_owner_uri"),
    (17, "source_repository_owner_identifier"),
    (18, "build_config_uri"),
    (19, "build_config_digest"),
    (20, "build_trigger"),
    (21, "run_invocation_uri"),
    (22, "source_repository_visibility_at_signing"),
    (23, "deployment_environment"),
    (24, "token_subject"),
)
"""(last arc, field), in the order in which Fulcio writes them."""
_LAST_RAW_ARC = 6
_SMALL_TEXT = 256
"""Characters; longer ones are not kept, so that what others send cannot fill the memory."""
_SMALL_ALL = 1024
"""Bytes in all values together; the same."""
_texts = attrgetter(*(field for _, field in _TABLE))
_OIDS = {arc: f"{ARC}.{arc}" for arc, _ in _TABLE}
_FIELDS = {_OIDS[arc]: (arc, field) for arc, field in _TABLE}


def oid_of(field: str) -> str:
    """The object identifier of a field of :class:`FulcioExtensions`; of the issuer that of arc 8.

    Raises:
        KeyError: there is no such field.
    """
    return {name: oid for oid, (_, name) in _FIELDS.items()}[field]


def encode_extensions(values: FulcioExtensions) -> tuple[Extension, ...]:
    """The non-empty values as non-critical extensions, in Fulcio's order.

    Raises:
        Malformed: a value has a lone surrogate, which UTF-8 cannot carry.
    """
    return tuple(
        Extension(_OIDS[arc], critical=False, value=_encode(arc, field, text)) for arc, field, text in _present(values)
    )


def encode_all(values: FulcioExtensions) -> bytes:
    """:func:`encode_extensions` in DER, one after the other.

    Raises:
        Malformed: as there.
    """
    return b"".join(
        [
            _encode_one(arc, field, text) if len(text) > _SMALL_TEXT else _recent_one(arc, field, text)
            for arc, field, text in _present(values)
        ]
    )


def _present(values: FulcioExtensions) -> list[tuple[int, str, str]]:
    texts = _texts(values)
    return [(arc, field, text) for (arc, field), text in zip(compress(_TABLE, texts), filter(None, texts), strict=True)]


def _encode_one(arc: int, field: str, text: str) -> bytes:
    value = der.tlv(der.OCTET_STRING, _encode(arc, field, text))
    return der.tlv(der.SEQUENCE, der.oid(_OIDS[arc]), value)


_recent_one = lru_cache(maxsize=256)(_encode_one)
"""Issuers and repositories are few, and stand in many certificates."""


def _encode(arc: int, field: str, text: str) -> bytes:
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Malformed(f"the extension {field} is {shown(text)}, which is not Unicode text") from error
    return data if arc <= _LAST_RAW_ARC else der.tlv(der.UTF8_STRING, data)


def parse_extensions(certificate: Certificate) -> FulcioExtensions:
    """What a certificate says; other extensions are left alone.

    Raises:
        Malformed: a value is not UTF-8 or not in its arc's form, or arcs 1 and 8 name two issuers.
    """
    own = tuple([(one.oid, one.value) for one in certificate.extensions if one.oid in _FIELDS])
    return (_recent_all if sum([len(value) for _, value in own]) <= _SMALL_ALL else _parse_all)(own)


def _parse_all(own: tuple[tuple[str, bytes], ...]) -> FulcioExtensions:
    values: dict[str, str] = {}
    for oid, value in own:
        arc, field = _FIELDS[oid]
        read = _recent_text if len(value) <= _SMALL_TEXT else _parse
        text = read(arc, field, value)
        if values.setdefault(field, text) != text:
            raise Malformed(f"the certificate names two issuers, {shown(values[field])} and {shown(text)}")
    return FulcioExtensions(**values)


_recent_all = lru_cache(maxsize=64)(_parse_all)
"""Who signs twice says the same of himself twice."""


def _parse(arc: int, field: str, value: bytes) -> str:
    if arc <= _LAST_RAW_ARC:
        value = der.tlv(der.UTF8_STRING, value)
    reader = der.Reader(value, f"the extension {field}")
    text = reader.utf8()
    reader.finish()
    return text


_recent_text = lru_cache(maxsize=256)(_parse)
