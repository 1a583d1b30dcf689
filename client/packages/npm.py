# SPDX-License-Identifier: Apache-2.0
"""npm packages: what a tarball says that it is, the provenance of one, and the document in which a registry hands it out.

The statement has exactly one subject: the package URL of name and version, with the tarball's SHA-512, as npm's integrity has it.
The document is ``{"attestations": [{"predicateType": URI, "bundle": {...}}]}``.

Source: npm's documentation of provenance; package URL specification, type npm; npm registry, ``/-/npm/v1/attestations``.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from gzip import BadGzipFile, GzipFile
from re import ASCII
from typing import BinaryIO, Final

from sigcore import limits
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, parse_bundle
from sigcore.errors import Malformed, Refused
from sigcore.intoto import PREDICATE_TYPES, Statement, Subject, encode_statement
from sigcore.patterns import pattern
from sigcore.strict import JSON, Fields, parse_json, shown
from sigcore.values import dataclass

PROVENANCE: Final = PREDICATE_TYPES["slsaprovenance1"]
PROVENANCES: Final = (PROVENANCE, PREDICATE_TYPES["slsaprovenance02"])
"""What npm takes: version 1 of jobs on GitHub, 0.2 of those on GitLab."""
_NAME: Final = pattern(r"(?:@[A-Za-z0-9~-][A-Za-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*", ASCII)
_VERSION: Final = pattern(r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?", ASCII)


@dataclass(frozen=True, slots=True)
class Package:
    """The name, with its scope, and the version."""

    name: str
    version: str

    @property
    def url(self) -> str:
        """The package URL, as npm writes it."""
        scoped = self.name.startswith("@")
        return f"pkg:npm/{'%40' if scoped else ''}{self.name.removeprefix('@')}@{self.version}"


class _Bounded(io.RawIOBase):
    """What is unpacked of a tarball, up to :data:`limits.PACKAGE` bytes: a few kilobytes may unpack to any number."""

    def __init__(self, file: BinaryIO) -> None:
        self._unpacked = GzipFile(fileobj=file)
        self._left = limits.PACKAGE

    def read(self, size: int = -1) -> bytes:
        data = self._unpacked.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise Malformed(f"the package unpacks to more than {limits.PACKAGE} bytes")
        return data


def read_package(file: BinaryIO, *, what: str) -> Package:
    """What the ``package.json`` of a tarball says.

    Raises:
        Malformed: no gzipped tar archive, or not with exactly one such file at its place, or no name and version in it.
    """
    try:
        with tarfile.open(fileobj=_Bounded(file), mode="r|") as archive:
            found = [_read(archive, member, what) for member in archive if _is_manifest(member)]
    except (tarfile.TarError, BadGzipFile, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise Malformed(f"{what} is no gzipped tar archive: {error}", "give the file that `npm pack` wrote") from error
    if len(found) != 1:
        raise Malformed(f"{what} has {len(found)} files package/package.json, expected one", "as `npm pack` writes it")
    return _package(found[0], what)


def _is_manifest(member: tarfile.TarInfo) -> bool:
    """Npm drops the first part of a path, whatever it is."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    return len(parts) == 2 and parts[1] == "package.json"


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo, what: str) -> bytes:
    if not member.isreg() or member.size > limits.PACKAGE_MANIFEST:
        raise Malformed(f"{what}: package.json is no regular file of at most {limits.PACKAGE_MANIFEST} bytes")
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def _package(manifest: bytes, what: str) -> Package:
    value = json_object(manifest, f"package.json of {what}")
    name, version = value.text("name", limit=214), value.text("version", limit=256)
    if not _NAME.fullmatch(name):
        raise Malformed(f"{value.path}.name is {shown(name)}, which is no name of a package")
    if not _VERSION.fullmatch(version):
        raise Malformed(f"{value.path}.version is {shown(version)}, expected three numbers as in 1.2.3")
    return Package(name, version)


def json_object(data: bytes, what: str) -> Fields:
    """A JSON object that people wrote, with fractions.

    Raises:
        Malformed: it is none.
    """
    return Fields.of(parse_json(data, what=what, limit=limits.BUNDLE, floats=True), what)


# --- statements ----------------------------------------------------------------------------------------
def provenance_statement(package: Package, digest: bytes, predicate: JSON) -> bytes:
    """The statement that says how the tarball with this SHA-512 ``digest`` was built."""
    subject = Subject(package.url, ((HashAlgorithm.SHA2_512.hashlib_name, digest.hex()),))
    return encode_statement(Statement((subject,), PROVENANCE, predicate))


def verify_provenance(statement: Statement, package: Package) -> Statement:
    """That a verified statement is the provenance of ``package``.

    Raises:
        Refused: it is not.
    """
    if len(statement.subjects) != 1:
        raise Refused(f"the statement has {len(statement.subjects)} subjects, expected exactly one, as npm demands")
    (subject,) = statement.subjects
    if HashAlgorithm.SHA2_512.hashlib_name not in dict(subject.digests):
        raise Refused("the subject of the statement has no digest by sha512, which npm demands")
    if subject.name != package.url:
        raise Refused(
            f"the statement is about {shown(subject.name, 300)}, expected {shown(package.url, 300)}",
            "the name and version are those of package.json in the tarball",
        )
    if statement.predicate_type not in PROVENANCES:
        raise Refused(
            f"the attestation is of the predicate type {shown(statement.predicate_type, 200)}, which is no provenance",
            f"expected one of: {', '.join(PROVENANCES)}",
        )
    return statement


# --- the registry's document -----------------------------------------------------------------------------
def parse_attestations(data: bytes, *, what: str = "the attestations") -> tuple[tuple[str, Bundle | None], ...]:
    """The predicate types in a registry's document, each with its bundle; None for what is no provenance.

    A registry also says of each package that it was published, signed with a key of its own; that is not read here.

    Raises:
        Malformed: it is no such document, or a bundle of provenance cannot be read.
    """
    found = json_object(data, what)
    rows = found.objects("attestations", limit=limits.BUNDLE_LOG_ENTRIES)
    if not rows:
        raise Malformed(f"{what} has no attestations")
    return tuple(_row(row) for row in rows)


def _row(row: Fields) -> tuple[str, Bundle | None]:
    kind = row.text("predicateType")
    if kind not in PROVENANCES:
        return kind, None
    return kind, parse_bundle(json.dumps(row.object("bundle").raw(), separators=(",", ":")).encode("utf-8"))
