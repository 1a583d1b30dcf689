# SPDX-License-Identifier: Apache-2.0
"""What ends by itself in a stack, when, who notices, and what prevents it: read from public files and certificates.

Three kinds: ``breaks`` (somebody must do something before), ``renews`` (the running stack does it; it breaks where none runs for so
long) and ``due`` (nothing breaks, and a key has served for long).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509 as tls_x509

from client.policy.document import parse_policy
from sigcore import limits
from sigcore.errors import Malformed, NotFound
from sigcore.strict import Fields
from sigcore.values import dataclass
from sigcore.x509 import common_name
from stack.bootstrap import ROLE_FOLDERS
from stack.config import Home
from stack.files import load_file
from stack.tls import TlsFiles
from stack.tls_authority import SERVER_LIFE
from stack.trust.documents import load_public
from stack.trust.requested import successor
from stack.trust.state import load_state
from tsa.authority import REMAINING

BREAKS, RENEWS, DUE = "breaks", "renews", "due"
OIDC_AGE: Final = timedelta(days=365)
"""So old the key of identity tokens should not become."""
_EVERY_CLIENT: Final = "every client, at its next look at the TUF repository"
_TUF: Final = {
    "root": (BREAKS, _EVERY_CLIENT, ""),  # it depends on who signs it
    "targets": (BREAKS, _EVERY_CLIENT, "sigbox trust refresh"),
    "snapshot": (RENEWS, _EVERY_CLIENT, "keep the stack running, or: sigbox trust refresh"),
    "timestamp": (RENEWS, _EVERY_CLIENT, "keep the stack running, or: sigbox trust refresh"),
}


@dataclass(frozen=True, slots=True)
class End:
    """One thing that ends: the first moment at which it is no good."""

    when: datetime
    what: str
    kind: str
    noticed: str
    prevent: str


def rehearse(home: Home, certificate: Path | None = None) -> tuple[End, ...]:
    """Everything in ``home`` that ends, soonest first; ``certificate`` is that of ``--tls CERT,KEY``, which lies elsewhere.

    Raises:
        NotFound, Malformed: a file is missing or damaged.
    """
    found = (*_tuf(home), *_policy(home), *_authorities(home), *_tls(home, certificate), *_oidc(home))
    return tuple(sorted(found, key=lambda end: (end.when, end.what)))


def _tuf(home: Home) -> Iterator[End]:
    for role in load_state(home).roles:
        kind, noticed, prevent = _TUF[role.role]
        prevent = prevent or role.next_root()
        yield End(role.expires, f"TUF {role.role} version {role.version}", kind, noticed, prevent)


def _policy(home: Home) -> Iterator[End]:
    """The document, and the delegated role that it is signed in."""
    if not home.policy.exists():
        return
    policy = parse_policy(load_file(home.policy, what="the policy", limit=limits.POLICY))
    prevent = "publish one with a later date: sigbox trust policy FILE"
    if policy.expires is not None:
        yield End(policy.expires, "the policy", BREAKS, "whoever verifies by the policy: exit 5", prevent)
    versions = [int(path.name.partition(".")[0]) for path in home.tuf_repository.glob("*.policy.json")]
    if versions:
        path = home.tuf_repository / f"{max(versions)}.policy.json"
        signed = Fields.parse(
            load_file(path, what="the policy's role"), what=str(path), limit=limits.TRUSTED_ROOT
        ).object("signed")
        yield End(
            signed.time("expires"), "TUF policy", BREAKS, _EVERY_CLIENT, "publish it again: sigbox trust policy FILE"
        )


def _authorities(home: Home) -> Iterator[End]:
    """Of the generation that signs. What was signed in time stays good."""
    material = load_public(home)
    for certificate in material.ca_chain:
        name = common_name(certificate.subject)
        noticed = "whoever signs: no certificate is issued, /readyz says so"
        yield End(certificate.not_after, f"certificate of {name}", BREAKS, noticed, successor(home, "ca"))
    for certificate in material.tsa_chain:
        name, end = common_name(certificate.subject), certificate.not_after
        noticed = f"whoever signs: no timestamp is given; in the last {REMAINING // timedelta(hours=1)} hours no start succeeds"
        yield End(end - REMAINING, f"certificate of {name}", BREAKS, noticed, successor(home, "tsa"))


def _tls(home: Home, certificate: Path | None) -> Iterator[End]:
    files = TlsFiles.own(home)
    if files.published.exists():
        # A year before its end the authority is made anew, with another key: see stack.tls_authority.
        end = _certificate_end(files.published) - SERVER_LIFE
        noticed = "every client over https, when the next start makes another authority"
        yield End(end, "the stack's own TLS authority", BREAKS, noticed, f"give clients the new {files.published} then")
    if files.certificate.exists():
        end, noticed = _certificate_end(files.certificate), "every client over https"
        yield End(end, "the stack's own TLS certificate", RENEWS, noticed, "keep the stack running, or start it again")
    if certificate is not None:
        end = _certificate_end(certificate)
        yield End(
            end, f"the TLS certificate {certificate}", BREAKS, "every client over https", "renew it where it came from"
        )


def _certificate_end(path: Path) -> datetime:
    data = load_file(path, what="the TLS certificate", limit=limits.CHAIN_CERTIFICATES * limits.CERTIFICATE)
    try:
        return min(one.not_valid_after_utc for one in tls_x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise Malformed(f"{path} holds no PEM certificate", "give the server's certificate, then its chain") from error


def _oidc(home: Home) -> Iterator[End]:
    """By the time of its file, which is that of its making: rotation renames it."""
    path = home.path / "oidc" / "signing.key"
    if not path.exists():
        return
    made = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    yield End(made + OIDC_AGE, "a year of the key of identity tokens", DUE, "nobody", "sigbox trust rotate oidc")


def check_whole(home: Home) -> None:
    """Refuse to rehearse for a folder of one role: most of what ends would not be seen.

    Raises:
        NotFound: a role's folder is not there.
    """
    missing = [
        name for name in ROLE_FOLDERS if name not in ("console", "tls", "anchor") and not (home.path / name).exists()
    ]
    if missing:
        raise NotFound(f"{home.path} has no folder {missing[0]}", "rehearse where the whole data directory is")
