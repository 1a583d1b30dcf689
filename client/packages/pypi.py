# SPDX-License-Identifier: Apache-2.0
"""Distributions of Python packages: their names, the statement that publishes one, and what is said about one.

A distribution is known by its file name, which says project and version; the statement has exactly one subject of that name. Names are
compared as indexes do: in the project's part case does not matter, and a run of ``-``, ``_`` and ``.`` is one dash.

Source: PEP 740; packaging.python.org, binary and source distribution formats and name normalization; PyPI's publish attestation v1.
"""

from __future__ import annotations

from re import ASCII
from typing import Final

from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Malformed, Refused
from sigcore.intoto import PREDICATE_TYPES, Statement, Subject, encode_statement
from sigcore.patterns import pattern
from sigcore.pep740 import PUBLISH
from sigcore.strict import JSON, shown

PREDICATES: Final = {"publish": PUBLISH, "slsaprovenance1": PREDICATE_TYPES["slsaprovenance1"]}
"""What indexes take, by the short name that stands in the file's name too."""
_WHEEL: Final = pattern(r"([\w.]+)-(\d[\w.!+]*)(?:-(\d[\w.]*))?-([\w.]+-[\w.]+-[\w.]+)\.whl", ASCII)
_SOURCE: Final = pattern(r"(\w(?:[\w.-]*\w)?)-(\d[\w.!+]*)\.(tar\.gz|zip)", ASCII)
_RUN: Final = pattern(r"[-_.]+")


def identify(name: str) -> tuple[str, ...]:
    """What a file name of a distribution says, in the spelling that is compared: project, version, and the rest.

    Raises:
        Malformed: it is no wheel's and no source archive's.
    """
    match = _WHEEL.fullmatch(name) or _SOURCE.fullmatch(name)
    if match is None:
        raise Malformed(
            f"{shown(name, 200)} is no name of a Python distribution",
            "expected PROJECT-VERSION-PYTHON-ABI-PLATFORM.whl or PROJECT-VERSION.tar.gz, as `python -m build` writes them",
        )
    project, *rest = match.groups("")
    return (_RUN.sub("-", project).lower(), *rest)


def publish_statement(name: str, digest: bytes, predicate_type: str = PUBLISH, predicate: JSON = None) -> bytes:
    """The statement about the distribution ``name`` with this SHA-256 ``digest``.

    Raises:
        Malformed: as :func:`identify`.
    """
    identify(name)
    subject = Subject(name, ((HashAlgorithm.SHA2_256.hashlib_name, digest.hex()),))
    return encode_statement(Statement((subject,), predicate_type, predicate))


def verify_distribution(statement: Statement, name: str) -> Statement:
    """That a verified statement is about the distribution called ``name``, and of a type that indexes take.

    Raises:
        Refused: it is not. Malformed: ``name`` is none of a distribution.
    """
    wanted = identify(name)
    if len(statement.subjects) != 1:
        raise Refused(f"the statement has {len(statement.subjects)} subjects, expected exactly one, as PEP 740 demands")
    (subject,) = statement.subjects
    if HashAlgorithm.SHA2_256.hashlib_name not in dict(subject.digests):
        raise Refused("the subject of the statement has no digest by sha256, which PEP 740 demands")
    try:
        found = identify(subject.name)
    except Malformed as error:
        raise Refused(f"the subject of the statement: {error.message}") from error
    if found != wanted:
        raise Refused(
            f"the statement is about {shown(subject.name, 200)}, expected {shown(name, 200)}",
            "the file may have been renamed: under which name was it published?",
        )
    if statement.predicate_type not in PREDICATES.values():
        raise Refused(
            f"the attestation is of the predicate type {shown(statement.predicate_type, 200)}, which no index takes",
            f"expected one of: {', '.join(PREDICATES.values())}",
        )
    return statement
