# SPDX-License-Identifier: Apache-2.0
"""Fulcio's configuration file -> rows of the issuer table. Pure; the file itself is read elsewhere.

    oidc-issuers:        issuer URL -> row
    meta-issuers:        pattern of issuer URLs -> row
    ci-issuer-metadata:  name of a CI system -> its templates

Each member may be spelt as in Fulcio's YAML (``client-id``) or as in its JSON (``ClientID``). Members that Fulcio does not have
are ours and add to it: see :class:`KeySource`, and ``allow``, ``deny`` and ``values``. What is in none of the two lists is refused:
a rule that is misspelt must not be left out.

Source: Fulcio ``pkg/config/config.go``, ``pkg/certificate/extensions.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Final, TypeVar

from ca.issuers import CI_PROVIDER, Issuer, Pattern
from ca.names import NameRules
from ca.workflows import EXTENSIONS, Workflow, make_workflow
from sigcore import limits
from sigcore.errors import Malformed, SigError
from sigcore.strict import JSON, Fields, shown
from sigcore.values import dataclass

_Made = TypeVar("_Made")
_TOP: Final = ("define", "oidc-issuers", "meta-issuers", "ci-issuer-metadata")
"""``define`` holds the anchors of Fulcio's own file."""
_SAID_ONLY: Final = ("description", "contact", "environment")
"""Members for people."""
MEMBERS: Final = (
    *("issuer-url", "client-id", "type", "ci-provider", "issuer-claim", "subject-domain", "spiffe-trust-domain"),
    *("challenge-claim", "ca-cert", "skip-email-verification", *_SAID_ONLY),
    *("jwks", "jwks-uri", "jwks-host", "ca-file", "bearer-file", "private-addresses", "allow", "deny", "values"),
)
"""Of a row; those of the last line are ours."""
_METADATA: Final = ("default-template-values", "extension-templates", "subject-alternative-name-template")


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys of an issuer come from: a file, or else discovery.

    Attributes:
        jwks: file with the key set; then nothing is fetched.
        jwks_uri: where the key set is, instead of what discovery says.
        jwks_host: a host, beside the issuer's own, that discovery may send us to.
        ca: PEM of the one authority that the issuer's TLS certificate is checked with; the system's, where both are empty.
        ca_file: the same as a file.
        bearer_file: a token that the issuer wants to see; it is sent to the issuer's own host only.
        private_addresses: for a pattern with ``*`` in the host: whether such a host may be in a private network.
    """

    jwks: str = ""
    jwks_uri: str = ""
    jwks_host: str = ""
    ca: str = ""
    ca_file: str = ""
    bearer_file: str = ""
    private_addresses: bool = False

    def __post_init__(self) -> None:
        fetched = [f.name for f in fields(type(self))[1:] if getattr(self, f.name)]
        if self.jwks and fetched:
            raise Malformed(f"jwks names a file, so nothing is fetched, and {fetched[0]} is for nothing")
        if self.ca and self.ca_file:
            raise Malformed("ca-cert and ca-file are both given", "leave one of them out")


@dataclass(frozen=True, slots=True)
class Row:
    """An issuer, or a pattern of issuers, whose keys are still to be had."""

    issuer: Issuer
    source: KeySource
    pattern: bool


def parse_fulcio_config(value: JSON, *, what: str) -> tuple[Row, ...]:
    """The rows of a whole file that was read as JSON or YAML.

    Raises:
        Malformed: it has something that is not known, or a row that cannot be meant; names the row.
    """
    top = _members(value, what, _TOP)
    systems = {
        name: _placed(f"{what}, {name}", partial(_workflow, metadata))
        for name, metadata in _mapping(top.get("ci-issuer-metadata"), what).items()
    }
    issuers, patterns = (_mapping(top.get(name), what) for name in ("oidc-issuers", "meta-issuers"))
    if len(issuers) + len(patterns) > limits.ISSUERS:
        raise Malformed(f"{what} has more than {limits.ISSUERS} issuers")
    return tuple(
        _placed(f"{what}, issuer {shown(url, 100)}", partial(parse_row, row, url, systems, pattern=rows is patterns))
        for rows in (issuers, patterns)
        for url, row in rows.items()
    )


def parse_row(value: JSON, url: str, systems: Mapping[str, Workflow], *, pattern: bool) -> Row:
    """One row; ``systems`` are those that ``ci-provider`` may name.

    Raises:
        Malformed: it cannot be meant.
    """
    row = Fields(_members(value, "the row", MEMBERS), "the row")
    kind = row.text("type")
    if row.optional_text("issuer-url", url) != url:
        raise Malformed(f"issuer-url is {shown(row.text('issuer-url'))}, expected the name of the row")
    if "ci-provider" in row and kind != CI_PROVIDER:
        raise Malformed(f"a ci-provider goes with the type {CI_PROVIDER} only")
    rules = NameRules(*(row.texts(name, limit=limits.NAME_PATTERNS) for name in ("allow", "deny")))
    issuer = Issuer(
        url,
        audience=row.text("client-id"),
        kind=kind,
        subject_domain=row.optional_text("subject-domain"),
        trust_domain=row.optional_text("spiffe-trust-domain"),
        issuer_claim=row.optional_text("issuer-claim"),
        skip_email_verification=_flag(row, "skip-email-verification"),
        workflow=_system(row, systems) if kind == CI_PROVIDER else None,
        values=tuple(_texts(row.raw().get("values"), "values").items()),
        names=rules if rules.allow or rules.deny else None,
        challenge_claim=row.optional_text("challenge-claim"),
    )
    if pattern:
        Pattern(issuer)  # for its checks
    elif "*" in url:
        raise Malformed("the issuer's URL has a *", "patterns are meta-issuers")
    return Row(issuer, _source(row), pattern)


def _placed(where: str, make: Callable[[], _Made]) -> _Made:
    """What ``make`` gives; its refusals say where."""
    try:
        return make()
    except SigError as error:
        raise error.at(where) from error


def _source(row: Fields) -> KeySource:
    return KeySource(
        jwks=row.optional_text("jwks"),
        jwks_uri=row.optional_text("jwks-uri"),
        jwks_host=row.optional_text("jwks-host"),
        ca=row.optional_text("ca-cert", limit=limits.TEXT),
        ca_file=row.optional_text("ca-file"),
        bearer_file=row.optional_text("bearer-file"),
        private_addresses=_flag(row, "private-addresses"),
    )


def _system(row: Fields, systems: Mapping[str, Workflow]) -> Workflow:
    name = row.text("ci-provider")
    if name not in systems:
        raise Malformed(
            f"the ci-provider {shown(name)} is not described",
            f"ci-issuer-metadata has {', '.join(systems) or 'nothing'}",
        )
    return systems[name]


def _workflow(value: JSON) -> Workflow:
    metadata = _members(value, "the metadata", _METADATA)
    spelt = {_plain(name): name for name in EXTENSIONS}
    templates = _texts(metadata.get("extension-templates"), "extension-templates")
    return make_workflow(
        Fields(metadata, "the metadata").text("subject-alternative-name-template"),
        # Issuer and subject, which Fulcio's JSON form may have here, come from the token whatever they say.
        {spelt.get(_plain(n), n): t for n, t in templates.items() if _plain(n) not in ("issuer", "subject")},
        _texts(metadata.get("default-template-values"), "default-template-values"),
    )


# --- spelling ------------------------------------------------------------------------------------------------
def _plain(name: str) -> str:
    """What the spellings of one name have in common: ``ca-cert``, ``CACert``."""
    return name.replace("-", "").replace("_", "").lower()


def _members(value: JSON, what: str, known: tuple[str, ...]) -> dict[str, JSON]:
    """The members under the names in ``known``, of which they may be spellings; null counts as absent."""
    spelt = {_plain(name): name for name in known}
    found: dict[str, JSON] = {}
    for name, member in _mapping(value, what).items():
        if _plain(name) not in spelt:
            raise Malformed(f"{what} has the unknown member {shown(name)}", f"known: {', '.join(known)}")
        if spelt[_plain(name)] in found:
            raise Malformed(f"{what} has the member {spelt[_plain(name)]} twice, in two spellings")
        if member is not None:
            found[spelt[_plain(name)]] = member
    return found


def _mapping(value: JSON, what: str) -> dict[str, JSON]:
    if not isinstance(value, dict | None):
        raise Malformed(f"{what} is {shown(value)}, expected names with their values")
    return value or {}


def _texts(value: JSON, what: str) -> dict[str, str]:
    for name, text in _mapping(value, what).items():
        if not isinstance(text, str):
            raise Malformed(f"{what}: {name} is {shown(text)}, expected text", "put it into quotes")
    return {name: str(text) for name, text in _mapping(value, what).items()}


def _flag(row: Fields, name: str) -> bool:
    return name in row and row.boolean(name)
