# SPDX-License-Identifier: Apache-2.0
"""The precertificate that an SCT is made for: a certificate with a poison in it, and the final one with the SCT list in its place.

Source: RFC 6962 sections 3.1 and 3.2.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from sigcore import der
from sigcore.errors import Refused
from sigcore.sct import POISON_OID, SCT_LIST_OID, PrecertEntry
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_EXTENSIONS: Final = der.context(3)
_OWN: Final = frozenset((POISON_OID, SCT_LIST_OID))
_POISON: Final = der.sequence(der.oid(POISON_OID), der.boolean(value=True), der.octet_string(der.null()))
"""The one encoding of a poison extension (section 3.1)."""
_TBS_FIELDS: Final = (
    "the version",
    "the serial number",
    "the signature algorithm",
    "the issuer",
    "the validity",
    "the subject",
    "the public key",
    "the extensions",
)
"""TBSCertificate of a v3 certificate without the unique identifiers, which RFC 5280 section 4.1.2.8 tells CAs not to use."""


def precert_tbs(certificate: Certificate) -> bytes:
    """The TBSCertificate without poison and SCT list, everything else byte for byte as it is (section 3.2).

    It is the same for a precertificate and for the final certificate made from it. A list of extensions that becomes
    empty is left out altogether, since its type does not allow an empty one.

    Not done: precertificate signing certificates, where issuer and key identifier change too.
    """
    usual = _usual_tbs(certificate) if certificate.like is None else _alike_tbs(certificate, certificate.like)
    if usual is not None:
        return usual
    head, wrapped = _split(certificate.tbs)
    return der.sequence(head, _stripped(wrapped, certificate) if wrapped else b"")


def _usual_tbs(certificate: Certificate) -> bytes | None:
    """:func:`precert_tbs` where one of the two extensions comes last and others before: all but the end stays as it stands."""
    parts = _usual_parts(certificate)
    return None if parts is None else der.sequence(parts[0], der.tlv(_EXTENSIONS, der.sequence(parts[1])))


def _usual_parts(certificate: Certificate) -> tuple[bytes, bytes, bytes] | None:
    """The fields before the extensions, the extensions before the last one, and the last one."""
    *others, last = certificate.extensions or (None,)
    if not others or last is None or last.oid not in _OWN or not _OWN.isdisjoint([other.oid for other in others]):
        return None
    end = _POISON if last.oid == POISON_OID else _sct_list_extension(last.value)
    head, listed = _parts(certificate.tbs)
    return (head, listed[: -len(end)], end) if listed.endswith(end) else None


def _alike_tbs(certificate: Certificate, like: Certificate) -> bytes | None:
    """:func:`_usual_tbs` of one that is like another: the parts lie at the same places, and have the same lengths before them."""
    frame, tbs = _frame(like), certificate.tbs
    return None if frame is None else frame.before + tbs[frame.head] + frame.between + tbs[frame.kept]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where two parts of a signed part lie, and what stands before either of them in the precertificate's."""

    before: bytes
    head: slice
    between: bytes
    kept: slice


@lru_cache(maxsize=64)
def _frame(like: Certificate) -> _Frame | None:
    parts, tbs = _usual_parts(like), like.tbs
    if parts is None:
        return None
    head, kept, end = parts
    between = der.tlv(_EXTENSIONS, der.sequence(kept)).removesuffix(kept)
    before = der.sequence(head, between, kept).removesuffix(head + between + kept)
    start, stop = der.content_start(tbs, der.SEQUENCE), len(tbs) - len(end)
    return _Frame(before, slice(start, start + len(head)), between, slice(stop - len(kept), stop))


def _parts(tbs: bytes) -> tuple[bytes, bytes]:
    """The fields of a TBSCertificate before its extensions, and these, one after the other; Malformed without them."""
    try:
        *head, wrapped = der.members(tbs)
        listed = wrapped[der.content_start(wrapped, _EXTENSIONS) :]
        kept = listed[der.content_start(listed, der.SEQUENCE) :]
    except (ValueError, IndexError):
        before, wrapped = _split(tbs)
        return before, _listed(wrapped)
    return b"".join(head), kept


