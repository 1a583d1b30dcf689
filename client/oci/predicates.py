# SPDX-License-Identifier: Apache-2.0
"""Predicates of images by type: what a file must hold to be one.

    custom                 any text: {"Data": TEXT, "Timestamp": time of attesting}, as cosign writes it
    spdx                   a document in tag-value form, as one text; one in JSON becomes an object
    spdxjson, cyclonedx    a document of that kind in JSON
    others, and URIs       a JSON object

Sources: cosign ``pkg/cosign/attestation``; SPDX 2.3 and 3.0; CycloneDX 1.4 to 1.6; SLSA provenance 0.2 and 1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sigcore import limits
from sigcore.errors import Malformed
from sigcore.intoto import predicate_type_uri
from sigcore.strict import JSON, Fields, encode_time, parse_json, shown

_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "slsaprovenance": ("builder", "buildType"),
    "slsaprovenance02": ("builder", "buildType"),
    "slsaprovenance1": ("buildDefinition", "runDetails"),
    "cyclonedx": ("bomFormat", "specVersion"),
    "vuln": ("scanner", "metadata"),
    "openvex": ("@context", "statements"),
}
"""What a document of the type cannot be without."""


def read_predicate(data: bytes, kind: str, *, what: str, now: datetime) -> JSON:
    """The predicate that ``data`` is, for a short name of cosign's ``--type`` or a URI.

    Raises:
        Malformed: not a document of that type.
    """
    predicate_type_uri(kind)
    if kind == "custom":
        return {"Data": _text(data, what), "Timestamp": encode_time(now)}
    if kind == "spdx" and not data.lstrip().startswith(b"{"):
        return _spdx_text(data, what)
    fields = Fields.of(parse_json(data, what=what, limit=limits.BUNDLE, floats=True), what)
    if missing := [name for name in _REQUIRED.get(kind, ()) if name not in fields]:
        raise Malformed(
            f"{what} has no {shown(missing[0])}, which a predicate of the type {kind} has", "is --type right?"
        )
    if kind in ("spdx", "spdxjson") and not ("spdxVersion" in fields or "@context" in fields):
        raise Malformed(f"{what} has neither spdxVersion nor @context, so it is no SPDX document", "is --type right?")
    return dict(fields.raw())


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{what} is no text in UTF-8") from error


def _spdx_text(data: bytes, what: str) -> str:
    text = _text(data, what)
    if "SPDXVersion:" not in text:
        raise Malformed(f"{what} has no line SPDXVersion:, so it is no SPDX document", "is --type right?")
    return text
