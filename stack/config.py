# SPDX-License-Identifier: Apache-2.0
"""Where a stack lives and what it is called: the data directory, its ``sigbox.toml`` and the origin's URL."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from sigcore import limits
from sigcore.errors import Malformed, NotFound, Refused
from sigcore.patterns import pattern
from sigcore.strict import encode_time, parse_time, shown
from sigcore.values import dataclass
from stack.files import load_file, save_file

if TYPE_CHECKING:  # few stacks ask witnesses
    from stack.witness_rows import WitnessRow
    from stack.writer_rules import WriterRules

DEFAULT_LISTEN = "127.0.0.1:7780"
DEFAULT_DATA = "sigbox-data"
FORMAT = 1
"""Version of the data directory's layout; a newer one is refused, an older one will be migrated."""
ROLES = ("oidc", "ca", "ct", "log", "tsa", "trust", "console")
"""What ``sigbox serve`` takes; ``log`` is both Rekor logs, ``console`` has no keys. ``[services]`` gives them URLs of their own."""
SHARED = ("ca", "ct", "log", "tsa")
"""Roles that several processes can serve: those that sign for whoever asks, and so have work for more than one core."""
FOLDERS = {"log": "rekor", "trust": "tuf"}
"""Where a role's secrets and its lock lie, when not in the folder of its name."""
MOST_WORKERS = 32
"""One sequencer has work for so many and fewer: docs/operating.md."""
REPLACED = ".replaced"
"""Ends the name, beside a data directory, of what lay in its place and gave way to a restore: there for a moment only."""
SERVICES = "services"
KEYS = "keys"
ROLE_TABLES = frozenset(("ca", "ct", "log", "tsa"))
"""Tables of the settings file with rules for one role: :mod:`stack.role_rules`."""
IN_TOKEN = ("ca", "ct", "rekor", "rekor-v1", "tsa")
"""The folders whose keys can be in a PKCS#11 token: rows of ``[keys]``."""
ORGANIZATION_LIMIT = 40
"""A common name is made of it and the role's name, and has 64 characters (RFC 5280 appendix A.1)."""
_SERVICE_URL = pattern(r"(https?://[^/?#]+)((?:/[A-Za-z0-9._~-]+)*)/?\Z", re.ASCII)
_HOST = pattern(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Home:
    """The data directory: one folder per role with its secrets, ``public/`` for everybody."""

    path: Path
    passphrase: bytes | None = None
    """What its keys are encrypted with; None for a stack whose keys are not."""

    def __repr__(self) -> str:
        return f"Home({self.path!r})"  # no line of a log shall show the passphrase

    @property
    def settings_file(self) -> Path:
        """The settings, written once by :mod:`stack.bootstrap`."""
        return self.path / "sigbox.toml"

    def folder_of(self, role: str) -> Path:
        """The folder with the secrets of a role of :data:`ROLES`; of ``log`` that of its v2 log."""
        return self.path / FOLDERS.get(role, role)

    @property
    def public(self) -> Path:
        """What may be shown to anybody: trust documents and the TUF repository."""
        return self.path / "public"

    @property
    def accounts(self) -> Path:
        """Who may log in: made by ``sigbox user``, read by the running provider."""
        return self.path / "oidc" / "accounts.db"

    @property
    def issuers(self) -> Path:
        """Whose tokens the CA accepts beside those of the own provider: made by ``sigbox issuer``, read by the running CA."""
        return self.path / "ca" / "issuers.yaml"

    @property
    def tuf_repository(self) -> Path:
        """Served as ``/tuf``."""
        return self.public / "tuf"

    @property
    def trusted_root(self) -> Path:
        """``trusted_root.json``."""
        return self.public / "trusted_root.json"

    @property
    def signing_config(self) -> Path:
        """``signing_config.json`` (v0.2)."""
        return self.public / "signing_config.json"

    @property
    def signing_config_v1(self) -> Path:
        """The same services, but Rekor v1 alone: for whoever chooses it by ``--signing-config``."""
        return self.public / "signing_config_v1.json"

    @property
    def signing_config_v2(self) -> Path:
        """The same services, but Rekor v2 alone."""
        return self.public / "signing_config_v2.json"

    @property
    def trust_config(self) -> Path:
        """Both of them in one file: sigstore-python's ClientTrustConfig."""
        return self.public / "trust_config.json"

    @property
    def policy(self) -> Path:
        """Who may sign what, when a policy is published."""
        return self.public / "policy.json"

    @property
    def policy_key(self) -> Path:
        """What the policy is signed with; its holder may keep it elsewhere."""
        return self.path / "tuf" / "policy.key"

    @property
    def keys(self) -> Path:
        """Public keys and certificates as PEM files, for clients that are told them one by one."""
        return self.public / "keys"

    @property
    def own_key_set(self) -> Path:
        """The keys of the stack's provider (RFC 7517), for an authority in another process; the provider writes it."""
        return self.public / "oidc" / "jwks.json"

    @property
    def tls_ca(self) -> Path:
        """The stack's own TLS authority, when it has one (``--tls auto``)."""
        return self.public / "tls_ca.pem"

    @property
    def tuf_root(self) -> Path:
        """The first root: what a client must be given by a way that it trusts."""
        return self.tuf_repository / "1.root.json"


@dataclass(frozen=True, slots=True)
class Settings:
    """``sigbox.toml``. ``url_follows_listen`` says that the URL was derived from the listening address."""

    url: str
    created: datetime
    ephemeral: bool
    url_follows_listen: bool
    rekor_v2_dsse: Literal["hashedrekord", "dsse"] = "hashedrekord"
    """What Rekor v2 logs an envelope as; ``dsse`` is for clients before sigstore-go 1.2 and sigstore-python 4.3."""
    name: str = ""
    """The organization that was asked for; empty for one that follows from the host."""
    seed: int | None = None
    """Of an ephemeral stack whose keys are the same every time: :mod:`stack.seed`."""
    services: Mapping[str, str] = MappingProxyType({})
    """The URLs of roles that clients reach elsewhere than at ``url``."""
    keys: Mapping[str, str] = MappingProxyType({})
    """The folders of :data:`IN_TOKEN` whose next keys are made in a token, and their URIs (RFC 7512)."""
    database: str = ""
    """Where the logs are kept when several hosts share them (``postgresql://...``); empty for files in the data directory."""
    accept_clock: bool = False
    """Said at this start: the clock is right, whatever was signed with. Not part of the file."""
    certificate_lifetime_s: int = 600
    """``certificate_lifetime`` of ``[ca]``."""
    entry_types: tuple[str, ...] = ()
    """``entry_types`` of ``[log]``: the kinds of entries that the signature logs take; empty for all."""
    witnesses: tuple[WitnessRow, ...] = ()
    """``witnesses`` of ``[log]``: who is asked to cosign the checkpoints of Rekor v2."""
    witness_quorum: int = 0
    """Of ``[log]``: how many of them must; 0 for as many as answer."""
    writers: WriterRules | None = None
    """``[log.writers]``: whose entries the signature logs take; None for anybody's."""
    ct_issuers: Literal["own", "any"] = "own"
    """``issuers`` of ``[ct]``: whose certificates below the stack's roots the certificate log takes."""
    require_synchronised_clock: bool = False
    """Of ``[tsa]``: no timestamps while the kernel does not say that its clock is synchronised."""

    def at(self, role: str) -> str:
        """The URL at which clients reach ``role``."""
        return self.services.get(role, self.url)

    def host_of(self, role: str) -> str:
        """Its bare host name: for ``log`` the origin of checkpoints (sigstore-go compares it with baseUrl's host)."""
        return urlsplit(self.at(role)).hostname or ""

    @property
    def issuer(self) -> str:
        """The OIDC issuer, byte for byte (wire form: no trailing slash)."""
        return f"{self.at('oidc')}/auth"

    @property
    def host(self) -> str:
        """The bare host name of the stack."""
        return urlsplit(self.url).hostname or ""

    @property
    def organization(self) -> str:
        """The name that certificates and trust documents carry. An ephemeral stack says what it is worth."""
        return "sigbox UNTRUSTED ephemeral" if self.ephemeral else self.name or f"sigbox {self.host}"


def check_workers(number: int | None) -> None:
    """Raises Malformed for a number of processes that nobody can mean."""
    if number is not None and not 1 <= number <= MOST_WORKERS:
        raise Malformed(f"--workers is {number}, expected 1 to {MOST_WORKERS}", "one for each core that is left")


def check_quota(number: int | None) -> None:
    """Raises Malformed for a quota that lets nobody in."""
    if number is not None and number < 1:
        raise Malformed(f"--quota is {number}, expected 1 or more requests in a minute", "leave it out for any number")


def parse_listen(text: str) -> tuple[str, int]:
    """``HOST:PORT`` (IPv6 in brackets); port 0 picks a free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise Malformed(f"the listening address is {shown(text)}, expected HOST:PORT", "for example 127.0.0.1:7780")
    return host.strip("[]"), int(port)


def parse_url(text: str) -> str:
    """An origin: scheme, host, port; no path, because clients join the service paths onto the root of an origin."""
    url = text.removesuffix("/")
    expected = Malformed(
        f"the URL is {shown(text)}, expected http(s)://HOST[:PORT]", "for example http://localhost:7780"
    )
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and _HOST.match(parts.hostname or "") and parts.port != 0
    except ValueError as error:  # brackets without an address, or a port that is none
        raise expected from error
    if ":" in (parts.hostname or ""):
        raise Malformed(
            f"the URL {shown(text)} has an IPv6 address; a log is called by its host, and clients take names and IPv4 addresses",
            "give a name for it, such as one in /etc/hosts; --listen takes IPv6 addresses",
        )
    if not fits:
        raise expected
    if url != url.lower() == f"{parts.scheme}://{parts.netloc.lower()}":
        raise Malformed(f"the URL {shown(text)} has capitals", "clients compare letter by letter: write it small")
    if url != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
        raise Malformed(f"the URL {shown(text)} has more than a host and a port", "clients need the root of an origin")
    return url


def parse_service_url(text: str) -> str:
    """Where one of our processes finds another: scheme, host, port, and a path where it lies below one."""
    found = _SERVICE_URL.match(text)
    if found is None:
        raise Malformed(f"the URL is {shown(text)}, expected http(s)://HOST[:PORT], and at most a path")
    return parse_url(found[1]) + found[2]


def parse_services(table: object) -> dict[str, str]:
    """``[services]``: the roles that have URLs of their own.

    Raises:
        Malformed: no table of roles and URLs.
    """
    if not isinstance(table, dict):
        raise Malformed(f"{SERVICES} is {shown(table)}, expected a table of roles and URLs")
    for role in table:
        if role not in ROLES:
            raise Malformed(f"{SERVICES} names the role {shown(role)}", f"expected {', '.join(ROLES)}")
    return {role: parse_url(str(url)) for role, url in table.items()}


def key_uris(table: object) -> dict[str, str]:
    """``[keys]``: the URIs of keys in PKCS#11 tokens, and the references of those in a KMS.

    Raises:
        Malformed, Refused: no such table, a URI that says not enough or holds a PIN, or one key for two folders.
    """
    # Deferred: most stacks have no such table.
    from stack.key_places import check_distinct  # noqa: PLC0415 - see the line above

    if not isinstance(table, dict):
        raise Malformed(f"{KEYS} is {shown(table)}, expected a table of roles and URIs")
    for role in table:
        if role not in IN_TOKEN:
            raise Malformed(f"{KEYS} names {shown(role)}", f"expected {', '.join(IN_TOKEN)}")
    rows = {role: str(uri) for role, uri in table.items()}
    check_distinct(rows)
    return rows


def role_settings(table: Mapping[str, object]) -> dict[str, Any]:
    """What the tables of roles say, as members of :class:`Settings`. Malformed: a table or a member of one is no good."""
    # Deferred: most stacks have no such table.
    from stack.role_rules import parse_role_tables  # noqa: PLC0415 - see the line above

    return parse_role_tables(table)


def parse_database(text: str) -> str:
    """The URL of a PostgreSQL database, without a password: this one stands in settings, process lists and messages.

    Raises:
        Malformed: another kind of URL, or a password in it.
    """
    example = "for example postgresql://sigbox@db.corp.example/sigbox?passfile=/etc/sigbox/pgpass&sslmode=verify-full"
    scheme, colon, rest = text.partition("://")
    if scheme not in ("postgresql", "postgres") or not colon or not text.isprintable() or set(' "\\') & set(text):
        raise Malformed("the database is no URL of PostgreSQL, expected postgresql://USER@HOST[:PORT]/NAME", example)
    # A password may have any of the characters that end the part of a URL that it stands in.
    before, _, query = rest.partition("?")
    user = max(rest.split("/")[0].rpartition("@")[0], before.rpartition("@")[0], key=len)
    if ":" in user or any(name.lower().endswith("password") for name, _ in parse_qsl(query, keep_blank_values=True)):
        raise Malformed(
            "the database's URL has a password in it, which others would see", f"name a password file, {example}"
        )
    return text


def parse_organization(text: str) -> str:
    """The name that certificates carry: one line of printable characters, at most :data:`ORGANIZATION_LIMIT` long."""
    if not text.isprintable() or text != text.strip() or not 1 <= len(text) <= ORGANIZATION_LIMIT:
        raise Malformed(
            f"the organization is {shown(text)}, expected 1 to {ORGANIZATION_LIMIT} printable characters",
            "it stands in every certificate, for example: --organization 'ACME Build'",
        )
    return text


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine, whatever a resolver says (RFC 6761 section 6.3 for the name)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def home_at(data: str | Path | None) -> Home:
    """The data directory that an option names, else ``$SIGBOX_DATA``, or ``./sigbox-data``.

    Raises:
        Malformed: its name is not UTF-8; databases, documents and lines for clients could not say it.
    """
    path = Path(data or os.environ.get("SIGBOX_DATA") or DEFAULT_DATA).absolute()
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise Malformed(f"the data directory {shown(str(path))} is not UTF-8", "give it another name")
    return Home(path)


def check_no_restore(home: Home) -> None:
    """Raises NotFound where a restore was cut off when it was about to put the directory in its place."""
    place = Path(os.path.realpath(home.path))
    moved = place.with_name(f"{place.name}{REPLACED}")
    if moved.exists():
        hint = f"run sigbox restore again, which puts them back first; nothing is made in {place} before"
        raise NotFound(f"a restore to {place} was cut off, and has left its anchors in {moved}", hint)


def load_settings(home: Home) -> Settings:
    """Read ``sigbox.toml``.

    Raises:
        NotFound: the directory holds no stack. Malformed, Refused: it holds one that this version cannot use.
    """
    if not home.settings_file.exists():
        check_no_restore(home)
        if any(home.path.glob("*/*.key")):
            hint = "restore it from a backup; a first start that was interrupted is begun again by sigbox up"
            raise NotFound(f"{home.path} holds no stack: {home.settings_file.name} is missing", hint)
        raise NotFound(f"{home.path} holds no stack", "give its directory with --data, or start one: sigbox up")
    import tomllib  # noqa: PLC0415 - 4 ms that the first start of a stack does without

    text = load_file(home.settings_file, what="the stack's settings", limit=limits.TEXT)
    try:
        table = tomllib.loads(text.decode("utf-8"))
        _check_format(home, table["format"])
        settings = Settings(
            url=parse_url(table["url"]),
            created=parse_time(table["created"], what="created"),
            ephemeral=table["ephemeral"] is True,
            url_follows_listen=table["url_follows_listen"] is True,
            rekor_v2_dsse=_dsse_kind(table.get("rekor_v2_dsse", "hashedrekord")),
            name=parse_organization(table["organization"]) if "organization" in table else "",
            seed=table.get("seed"),
            services=parse_services(table.get(SERVICES, {})),
            keys=key_uris(table[KEYS]) if KEYS in table else {},
            database=parse_database(table["database"]) if "database" in table else "",
            **(role_settings(table) if ROLE_TABLES & table.keys() else {}),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        defect = f"it has no {error.args[0]}" if isinstance(error, KeyError) else error
        raise Malformed(f"{home.settings_file} cannot be read: {defect}", "restore it from a backup") from error
    return settings


def _check_format(home: Home, found: object) -> None:
    """First of all: what another version has written may be of another shape."""
    if type(found) is int and found > FORMAT:
        raise Refused(f"{home.path} has layout {found}, this version knows {FORMAT}", "use a newer sigbox")
    if type(found) is not int or found != FORMAT:
        raise Malformed(f"{home.settings_file} has the format {shown(found)}, expected {FORMAT}", "restore a backup")


def _dsse_kind(text: str) -> Literal["hashedrekord", "dsse"]:
    if text == "dsse":
        return "dsse"
    if text != "hashedrekord":
        raise Malformed(f"rekor_v2_dsse is {shown(text)}", "expected hashedrekord or dsse")
    return "hashedrekord"


def save_settings(home: Home, settings: Settings) -> None:
    """Write ``sigbox.toml``; its presence says that the directory holds a stack. Tables in it are the operator's and stay."""
    lines = (
        "# Written by sigbox. The URL is part of the trust root: change it with `sigbox up --url`, not here.",
        f"format = {FORMAT}",
        f'url = "{settings.url}"',
        f'created = "{encode_time(settings.created)}"',
        f"ephemeral = {str(settings.ephemeral).lower()}",
        f"url_follows_listen = {str(settings.url_follows_listen).lower()}",
        *([] if settings.rekor_v2_dsse == "hashedrekord" else [f'rekor_v2_dsse = "{settings.rekor_v2_dsse}"']),
        *([f"organization = {json.dumps(settings.name, ensure_ascii=False)}"] if settings.name else []),
        *([f'database = "{settings.database}"'] if settings.database else []),
        *(_tables(home) or [*_rows(SERVICES, settings.services), *_rows(KEYS, settings.keys)]),
        *([] if settings.seed is None else [f"seed = {settings.seed}"]),
        "",
    )
    save_file(home.settings_file, "\n".join(lines).encode(), durable=not settings.ephemeral)


def _rows(name: str, table: Mapping[str, str]) -> list[str]:
    rows = [f'{role} = "{value}"' for role, value in table.items()]
    return ["", f"[{name}]", *rows] if rows else []


def _tables(home: Home) -> list[str]:
    """The lines of the settings file from its first table on, with the comments right above that."""
    if not home.settings_file.exists():
        return []
    lines = home.settings_file.read_text("utf-8").splitlines()
    first = next((at for at, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    while first < len(lines) and lines[first - 1].startswith("#"):
        first -= 1
    return ["", *lines[first:]] if first < len(lines) else []
