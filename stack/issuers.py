# SPDX-License-Identifier: Apache-2.0
"""Whose tokens the CA accepts beside those of the stack's own provider: read from files, with the files that they name.

``[[issuers]]`` of a TOML file is a list of tables with the members below; a YAML or JSON file is Fulcio's own configuration
(:mod:`ca.fulcio_config`), and so is what ``sigbox issuer`` writes. Both make the same rows.

Members of each table:
    url: the exact ``iss`` of its tokens, or a pattern with ``*``.
    kind: ``email`` (default), ``uri``, and the others of :data:`ca.issuers.CHALLENGE_CLAIMS` but ``ci-provider``.
    audience: the exact ``aud``; ``sigstore`` where it is absent.
    jwks: file with its public keys (RFC 7517), from the folder of the configuration; without it they are found by discovery.
    The others are those of Fulcio's form, with ``_`` for ``-``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ca.issuers import CHALLENGE_CLAIMS, CI_PROVIDER, Issuer, Pattern
from ca.jwks import parse_jwks
from ca.ports import Fetch, KeySet
from sigcore import limits, x509
from sigcore.errors import Malformed, SigError
from sigcore.strict import JSON, Fields, parse_json, shown
from sigcore.values import dataclass
from stack.config_file import ISSUERS_ONLY
from stack.files import load_file

if TYPE_CHECKING:  # what only a stack with configured issuers needs is imported when the first one is read
    from ca.discovery import DiscoveredKeys
    from ca.fulcio_config import KeySource, Row

TABLE: Final = "issuers"
FEDERATED: Final = "$.federated_claims.connector_id"
"""Where a token of our own provider names the issuer behind it, as Dex writes it: the certificate names that one."""
_RENAMED: Final = {"kind": "type", "audience": "client-id", "trust_domain": "spiffe-trust-domain"}
_MEMBERS: Final = (
    *("url", "jwks", "kind", "subject_domain", "audience", "trust_domain", "issuer_claim", "skip_email_verification"),
    *("challenge_claim", "jwks_uri", "jwks_host", "ca_file", "bearer_file", "private_addresses"),
    *("allow", "deny", "values"),
)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a set of files says.

    Attributes:
        issuers: those with an exact URL.
        patterns: those with a pattern.
        files: all that were read.
        discovers: whether keys of any of them are fetched.
    """

    issuers: tuple[Issuer, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    files: tuple[Path, ...] = ()
    discovers: bool = False

    def __add__(self, other: Accepted) -> Accepted:
        return Accepted(
            self.issuers + other.issuers,
            self.patterns + other.patterns,
            self.files + other.files,
            self.discovers or other.discovers,
        )


class KeyRing:
    """Key sets that are fetched; who reads the files again finds what was fetched for the rows that stayed as they were."""

    def __init__(self) -> None:
        self._sets: dict[tuple[str, KeySource, Path, str], Callable[[str], KeySet]] = {}

    def of(self, row: Row, folder: Path) -> Callable[[str], KeySet]:
        """The key set of the issuer that the row is for, by its URL; ``folder`` is where the row's files are."""
        authority = _authority(row.source, folder)
        place = (row.issuer.url, row.source, folder, authority)
        if place not in self._sets:
            self._sets[place] = _discovered(row, folder, authority)
        return self._sets[place]


def load_issuers(file: Path, ring: KeyRing | None = None) -> Accepted:
    """The issuers that one file names; none where it is TOML without such a table.

    Raises:
        NotFound, Malformed, Refused: the file or one that it names cannot be read, or an issuer is not one that could be meant.
    """
    ring = ring or KeyRing()
    text = load_file(file, what="the configuration", limit=limits.TOKEN_KEY_SET)
    if file.suffix not in ISSUERS_ONLY:
        return _accepted(file, _toml_rows(file, text), ring)
    from ca.fulcio_config import parse_fulcio_config  # noqa: PLC0415 - see TYPE_CHECKING above

    rows = parse_fulcio_config(parse_document(file, text), what=str(file))
    return _accepted(file, ((f"{file}, issuer {row.issuer.url}", row) for row in rows), ring)


def keyed_issuer(url: str, audience: str, members: Mapping[str, JSON], folder: Path) -> Issuer:
    """An issuer whose tokens are judged for another purpose than certificates: its keys, from where ``members`` say.

    Args:
        url: its exact ``iss``.
        audience: the exact ``aud``.
        members: those of a table that say where keys come from.
        folder: where their files are.

    Raises:
        NotFound, Malformed, Refused: as :func:`load_issuers`.
    """
    from ca.fulcio_config import parse_row  # noqa: PLC0415 - see TYPE_CHECKING above

    row: dict[str, JSON] = {name.replace("_", "-"): value for name, value in members.items()}
    parsed = parse_row({"type": "email", "client-id": audience, **row}, url, {}, pattern=False)
    (issuer,) = _keyed(parsed, folder, KeyRing()).issuers
    return issuer


def parse_document(file: Path, text: bytes) -> JSON:
    """Fulcio's configuration as JSON or, where it is none, as YAML.

    Raises:
        Malformed: it is neither.
    """
    try:
        return parse_json(text, what=str(file), limit=limits.TOKEN_KEY_SET)
    except Malformed:
        if file.suffix == ".json":
            raise
    from client.policy.yaml_form import parse_yaml  # noqa: PLC0415 - a stack without such a file needs no YAML

    return parse_yaml(text, what=str(file), anchored_words=True)


def _accepted(file: Path, rows: Iterable[tuple[str, Row]], ring: KeyRing) -> Accepted:
    found = Accepted(files=(file,))
    for where, row in rows:
        try:
            found += _keyed(row, file.parent, ring)
        except SigError as error:
            raise error.at(where) from error
    return found


def _keyed(row: Row, folder: Path, ring: KeyRing) -> Accepted:
    """A row with its keys, or with the way to them."""
    from dataclasses import replace  # noqa: PLC0415 - see TYPE_CHECKING above

    source = row.source
    files = tuple(folder / name for name in (source.jwks, source.ca_file, source.bearer_file) if name)
    if source.jwks:
        data = load_file(folder / source.jwks, what="the issuer's key set", limit=limits.TOKEN_KEY_SET)
        pinned = parse_jwks(data)
        if row.pattern:
            return Accepted((), (Pattern(row.issuer, lambda _: pinned),), files)
        return Accepted((replace(row.issuer, keys=pinned),), (), files)
    keys_of = ring.of(row, folder)
    if row.pattern:
        return Accepted((), (Pattern(row.issuer, keys_of),), files, discovers=True)
    return Accepted((replace(row.issuer, keys=keys_of(row.issuer.url)),), (), files, discovers=True)


# --- rows of a TOML file ---------------------------------------------------------------------------------------
def _toml_rows(file: Path, text: bytes) -> Iterator[tuple[str, Row]]:
    if TABLE.encode() not in text:
        return
    import tomllib  # noqa: PLC0415 - 4 ms that a stack without such a table does without

    try:
        tables = tomllib.loads(text.decode("utf-8")).get(TABLE, [])
    except (ValueError, RecursionError) as error:
        raise Malformed(f"{file} is not TOML: {error}") from error
    if not isinstance(tables, list):
        raise Malformed(f"{file}: {TABLE} is no list of tables", f"write [[{TABLE}]] above each of them")
    for number, table in enumerate(tables, 1):
        where = f"{file}, issuer {number}"
        try:
            yield where, _toml_row(table)
        except SigError as error:
            raise error.at(where) from error


def _toml_row(table: object) -> Row:
    from ca.fulcio_config import parse_row  # noqa: PLC0415 - see TYPE_CHECKING above

    if not isinstance(table, dict):
        raise Malformed(f"{TABLE} holds {shown(table)}, expected a table")
    fields = Fields.of({name: _json(name, value) for name, value in table.items()}, TABLE)
    fields.only(*_MEMBERS)
    url, kind = fields.text("url"), fields.optional_text("kind", "email")
    if kind not in CHALLENGE_CLAIMS or kind == CI_PROVIDER:
        kinds = ", ".join(name for name in CHALLENGE_CLAIMS if name != CI_PROVIDER)
        raise Malformed(f"the kind is {shown(kind)}", f"use one of {kinds}; templates are written in Fulcio's form")
    row: dict[str, JSON] = {"type": kind, "client-id": fields.optional_text("audience", "sigstore")}
    for name, value in fields.raw().items():
        if name not in ("url", "kind", "audience"):
            row[_RENAMED.get(name, name.replace("_", "-"))] = value
    return parse_row(row, url, {}, pattern="*" in url)


def _json(name: str, value: object) -> JSON:
    """The value, if it is nothing that only TOML can say, such as a date."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, list):
        return [_json(name, one) for one in value]
    if isinstance(value, dict):
        return {str(inner): _json(f"{name}.{inner}", one) for inner, one in value.items()}
    raise Malformed(f"{name} is {shown(value)}, expected a string")


# --- keys that are fetched -------------------------------------------------------------------------------------
def _discovered(row: Row, folder: Path, authority: str) -> Callable[[str], KeySet]:
    from ca.discovery import DiscoveredKeys, MatchedKeys  # noqa: PLC0415 - see TYPE_CHECKING above

    source = row.source

    def make(url: str) -> DiscoveredKeys:
        host_varies = "*" in row.issuer.url.split("/")[2]
        bearer = folder / source.bearer_file if source.bearer_file else None
        later = _Later(authority, bearer, "/".join(url.split("/")[:3]), host_varies and not source.private_addresses)
        return DiscoveredKeys(url, later, jwks_uri=source.jwks_uri, jwks_host=source.jwks_host)

    if row.pattern:
        return MatchedKeys(make).of
    only = make(row.issuer.url)
    return lambda _: only


def _authority(source: KeySource, folder: Path) -> str:
    """PEM; Malformed or NotFound where it is none, now and not when the first token comes."""
    pem = source.ca
    if source.ca_file:
        pem = load_file(folder / source.ca_file, what="the issuer's TLS authority", limit=limits.TEXT).decode("latin-1")
    if pem:
        x509.parse_certificates_pem(pem, what="the issuer's TLS authority")
    return pem


@dataclass(frozen=True, slots=True)
class _Later:
    """A :class:`~ca.ports.Fetch` that imports aiohttp's client when it is first asked, on a thread."""

    ca: str
    bearer_file: Path | None
    origin: str
    public_only: bool

    async def __call__(self, url: str, *, limit: int) -> bytes:
        fetch = await asyncio.to_thread(self._access)
        return await fetch(url, limit=limit)

    def _access(self) -> Fetch:
        from ca.transport import Access  # noqa: PLC0415 - 280 ms, for those who fetch
        from stack.proxies import outside  # noqa: PLC0415 - the same

        return Access(self.ca, self._bearer if self.bearer_file else None, self.origin, self.public_only, outside)

    def _bearer(self) -> str:
        """Read anew each time: Kubernetes renews it."""
        assert self.bearer_file is not None  # noqa: S101 - said by the caller
        text = load_file(self.bearer_file, what="the issuer's bearer token", limit=limits.IDENTITY_TOKEN)
        return text.decode("ascii", "strict").strip()
