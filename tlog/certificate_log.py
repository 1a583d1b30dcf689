# SPDX-License-Identifier: Apache-2.0
"""A Certificate Transparency log (RFC 6962): takes certificates that chain to accepted roots, and promises with an SCT.

There is no merge delay: an SCT is given only once its entry is in the tree, durably.

What is stored beside a leaf: the SCT that was given for it (a vector with two bytes of length), then the extra_data of
RFC 6962 section 4.6. So the same certificate gets the same SCT, byte for byte, for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Final

from sigcore import der, keys, limits, tls
from sigcore.chain import verify_signed_by
from sigcore.device_key import aside
from sigcore.errors import Malformed, Refused
from sigcore.keys import PrivateKey
from sigcore.precertificate import precert_entry
from sigcore.sct import (
    POISON_OID,
    PrecertEntry,
    SignedCertificateTimestamp,
    X509Entry,
    encode_leaf,
    encode_sct,
    parse_sct,
    sign_sct,
)
from sigcore.strict import shown
from sigcore.values import dataclass
from sigcore.x509 import Certificate, common_name, parse_certificate
from tlog.anchor import Anchor
from tlog.log import Log, Submission
from tlog.publish import Clock
from tlog.storage.base import LogStore
from tlog.submission import Intake
from tlog.tree_head import TreeHead, TreeHeadPublisher
from tlog.writers import Unwelcome

PATHS: Final = 64
"""Paths that are remembered: they are the same for many leaves."""


@dataclass(frozen=True, slots=True)
class LoggedCertificate:
    """One entry as monitors read it: ``leaf`` (MerkleTreeLeaf) and ``extra_data`` (the chain)."""

    leaf: bytes
    extra_data: bytes


@dataclass(frozen=True, slots=True)
class _Path:
    """The certificates above a leaf, up to an accepted root, and their list as extra_data ends with it."""

    issuers: tuple[Certificate, ...]
    encoded: bytes

    @classmethod
    def of(cls, issuers: tuple[Certificate, ...]) -> _Path:
        return cls(issuers, tls.opaque(b"".join(tls.opaque(issuer.der, 3) for issuer in issuers), 3))


_MakeEntry = Callable[[Certificate, _Path], X509Entry | PrecertEntry]


class CertificateFront:
    """What is done with a certificate before the log has it: its chain is verified, its promise signed.

    Args:
        log: where entries are brought.
        key: ECDSA P-256 or RSA, of this log only; the log id is the SHA-256 of its SPKI.
        roots: accepted root certificates (DER), at least one.
        issuers: certificates (DER) of the authorities whose certificates it takes, all below ``roots``; None for any below
            ``roots``. An authority is known by its key: a root may certify that anew.
    """

    def __init__(
        self, log: Intake, *, key: PrivateKey, roots: Sequence[bytes], issuers: Sequence[bytes] | None = None
    ) -> None:
        if not roots:
            raise Refused("the certificate log accepts no root", "give it the root certificate of the authority")
        self.log = log
        self._key = key
        self.log_id = keys.key_id(keys.encode_public_key(key.public_key()))
        self.roots = tuple(parse_certificate(root, what="the accepted root") for root in roots)
        self._issuers = None if issuers is None else frozenset(map(_spki, issuers))
        self._paths = lru_cache(maxsize=PATHS)(self._find_path)

    def accept(self, chain: Sequence[bytes]) -> None:
        """Take certificates of the authority with this chain (DER, its root last) too, from now on. Malformed: it is no chain."""
        if self._issuers is not None:
            self._issuers |= {_spki(chain[0])}
        certificate = parse_certificate(chain[-1], what="the accepted root")
        if certificate not in self.roots:
            self.roots = (*self.roots, certificate)
            self._paths.cache_clear()

    # --- add ---------------------------------------------------------------------------------------------
    async def add_pre_chain(self, chain: Sequence[bytes]) -> SignedCertificateTimestamp:
        """The SCT for a precertificate, which is in the log when this returns (RFC 6962 section 4.2).

        1. Parse ``chain`` (DER; precertificate, its issuer, and on to a root that is accepted or was signed by one).
        2. The precertificate has the critical poison extension; its issuer signed it, and so on up to the root.
        3. The entry is its TBSCertificate without the poison, bound to the issuer's key.

        Raises:
            Malformed: a certificate cannot be read, or the poison is missing. Refused: the chain does not hold, or ends at
                no accepted root. Unwelcome: another authority has issued the certificate than those that are accepted.
                Unavailable: as :meth:`tlog.log.Log.submit`.
        """
        return await self._add(chain, _precert_entry)

    async def add_chain(self, chain: Sequence[bytes]) -> SignedCertificateTimestamp:
        """The SCT for a final certificate (RFC 6962 section 4.1). Errors as :meth:`add_pre_chain`; poison is Malformed."""
        return await self._add(chain, _x509_entry)

    async def _add(self, chain: Sequence[bytes], make_entry: _MakeEntry) -> SignedCertificateTimestamp:
        if not 1 <= len(chain) <= limits.CHAIN_CERTIFICATES:
            raise Malformed(f"the chain has {len(chain)} certificates, expected 1 to {limits.CHAIN_CERTIFICATES}")
        leaf = parse_certificate(chain[0], what="the submitted certificate")
        path = self._paths(tuple(chain[1:])) if len(chain) > 1 else self._path_of(leaf)
        if path.issuers:
            verify_signed_by(leaf, path.issuers[0])
            self._check_issuer(path.issuers[0])
        entry = make_entry(leaf, path)
        signed = partial(sign_sct, entry, self.log.clock.now_ms(), self._key, self.log_id)
        sct = await aside(self._key, signed)
        # PrecertChainEntry, or the certificate_chain of X509ChainEntry (RFC 6962 section 3.1).
        head = tls.opaque(leaf.der, 3) if isinstance(entry, PrecertEntry) else b""
        extra = b"".join((tls.opaque(encode_sct(sct), 2), head, path.encoded))
        receipt = await self.log.submit(
            Submission(encode_leaf(entry, sct.timestamp_ms), hashlib.sha256(leaf.der).digest(), extra)
        )
        return parse_sct(tls.Reader(receipt.extra, "the stored promise").opaque(2)) if receipt.duplicate else sct

    def _check_issuer(self, issuer: Certificate) -> None:
        if self._issuers is not None and issuer.spki not in self._issuers:
            raise Unwelcome(
                f"this log takes certificates of its own stack's authority, and {_called(issuer)} issued this one",
                'its operator can open it to all below its roots: issuers = "any" in [ct]',
            )

    def _find_path(self, chain: tuple[bytes, ...]) -> _Path:
        """What stands above a leaf, each signed by the next, up to an accepted root."""
        issuers = tuple(
            parse_certificate(data, what=f"certificate {i} of the chain") for i, data in enumerate(chain, 1)
        )
        for below, above in pairwise(issuers):
            verify_signed_by(below, above)
        top = issuers[-1]
        return _Path.of(issuers if top in self.roots else (*issuers, self._root_of(top)))

    def _path_of(self, leaf: Certificate) -> _Path:
        """As :meth:`_find_path`, for a leaf that comes alone: it is an accepted root, or signed by one."""
        return _Path.of(() if leaf in self.roots else (self._root_of(leaf),))

    def _root_of(self, top: Certificate) -> Certificate:
        failure = Refused("the chain does not end at an accepted root", "get-roots lists them")
        for root in self.roots:
            if root.subject == top.issuer:
                try:
                    verify_signed_by(top, root)
                except Refused as error:
                    failure = error
                else:
                    return root
        raise failure


class CertificateLogService(CertificateFront):
    """One certificate log.

    Args:
        store, anchor: where it is kept.
        origin: the log's name in its checkpoints.
        key, roots, issuers: see :class:`CertificateFront`. The first root becomes the log's first entry, so that no user's certificate
            has index 0.
        clock: the time of day.
    """

    log: Log

    def __init__(
        self,
        store: LogStore,
        anchor: Anchor,
        *,
        origin: str,
        key: PrivateKey,
        roots: Sequence[bytes],
        clock: Clock,
        issuers: Sequence[bytes] | None = None,
    ) -> None:
        self._publisher = TreeHeadPublisher(origin, key)
        super().__init__(Log(store, anchor, self._publisher, clock), key=key, roots=roots, issuers=issuers)

    async def start(self) -> None:
        """Open the log and give it its first entry. Refused and Unavailable: as :meth:`tlog.log.Log.start`."""
        await self.log.start()
        try:
            if self.log.size == 0:
                await self.add_chain((self.roots[0].der,))
        except BaseException:
            await self.log.stop()
            raise

    async def stop(self) -> None:
        """Commit what waits and release the log."""
        await self.log.stop()

    def tree_head(self) -> TreeHead:
        """The published signed tree head. Unavailable while the log is empty."""
        return self._publisher.tree_head(self.log.checkpoint())

    async def entries(self, first: int, end: int) -> tuple[LoggedCertificate, ...]:
        """The published entries [first, end). NotFound when one of them is not published."""
        return tuple(_logged(entry) for entry in await self.log.entries(first, end))


def _called(issuer: Certificate) -> str:
    try:
        return shown(common_name(issuer.subject))
    except Malformed:
        return f"one whose key has the SHA-256 {hashlib.sha256(issuer.spki).hexdigest()}"


def _spki(issuer: bytes) -> bytes:
    return parse_certificate(issuer, what="the accepted issuer").spki


def _precert_entry(certificate: Certificate, path: _Path) -> PrecertEntry:
    poison = certificate.extension(POISON_OID)
    if poison is None or not poison.critical or poison.value != der.null():
        raise Malformed("the certificate has no critical poison extension", "final certificates go to add-chain")
    if not path.issuers:
        raise Refused("a root is no precertificate")
    return precert_entry(certificate, path.issuers[0].spki)


def _x509_entry(certificate: Certificate, _path: _Path) -> X509Entry:
    if certificate.extension(POISON_OID) is not None:
        raise Malformed("the certificate has the poison extension", "precertificates go to add-pre-chain")
    return X509Entry(certificate.der)


def _logged(entry: Submission) -> LoggedCertificate:
    promise = tls.Reader(entry.extra, "the stored promise").opaque(2)
    return LoggedCertificate(entry.leaf, entry.extra[2 + len(promise) :])
