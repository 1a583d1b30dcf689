# SPDX-License-Identifier: Apache-2.0
"""What somebody puts into the inspector, taken apart; a bundle is verified too. Pure: the client's verifier and its report.

1. Find out what it is: a bundle, a trusted root, a certificate or a timestamp; anything else is refused with what it could have been.
2. Take it apart. Nothing is trusted for that, and what cannot be read is said in its place.
3. A bundle is verified against a trusted root. Where no artifact is named, the digest that the bundle itself names is taken,
   and where nobody is demanded, no identity is judged: what that leaves open is said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from client.explain.flow import explain_verification
from client.explain.part import Part
from client.inspection import encode_outline, inspect_bundle, inspect_certificate, inspect_timestamp
from client.verify.identity import IdentityPolicy
from client.verify.recorder import Recorder
from client.verify.signed import ManagedKey, digest_algorithm
from sigcore import keys, x509
from sigcore.bundle import Bundle, MessageSignature, parse_bundle
from sigcore.errors import Malformed, SigError
from sigcore.intoto import parse_statement
from sigcore.log_entry import LogEntry
from sigcore.strict import parse_hex, parse_json
from sigcore.trustroot import TrustedRoot, parse_trusted_root, trusted_root_json
from sigcore.values import dataclass
from stack.web.console.judged import Judged, judge
from stack.web.console.provenance import Row, describe_provenance

MOST_BYTES: Final = 1024 * 1024
"""A bundle with a large attestation has a tenth of it."""

_DER: Final = b"\x30"
"""A SEQUENCE, as every message of RFC 3161."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the reader says; empty texts say nothing. ``digest`` is hexadecimal, ``key`` a public key in PEM."""

    digest: str = ""
    identity: str = ""
    issuer: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Inspected:
    """``kind`` says what it is, ``outline`` what is in it.

    For a bundle, ``parts`` are the steps of its verification, ``error`` is why it was refused, ``open`` says what was not
    judged because the reader did not name it, ``provenance`` is what it says of a build, and ``entries`` are in logs.
    """

    kind: str
    outline: str
    parts: tuple[Part, ...] = ()
    error: SigError | None = None
    open: tuple[str, ...] = ()
    provenance: tuple[Row, ...] = ()
    entries: tuple[LogEntry, ...] = ()


def inspect(data: bytes, demand: Demand, root: TrustedRoot) -> Inspected:
    """See the module.

    Raises:
        Malformed: none of the things that can be looked into, or a demand that means nothing.
    """
    text = data.strip()
    if text.startswith(b"-----BEGIN CERTIFICATE-----"):
        chain = x509.parse_certificates_pem(text)
        return Inspected("certificate", encode_outline([inspect_certificate(one.der) for one in chain]))
    if text.startswith(b"{"):
        kind = _media_type(text)
        for name, row in _KINDS.items():
            if name in kind:
                return row(text, demand, root)
    if data.startswith(_DER):
        return Inspected("timestamp", encode_outline(inspect_timestamp(data)))
    raise Malformed(
        "this is neither a Sigstore bundle nor a trusted root (JSON), nor a certificate (PEM), nor a timestamp (DER)",
        "a bundle is what sign-blob writes: FILE.sigstore.json",
    )


def _media_type(text: bytes) -> str:
    value = parse_json(text, what="the document", limit=MOST_BYTES, floats=True)
    kind = value.get("mediaType") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else ""


def _trusted_root(text: bytes, _demand: Demand, _root: TrustedRoot) -> Inspected:
    return Inspected("trusted root", encode_outline(trusted_root_json(parse_trusted_root(text))))


def _bundle(text: bytes, demand: Demand, root: TrustedRoot) -> Inspected:
    try:
        bundle = parse_bundle(text)
    except SigError as error:
        return Inspected("bundle", "", explain_verification(None, Recorder(), b"", "", error), error)
    outline = encode_outline(inspect_bundle(bundle))
    try:
        judged = judge(bundle, _digest(bundle, demand), _expected(demand), root)
    except SigError as error:  # what is demanded is none
        judged = Judged(explain_verification(bundle, Recorder(), b"", "", error), error)
    return Inspected(
        "bundle",
        outline,
        judged.parts,
        judged.error,
        _left_open(bundle, demand),
        _provenance(bundle),
        bundle.log_entries,
    )


def _provenance(bundle: Bundle) -> tuple[Row, ...]:
    certificate, statement = None, None
    with contextlib.suppress(SigError):  # the verdict says what cannot be read
        certificate = x509.parse_certificate(bundle.certificate) if bundle.certificate else None
        if not isinstance(bundle.content, MessageSignature):
            statement = parse_statement(bundle.content.payload)
    return describe_provenance(certificate, statement)


_KINDS: Final[dict[str, Callable[[bytes, Demand, TrustedRoot], Inspected]]] = {
    "sigstore.bundle": _bundle,
    "sigstore.trustedroot": _trusted_root,
}
"""What the media type has in it -> how it is read."""


def _digest(bundle: Bundle, demand: Demand) -> bytes:
    if demand.digest:
        return parse_hex(demand.digest.strip().lower().rpartition(":")[2], what="the digest of the file")
    if isinstance(bundle.content, MessageSignature):
        return bundle.content.digest
    name = digest_algorithm(bundle).hashlib_name
    subjects = parse_statement(bundle.content.payload).subjects
    value = next(value for subject in subjects for kind, value in subject.digests if kind == name)
    return parse_hex(value.lower(), what="the digest of the statement's first subject")


def _expected(demand: Demand) -> IdentityPolicy | ManagedKey | None:
    if demand.identity or demand.issuer:
        return IdentityPolicy(issuer=demand.issuer, identity=demand.identity)
    if demand.key:
        return ManagedKey(keys.parse_public_key_pem(demand.key, what="the public key"))
    return None


def _left_open(bundle: Bundle, demand: Demand) -> tuple[str, ...]:
    found = []
    if not demand.digest:
        found.append("The file was not named: its digest is the one that the bundle names itself.")
    if bundle.certificate is not None and not demand.identity and not demand.issuer:
        found.append("Nobody was demanded: whether this is the right signer is for you to judge.")
    return tuple(found)
