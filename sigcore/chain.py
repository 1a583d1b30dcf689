# SPDX-License-Identifier: Apache-2.0
"""Certification paths: is this certificate signed by that one, does this leaf chain to one of these roots at that time.

Source: RFC 5280 section 6.1 for the profile that code signing and time-stamping need. Not done, and why: revocation (ten-minute
certificates, and a log instead), certificate policies (a critical policy extension is refused), name constraints (a
certificate that carries them is refused, critical or not, since to ignore them would widen what its issuer allowed).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from sigcore import extensions, keys, limits, signatures, strict
from sigcore.errors import Malformed, Refused, SigError
from sigcore.values import dataclass
from sigcore.x509 import SUBJECT_ALTERNATIVE_NAME, Certificate, common_name

_UNDERSTOOD: Final = frozenset(
    {
        extensions.SUBJECT_KEY_ID,
        extensions.KEY_USAGE,
        SUBJECT_ALTERNATIVE_NAME,  # judged by the identity policy, not by the path
        extensions.BASIC_CONSTRAINTS,
        extensions.AUTHORITY_KEY_ID,
        extensions.EXTENDED_KEY_USAGE,
    }
)
_CHECKS: Final = 64
"""Issuer candidates that one search looks at. Honest paths need fewer than ten; equal names can make a tree of any size."""


def verify_signed_by(certificate: Certificate, issuer: Certificate) -> None:
    """Whether ``issuer`` issued ``certificate``. Time, purposes and the rest of the path are the caller's.

    1. The issuer's subject is the certificate's issuer, byte for byte.
    2. The issuer is a CA: critical basicConstraints, and keyCertSign where it has a keyUsage.
    3. The key identifiers agree where both are there.
    4. The issuer's key verifies the signature.

    Raises:
        Refused: the first of these that does not hold. Malformed: an extension that is needed cannot be read.
    """
    _check_issued(certificate, issuer)
    try:
        signatures.verify(
            certificate.signature_algorithm,
            _issuer_key(issuer.spki),
            certificate.signature,
            certificate.tbs,
            what="its signature",
        )
    except Refused as error:
        message = f"{_called(certificate)} is not signed by {_called(issuer)}: {error.message}"
        raise Refused(message, error.hint) from error


def _check_issued(certificate: Certificate, issuer: Certificate) -> None:
    """All but the signature."""
    if issuer.subject != certificate.issuer:
        raise Refused(f"{_called(certificate)} names another issuer than {_called(issuer)}")
    _check_authority(issuer)
    _check_key_ids(certificate, issuer)


_verify_and_keep = lru_cache(maxsize=128)(verify_signed_by)
"""For the upper part of a path, which is the same for every leaf. A refusal is an exception, and found anew each time."""


@lru_cache(maxsize=64)
def _issuer_key(spki: bytes) -> keys.PublicKey:
    """Issuers are few and sign much."""
    return keys.parse_public_key(spki, what="the public key of the issuer")


def verify_chain(
    leaf: Certificate,
    intermediates: Sequence[Certificate],
    roots: Sequence[Certificate],
    *,
    at: datetime,
    eku: str,
    keep: bool = False,
) -> tuple[Certificate, ...]:
    """A path from ``leaf`` to one of ``roots`` that is good at the moment ``at``, leaf first, root last.

    1. The leaf is valid at ``at``, is no CA, may make digital signatures, and is for the purpose ``eku``.
    2. Its issuer is looked for by name, among the roots first and then among the intermediates not yet in the path. Every
       candidate is tried, up to a bounded number of candidates and length of path.
    3. A candidate must be valid at ``at``, respect its own pathLenConstraint, allow ``eku`` if it limits purposes at all,
       and have issued the certificate below it (:func:`verify_signed_by`).
    4. A root ends the path; its own signature is not looked at, since it is trusted for what it is.
    5. On every certificate of the path a critical extension that is not understood is refused, and a weak key.

    The caller must still check who the leaf is for, and that ``at`` is a time that somebody trustworthy attests.

    Args:
        leaf: the certificate to judge.
        intermediates: what may stand between; order and superfluous ones do not matter.
        roots: the trust anchors.
        at: aware; the bounds of a certificate's validity belong to it.
        eku: dotted identifier of the extended key usage.
        keep: remember that the leaf's signature holds, for a leaf that is met again and again.

    Raises:
        Refused: no such path; the message is that of the candidate which came farthest.
        Malformed: an extension on the way cannot be read.
    """
    usual = None if leaf.like is None or keep else _usual(leaf.like, tuple(intermediates), tuple(roots), eku)
    if usual is not None and _vouches(usual, leaf, at):
        return (leaf, *usual.issuers)
    _check_leaf(leaf, at, eku)
    search = _Search(intermediates, roots, at, eku, keep=keep)
    path = search.extend((leaf,))
    if path is None:
        raise search.failure or Refused("no certification path was looked for")
    return path


# --- the usual path --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class _Usual:
    """The one path above all leaves that are alike: the search would find no other, and nothing but times and the leaf's own
    key and signature is left to check.
    """

    issuers: tuple[Certificate, ...]
    key: keys.PublicKey
    """Of the first of them."""
    not_before: datetime
    not_after: datetime
    """When all of them are valid."""


@lru_cache(maxsize=64)
def _usual(
    like: Certificate, intermediates: tuple[Certificate, ...], roots: tuple[Certificate, ...], eku: str
) -> _Usual | None:
    """The path above ``like``, the upper signatures verified; None where there is a choice, or something that the search refuses."""
    issuers: list[Certificate] = []
    try:
        _check_purpose(like, eku)
        while not issuers or issuers[-1] not in roots:
            below = issuers[-1] if issuers else like
            (issuer,) = [one for one in (*roots, *intermediates) if one.subject == below.issuer]
            _check_fitness(issuer, eku)
            _check_issued(below, issuer)
            if issuers:
                _verify_and_keep(below, issuer)
            _check_path_length(issuer, issuers)
            issuers.append(issuer)
            if len(issuers) == limits.CHAIN_CERTIFICATES:
                return None
        key = _issuer_key(issuers[0].spki)
    except (SigError, ValueError):
        return None
    begins, ends = [one.not_before for one in issuers], [one.not_after for one in issuers]
    return _Usual(tuple(issuers), key, max(begins), min(ends))


def _vouches(usual: _Usual, leaf: Certificate, at: datetime) -> bool:
    """What is left to check. What does not hold is found again, and named, by the search."""
    if not (leaf.not_before <= at <= leaf.not_after and usual.not_before <= at <= usual.not_after):
        return False
    try:
        keys.check_strength(leaf.public_key())
        signatures.verify(leaf.signature_algorithm, usual.key, leaf.signature, leaf.tbs, what="its signature")
    except SigError:
        return False
    return True


# --- the search ------------------------------------------------------------------------------------------
class _Search:
    """Depth first, with a budget; keeps the failure of the longest path that did not work."""

    def __init__(
        self,
        intermediates: Sequence[Certificate],
        roots: Sequence[Certificate],
        at: datetime,
        eku: str,
        *,
        keep: bool,
    ) -> None:
        self._intermediates = intermediates
        self._roots = roots
        self._at = at
        self._eku = eku
        self._keep = keep
        self._checks_left = _CHECKS
        self._failed_at = 0
        self.failure: SigError | None = None

    def extend(self, path: tuple[Certificate, ...]) -> tuple[Certificate, ...] | None:
        """``path`` (leaf first) and what leads from it to a root, or None."""
        if len(path) == limits.CHAIN_CERTIFICATES:
            self._fail(path, Refused(f"the path is longer than {limits.CHAIN_CERTIFICATES} certificates"))
            return None
        for issuer, is_root in self._candidates(path):
            self._spend()
            try:
                self._check_issuer(path, issuer)
            except SigError as error:
                self._fail(path, error)
                continue
            whole = (*path, issuer)
            found = whole if is_root else self.extend(whole)
            if found is not None:
                return found
        self._fail(path, Refused(f"the issuer of {_called(path[-1])} is neither at hand nor trusted"))
        return None

    def _candidates(self, path: tuple[Certificate, ...]) -> Iterator[tuple[Certificate, bool]]:
        wanted = path[-1].issuer
        for root in self._roots:
            if root.subject == wanted and root not in path:
                yield root, True
        for intermediate in self._intermediates:
            if intermediate.subject == wanted and intermediate not in path and intermediate not in self._roots:
                yield intermediate, False

    def _check_issuer(self, path: tuple[Certificate, ...], issuer: Certificate) -> None:
        _check_validity(issuer, self._at)
        _check_fitness(issuer, self._eku)
        verify = _verify_and_keep if self._keep or len(path) > 1 else verify_signed_by
        verify(path[-1], issuer)
        _check_path_length(issuer, path[1:])

    def _spend(self) -> None:
        if self._checks_left == 0:
            raise Refused(
                f"more than {_CHECKS} issuer candidates have fitting names",
                "give only the intermediates that belong to the chain",
            )
        self._checks_left -= 1

    def _fail(self, path: tuple[Certificate, ...], error: SigError) -> None:
        if len(path) > self._failed_at:
            self._failed_at, self.failure = len(path), error


# --- checks of one certificate ---------------------------------------------------------------------------
def _called(certificate: Certificate) -> str:
    try:
        text = common_name(certificate.subject)
    except Malformed:
        text = ""
    return (
        f"the certificate {strict.shown(text)}"
        if text
        else f"the certificate with serial number {certificate.serial:x}"
    )


def _check_validity(certificate: Certificate, at: datetime) -> None:
    if at < certificate.not_before:
        moment = strict.encode_time(certificate.not_before)
        raise Refused(f"{_called(certificate)} is valid from {moment}, it is used at {strict.encode_time(at)}")
    if at > certificate.not_after:
        moment = strict.encode_time(certificate.not_after)
        raise Refused(f"{_called(certificate)} expired at {moment}, it is used at {strict.encode_time(at)}")


def check_extensions(certificate: Certificate) -> None:
    """Refused where ``certificate`` has an extension that must not be passed over, and is not understood here."""
    for extension in certificate.extensions:
        if extension.oid == extensions.POISON:
            raise Refused(f"{_called(certificate)} is a precertificate, which certifies nothing")
        if extension.oid == extensions.NAME_CONSTRAINTS:
            raise Refused(f"{_called(certificate)} has name constraints, which are not supported")
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise Refused(f"{_called(certificate)} has the critical extension {extension.oid}, which is not understood")


def _check_leaf(leaf: Certificate, at: datetime, eku: str) -> None:
    _check_validity(leaf, at)
    _check_purpose(leaf, eku)
    key = leaf.public_key()
    try:
        keys.check_strength(key)
    except Refused:
        keys.check_strength(key, what=f"the public key of {_called(leaf)}")  # the defect again, under its name


def _check_purpose(leaf: Certificate, eku: str) -> None:
    check_extensions(leaf)
    constraints = extensions.parse_basic_constraints(leaf)
    if constraints is not None and constraints.ca:
        raise Refused(f"{_called(leaf)} is a CA, expected a leaf")
    usages = extensions.parse_key_usage(leaf) or frozenset()
    if "digitalSignature" not in usages:
        raise Refused(f"{_called(leaf)} is not for digital signatures (keyUsage)")
    if "keyCertSign" in usages:
        raise Refused(f"{_called(leaf)} may sign certificates (keyUsage) but is no CA")
    purposes = extensions.parse_extended_key_usage(leaf)
    if purposes is None or eku not in purposes:
        raise Refused(f"{_called(leaf)} is not for the purpose {eku} (extendedKeyUsage)")


@lru_cache(maxsize=128)
def _check_authority(issuer: Certificate) -> None:
    """Kept where it holds: issuers are few and sign much."""
    constraints = extensions.parse_basic_constraints(issuer)
    if constraints is None or not constraints.ca:
        raise Refused(f"{_called(issuer)} is no CA (basicConstraints)")
    if not constraints.critical:
        raise Refused(f"{_called(issuer)} has basicConstraints that are not critical")
    usages = extensions.parse_key_usage(issuer)
    if usages is not None and "keyCertSign" not in usages:
        raise Refused(f"{_called(issuer)} may not sign certificates (keyUsage)")


@lru_cache(maxsize=128)
def _check_fitness(issuer: Certificate, eku: str) -> None:
    """What holds of an issuer at all times. Kept where it holds: issuers are few and sign much."""
    check_extensions(issuer)
    purposes = extensions.parse_extended_key_usage(issuer)
    if purposes is not None and not {eku, extensions.ANY_EXTENDED_KEY_USAGE} & set(purposes):
        raise Refused(f"{_called(issuer)} may not issue for the purpose {eku} (extendedKeyUsage)")


def _check_path_length(issuer: Certificate, below: Sequence[Certificate]) -> None:
    """``below``: the CAs between ``issuer`` and the leaf; self-issued ones do not count (RFC 5280 section 6.1.4 l)."""
    constraints = extensions.parse_basic_constraints(issuer)
    count = sum(ca.subject != ca.issuer for ca in below)
    if constraints is not None and constraints.path_length is not None and count > constraints.path_length:
        raise Refused(
            f"{_called(issuer)} allows {constraints.path_length} CAs below it (pathLenConstraint), there are {count}"
        )


def _check_key_ids(certificate: Certificate, issuer: Certificate) -> None:
    named, own = extensions.parse_authority_key_id(certificate), extensions.parse_subject_key_id(issuer)
    if named is not None and own is not None and named != own:
        raise Refused(
            f"{_called(certificate)} names another issuer key (authorityKeyIdentifier) than {_called(issuer)}"
        )
