# SPDX-License-Identifier: Apache-2.0
"""Where a file comes from, in the words of a package page: builder, source, commit, build file, run. Pure.

Two speak of it: the certificate, for which the authority took the words of the build system's own provider, and the statement,
which the workflow wrote and signed. Nothing is verified here.

Sources: SLSA provenance v0.2 and v1; Fulcio's OID table.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from sigcore import fulcio
from sigcore.errors import Malformed
from sigcore.intoto import Statement
from sigcore.strict import JSON
from sigcore.values import dataclass
from sigcore.x509 import Certificate

Path: TypeAlias = tuple[str | int, ...]
V02: Final = "https://slsa.dev/provenance/v0.2"
V1: Final = "https://slsa.dev/provenance/v1"

BUILDER, SOURCE, COMMIT, BUILD_FILE, RUN = "built by", "source", "commit", "build file", "run"
NAMES: Final = (BUILDER, SOURCE, COMMIT, BUILD_FILE, RUN)
_CERTIFICATE: Final = {
    BUILDER: "build_signer_uri",
    SOURCE: "source_repository_uri",
    COMMIT: "source_repository_digest",
    BUILD_FILE: "build_config_uri",
    RUN: "run_invocation_uri",
}
_WORKFLOW: Final[Path] = ("buildDefinition", "externalParameters", "workflow")
_SOURCE_V02: Final[Path] = ("invocation", "configSource")
_STATEMENTS: Final[dict[str, dict[str, Path]]] = {
    V1: {
        BUILDER: ("runDetails", "builder", "id"),
        SOURCE: (*_WORKFLOW, "repository"),
        COMMIT: ("buildDefinition", "resolvedDependencies", 0, "digest", "gitCommit"),
        BUILD_FILE: (*_WORKFLOW, "path"),
        RUN: ("runDetails", "metadata", "invocationId"),
    },
    V02: {
        BUILDER: ("builder", "id"),
        SOURCE: (*_SOURCE_V02, "uri"),
        COMMIT: (*_SOURCE_V02, "digest", "sha1"),
        BUILD_FILE: (*_SOURCE_V02, "entryPoint"),
        RUN: ("metadata", "buildInvocationId"),
    },
}
"""Predicate type -> where each name stands."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the certificate and the statement say of one thing; empty where they say nothing."""

    name: str
    certified: str
    stated: str

    @property
    def disagree(self) -> bool:
        """Whether they name another source or commit. Of the rest each has its own spelling."""
        both = self.certified and self.stated and self.name in (SOURCE, COMMIT)
        return bool(both) and self.certified != self.stated.removeprefix("git+").partition("@")[0]


def describe_provenance(certificate: Certificate | None, statement: Statement | None) -> tuple[Row, ...]:
    """The rows of the panel, in the order of NAMES; none where neither speaks of a build."""
    certified, stated = _certified(certificate), _stated(statement)
    return tuple(
        Row(name, certified.get(name, ""), stated.get(name, ""))
        for name in NAMES
        if certified.get(name) or stated.get(name)
    )


def _certified(certificate: Certificate | None) -> dict[str, str]:
    if certificate is None:
        return {}
    try:
        values = fulcio.parse_extensions(certificate)
    except Malformed:
        return {}
    if not values.source_repository_uri:
        return {}  # a person's
    return {name: getattr(values, member) for name, member in _CERTIFICATE.items()}


def _stated(statement: Statement | None) -> dict[str, str]:
    if statement is None:
        return {}
    places = _STATEMENTS.get(statement.predicate_type, {})
    return {name: _text_at(statement.predicate, path) for name, path in places.items()}


def _text_at(document: JSON, path: Path) -> str:
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and len(document) > step:
            document = document[step]
        else:
            return ""
    return document if isinstance(document, str) else ""
