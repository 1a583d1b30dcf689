# SPDX-License-Identifier: Apache-2.0
"""Whether an entry names somebody who is watched for. Pure.

What an entry names is what its certificate says; that this authority may say so is not looked into, on purpose: a certificate for your
name from an authority that nobody should trust is what a monitor is there to find. So an issuer that cannot be read is any issuer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from client.logs.certificates import LoggedCertificate
from client.logs.decoded import Named, named_by, read_content_or_nothing, read_named
from client.policy.glob import Glob
from client.verify.identity import compile_pattern
from sigcore import merkle
from sigcore.log_entry import LogEntry
from sigcore.strict import JSON, encode_time
from sigcore.values import dataclass


@dataclass(frozen=True, slots=True)
class Watched:
    """Who is watched for. A signer matches by its identity, its key or one of its extensions; nobody given is nobody.

    Args:
        identities: names, exact.
        globs: patterns for names, in the language of policies.
        patterns: regular expressions that a whole name must match.
        issuer: where given, the OIDC issuer of the certificate must be this one, exactly; alone it matches all of its certificates.
        fingerprints: SHA-256 of keys (DER SubjectPublicKeyInfo), hexadecimal, lower case.
        extensions: (Fulcio's name of an extension, pattern for its value).
        everybody: every entry matches.
    """

    identities: tuple[str, ...] = ()
    globs: tuple[Glob, ...] = ()
    patterns: tuple[str, ...] = ()
    issuer: str = ""
    fingerprints: tuple[str, ...] = ()
    extensions: tuple[tuple[str, Glob], ...] = ()
    everybody: bool = False

    @property
    def nobody(self) -> bool:
        """Whether nothing can match."""
        return not (self._by_name or self.issuer or self.fingerprints or self.extensions or self.everybody)

    @property
    def _by_name(self) -> bool:
        return bool(self.identities or self.globs or self.patterns)

    def matches(self, named: Named) -> bool:
        """Whether a signer is one of those."""
        if self.everybody or named.key in self.fingerprints:
            return True
        if self.issuer and named.issuer not in (self.issuer, None):
            return False
        if any(
            name == own and glob.matches(value) for own, glob in self.extensions for name, value in named.extensions
        ):
            return True
        if not (self._by_name or self.extensions or self.fingerprints):
            return bool(self.issuer)
        return any(map(self._names, named.names))

    def _names(self, name: str) -> bool:
        return (
            name in self.identities
            or any(glob.matches(name) for glob in self.globs)
            or any(compile_pattern(pattern).fullmatch(name) for pattern in self.patterns)
        )


Logged: TypeAlias = LogEntry | LoggedCertificate
_UNKNOWN: Final = Named((), "", (), "")


def is_match(entry: Logged, watched: Watched) -> bool:
    """Whether a signer of ``entry`` is watched for. An entry of an unknown kind has one that nothing is known of."""
    return any(map(watched.matches, read_signers(entry) or (_UNKNOWN,)))


def read_signers(entry: Logged) -> tuple[Named, ...]:
    """Whom the signers of an entry name, or the certificate that is one; nothing where that cannot be read."""
    if isinstance(entry, LogEntry):
        return read_named(entry.body)
    return (named_by(entry.certificate),) if entry.certificate is not None else ()


def match_json(entry: Logged) -> dict[str, JSON]:
    """An entry in one line of JSON. What it says was chosen by whoever made it, but for the time, which is the log's."""
    said = _said(entry)
    return {
        "index": entry.index,
        "logId": entry.log_id.hex(),
        "leafHash": merkle.hash_leaf(said.leaf).hex(),
        "kind": said.kind,
        "digests": [*said.digests],
        "integratedTime": said.time or None,
        "signers": [
            {
                "identities": [*named.names],
                "issuer": named.issuer,
                "keySha256": named.key,
                "serial": named.serial,
                "extensions": dict(named.extensions),
            }
            for named in read_signers(entry)
        ],
    }


class _Said(NamedTuple):
    leaf: bytes
    kind: str
    digests: tuple[str, ...]
    time: str


def _said(entry: Logged) -> _Said:
    if isinstance(entry, LoggedCertificate):
        return _Said(entry.leaf, entry.kind, (), _moment(entry.time_ms))
    content = read_content_or_nothing(entry.body)
    time = _moment(1000 * entry.integrated_time) if entry.promise is not None else ""
    return _Said(entry.body, content.kind, content.digests, time)


def _moment(time_ms: int) -> str:
    """Empty where the calendar has no such moment: a log may sign any number."""
    try:
        return encode_time(datetime.fromtimestamp(time_ms // 1000, UTC))
    except (OverflowError, ValueError, OSError):
        return ""


def match_line(entry: Logged) -> str:
    """The same for people; escaped, so that no name moves a cursor."""
    said = _said(entry)
    who = ", ".join(_who(named) for named in read_signers(entry)) or "nobody that can be read"
    parts = (str(entry.index), said.time, who, said.kind or "entry of an unknown kind", next(iter(said.digests), ""))
    return ascii("  ".join(filter(None, parts)))[1:-1]


def _who(named: Named) -> str:
    if not named.names:
        return f"key sha256:{named.key}"
    return " ".join(named.names) + (f" ({named.issuer})" if named.issuer else "")
