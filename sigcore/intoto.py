# SPDX-License-Identifier: Apache-2.0
"""in-toto statements: which artifacts, and what is said about them.

    {"_type": "https://in-toto.io/Statement/v1", "subject": [{"name": ..., "digest": {"sha256": hex}}],
     "predicateType": URI, "predicate": {...}}

Read strictly as JSON; members that are not named above are ignored, as the specification demands. Version 0.1 is read too.

Source: in-toto attestation ``spec/v1/statement.md``, ``spec/v1/digest_set.md``; cosign's names for predicate types.
"""

from __future__ import annotations

import json
from typing import Final

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed
from sigcore.strict import JSON, Fields, parse_json, shown
from sigcore.values import dataclass

STATEMENT: Final = "https://in-toto.io/Statement/v1"
_TYPES: Final = (STATEMENT, "https://in-toto.io/Statement/v0.1")

PREDICATE_TYPES: Final = {
    "custom": "https://cosign.sigstore.dev/attestation/v1",
    "slsaprovenance": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "link": "https://in-toto.io/Link/v1",
    "spdx": "https://spdx.dev/Document",
    "spdxjson": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "openvex": "https://openvex.dev/ns",
}
"""The short names that cosign's ``--type`` takes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An artifact. ``digests`` are (algorithm, hexadecimal or other text), as they stand in the statement.

    ``annotations`` are what the signer adds about it: cosign's ``-a`` where an image is signed with a statement.
    """

    name: str
    digests: tuple[tuple[str, str], ...]
    annotations: tuple[tuple[str, JSON], ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """What is said about ``subjects``. ``predicate`` is the JSON object of the type that ``predicate_type`` names.

    It may be a text: so cosign puts an SPDX document in tag-value form into a statement.
    """

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: JSON

    def names(self, algorithm: HashAlgorithm, digest: bytes) -> bool:
        """Whether a subject has this digest."""
        wanted = (algorithm.hashlib_name, digest.hex())
        return any(wanted in subject.digests for subject in self.subjects)

    def algorithm(self) -> HashAlgorithm:
        """The algorithm by which an artifact is compared with the subjects.

        The first of SHA-256, 384, 512 that every subject has; else the first that one of them has.

        Raises:
            Malformed: no subject has a digest of these.
        """
        of_each = [{name for name, _ in subject.digests} for subject in self.subjects]
        present = set().union(*of_each)
        for names in (set.intersection(*of_each), present):
            for algorithm in HashAlgorithm:
                if algorithm.hashlib_name in names:
                    return algorithm
        raise Malformed(
            "no subject of the statement has a digest by SHA-256, SHA-384 or SHA-512",
            f"found: {', '.join(sorted(map(shown, present)))[:200]}",
        )


def parse_statement(payload: bytes, *, what: str = "the statement") -> Statement:
    """A statement of version 1 or 0.1.

    Raises:
        Malformed: not that; no subject, or more subjects or digests than ``limits`` allow.
    """
    value = parse_json(payload, what=what, limit=limits.BUNDLE, floats=True)
    fields = Fields.of(value, what)
    if (kind := fields.text("_type")) not in _TYPES:
        raise Malformed(f"{what} is of the type {shown(kind)}, expected {STATEMENT}")
    subjects = tuple(map(_subject, fields.objects("subject", limit=limits.STATEMENT_SUBJECTS)))
    if not subjects:
        raise Malformed(f"{what} has no subject, so it is about nothing")
    predicate_type = fields.text("predicateType")
    if not predicate_type:
        raise Malformed(f"{what} has an empty predicateType")
    return Statement(subjects, predicate_type, _predicate(fields))


def _predicate(fields: Fields) -> JSON:
    value = fields.raw().get("predicate")
    if value is None:
        return {}  # it is optional; PyPI's publish attestations say null
    if isinstance(value, str):
        return value
    return dict(fields.object("predicate").raw())


def _subject(fields: Fields) -> Subject:
    digests = fields.object("digest")
    names = digests.names()
    if not 1 <= len(names) <= limits.SUBJECT_DIGESTS:
        raise Malformed(f"{digests.path} has {len(names)} digests, expected 1 to {limits.SUBJECT_DIGESTS}")
    annotations = fields.optional_object("annotations")
    return Subject(
        fields.optional_text("name"),
        tuple((name, digests.text(name)) for name in names),
        tuple(annotations.raw().items()) if annotations is not None else (),
    )


def encode_statement(statement: Statement) -> bytes:
    """Version 1 as JSON on one line."""
    subjects: list[JSON] = [_subject_json(one) for one in statement.subjects]
    document: JSON = {
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": statement.predicate_type,
        "predicate": statement.predicate,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def _subject_json(subject: Subject) -> JSON:
    members: dict[str, JSON] = {"name": subject.name, "digest": dict(subject.digests)}
    return members | {"annotations": dict(subject.annotations)} if subject.annotations else members


def predicate_type_uri(name: str) -> str:
    """The URI for a short name of ``PREDICATE_TYPES``; a URI stands for itself.

    Raises:
        Malformed: neither.
    """
    if ":" in name:
        return name
    if name not in PREDICATE_TYPES:
        raise Malformed(f"the predicate type is {shown(name)}", f"give a URI, or one of {', '.join(PREDICATE_TYPES)}")
    return PREDICATE_TYPES[name]