def with_sct_list(tbs: bytes, extension: bytes) -> bytes:
    """The final TBSCertificate for a logged one: ``extension`` (Extension in DER) comes last, all else stays as it is.

    Raises:
        Malformed: ``tbs`` is no TBSCertificate that ends with extensions.
    """
    head, listed = _parts(tbs)
    return der.sequence(head, der.tlv(_EXTENSIONS, der.sequence(listed, extension)))


def _split(tbs: bytes) -> tuple[bytes, bytes]:
    """The fields of a TBSCertificate before its extensions, and the last field, [3] Extensions, or nothing."""
    reader = der.Reader(tbs, "the TBSCertificate")
    fields = reader.enter()
    reader.finish()
    head = fields.until(_EXTENSIONS)
    wrapped = b"" if fields.at_end else fields.raw()
    fields.finish()
    return head, wrapped


def _listed(wrapped: bytes) -> bytes:
    """What is in [3] Extensions: the extensions, one after the other."""
    wrapper = der.Reader(wrapped, "the TBSCertificate").enter(_EXTENSIONS)
    listed = wrapper.content(der.SEQUENCE)
    wrapper.finish()
    return listed


def _stripped(wrapped: bytes, certificate: Certificate) -> bytes:
    """[3] Extensions without the two of Certificate Transparency. Parsed they are in the same order."""
    listed = _listed(wrapped)
    extensions = der.Reader(listed, "the TBSCertificate")
    kept: list[bytes] = []
    for parsed in certificate.extensions:
        extension = extensions.raw(der.SEQUENCE)
        if parsed.oid not in _OWN:
            kept.append(extension)
    extensions.finish()
    return der.tlv(_EXTENSIONS, der.sequence(*kept)) if kept else b""


def _sct_list_extension(value: bytes) -> bytes:
    return der.sequence(der.oid(SCT_LIST_OID), der.octet_string(value))


def precert_entry(certificate: Certificate, issuer_spki: bytes) -> PrecertEntry:
    """What the log hashes and the SCT signs, for a precertificate or its final certificate.

    ``issuer_spki`` is the SubjectPublicKeyInfo (DER) of the certificate's issuer.
    """
    return PrecertEntry(_key_hash(issuer_spki), precert_tbs(certificate))


@lru_cache(maxsize=64)
def _key_hash(spki: bytes) -> bytes:
    """Issuers are few and sign much."""
    return hashlib.sha256(spki).digest()


def correspond(precert: Certificate, final: Certificate) -> None:
    """Check that ``final`` is the certificate that ``precert`` promised.

    1. The precertificate has the poison (critical, NULL) and no SCT list.
    2. The final certificate has an SCT list and no poison.
    3. Without these, their TBSCertificates are the same bytes; the order of the extensions counts.

    What the caller must still do: verify both signatures, and the SCTs.

    Raises:
        Refused: one of the checks fails; names the first field that differs.
    """
    poison = precert.extension(POISON_OID)
    if poison is None or not poison.critical or poison.value != der.null():
        raise Refused("the precertificate has no critical poison extension with the value NULL")
    if precert.extension(SCT_LIST_OID) is not None:
        raise Refused("the precertificate has an SCT list, which belongs into the final certificate")
    if final.extension(POISON_OID) is not None:
        raise Refused("the final certificate has the poison extension, which belongs into the precertificate")
    if final.extension(SCT_LIST_OID) is None:
        raise Refused("the final certificate has no SCT list")
    promised, issued = precert_tbs(precert), precert_tbs(final)
    if promised != issued:
        raise Refused(f"the final certificate differs from its precertificate in {_difference(promised, issued)}")


def _difference(promised: bytes, issued: bytes) -> str:
    for name, left, right in zip_longest(_TBS_FIELDS, _fields(promised), _fields(issued)):
        if left != right:
            return name or "its optional fields"
    return "its encoding"


def _fields(tbs: bytes) -> list[bytes]:
    reader = der.Reader(tbs, "the TBSCertificate").enter()
    fields = []
    while not reader.at_end:
        fields.append(reader.raw())
    return fields
