# SPDX-License-Identifier: Apache-2.0
"""Token + proof of possession -> certificate. The one place where the CA key signs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from ca.issuers import IssuerTable
from ca.lint import Unsound, lint
from ca.patience import Patience
from ca.ports import CertificateLog
from ca.possession import Proof, verify_possession
from ca.principal import make_principal
from ca.profile import LIFETIME, Draft, Profile
from ca.token import verify_token
from sigcore import certify, der, extensions, keys, precertificate, sct, signatures, x509
from sigcore.chain import verify_signed_by
from sigcore.device_key import aside
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.keys import PublicKey
from sigcore.sct import PrecertEntry, SignedCertificateTimestamp
from sigcore.values import dataclass

CLOCKS_APART_S: Final = 60
"""How far the log's clock may be from ours, with the time that it takes to answer."""
_ALGORITHM: Final = signatures.ECDSA_WITH_SHA256
_POISON: Final = certify.encode_extension(extensions.poison())


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate chain in DER: the leaf with its embedded SCT, the intermediates, the root."""

    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Signer:
    """The issuing key and what follows from it; see :meth:`of` for its chain."""

    key: ec.EllipticCurvePrivateKey
    certificates: tuple[x509.Certificate, ...]
    chain: tuple[bytes, ...]
    profile: Profile
    public_key: PublicKey
    key_hash: bytes

    @classmethod
    def of(cls, key: ec.EllipticCurvePrivateKey, chain: Sequence[bytes], lifetime: timedelta) -> _Signer:
        """Malformed and Refused: as :class:`Authority`."""
        certificates = tuple(x509.parse_certificate(der, what="a CA certificate") for der in chain)
        if not certificates or certificates[0].spki != keys.encode_public_key(key.public_key()):
            raise Malformed("the CA key does not belong to the first certificate of the CA chain")
        for certificate, issuer in zip(certificates, (*certificates[1:], certificates[-1]), strict=True):
            verify_signed_by(certificate, issuer)
        first, encoded = certificates[0], tuple(certificate.der for certificate in certificates)
        profile, key_hash = Profile(first, lifetime), hashlib.sha256(first.spki).digest()
        return cls(key, certificates, encoded, profile, first.public_key(), key_hash)

    def finish(self, draft: Draft, entry: PrecertEntry, stamp: SignedCertificateTimestamp) -> bytes:
        """Steps 9 and 10 of :meth:`Authority.issue`."""
        sct_list = certify.encode_extension(extensions.sct_list(sct.encode_sct_list((stamp,))))
        tbs = draft.encode(sct_list)
        final, signature = self.sign(tbs)
        try:
            signatures.verify(_ALGORITHM, self.public_key, signature, tbs, what="the CA's signature")
            if tbs != precertificate.with_sct_list(entry.tbs, sct_list):
                raise Malformed("it differs from its precertificate in more than the last extension")
        except SigError as error:
            raise Unsound(f"the certificate is not what was logged: {error}") from error
        return final

    def sign(self, tbs: bytes) -> tuple[bytes, bytes]:
        """(the certificate, its signature alone)."""
        signature = signatures.sign(_ALGORITHM, self.key, tbs)
        return der.sequence(tbs, _ALGORITHM, der.bit_string(signature)), signature


@dataclass(frozen=True, slots=True)
class _LoggedBy:
    """A certificate log, and what its SCTs verify with."""

    log: CertificateLog
    key: PublicKey
    id: bytes

    @classmethod
    def of(cls, log: CertificateLog, key: PublicKey) -> _LoggedBy:
        return cls(log, key, keys.key_id(keys.encode_public_key(key)))


class Authority:
    """A certificate authority for short-lived code-signing certificates.

    Args:
        key: the issuing CA's private key, ECDSA P-256.
        chain: DER of the issuing CA's certificate, then of its issuers up to the root.
        issuers: whose tokens count.
        log: where precertificates are logged.
        log_key: the key that the log's SCTs verify with.
        patience_s: seconds that the log may take.
        lifetime: how long a certificate is good.

    Raises:
        Malformed: the key does not belong to the first certificate, or the chain is none.
        Refused: a certificate of the chain is not signed by the next.
    """

    __slots__ = ("_lifetime", "_logged_by", "_patience", "_signer", "_working", "issuers")

    def __init__(
        self,
        *,
        key: ec.EllipticCurvePrivateKey,
        chain: Sequence[bytes],
        issuers: IssuerTable,
        log: CertificateLog,
        log_key: PublicKey,
        patience_s: float = 10,
        lifetime: timedelta = LIFETIME,
    ) -> None:
        self._lifetime = lifetime
        self._signer = _Signer.of(key, chain, lifetime)
        self.issuers = issuers
        self._logged_by = _LoggedBy.of(log, log_key)
        self._patience = Patience(patience_s)
        self._working = 0
        """Requests that are under way."""

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the issuing CA's certificate, then of its issuers up to the root."""
        return self._signer.chain

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The issuing key."""
        return self._signer.key

    @property
    def lifetime(self) -> timedelta:
        """How long a certificate is good."""
        return self._lifetime

    def succeed(self, key: ec.EllipticCurvePrivateKey, chain: Sequence[bytes]) -> None:
        """Sign with another key from the next request on; those under way end with the key that they began with.

        The caller has seen to it that the log accepts the new root, and that readers can know of it. Errors: as of the class.
        """
        self._signer = _Signer.of(key, chain, self._lifetime)

    def log_to(self, log: CertificateLog, log_key: PublicKey) -> None:
        """Log elsewhere from the next request on, as :meth:`succeed`: readers can know of ``log_key``, whose window has begun."""
        self._logged_by = _LoggedBy.of(log, log_key)

    async def issue(self, token: str, proof: Proof, *, now: datetime) -> IssuedCertificate:
        """A certificate for the identity in ``token`` and the key in ``proof``, logged before it exists.

        1. The token verifies at ``now``, the caller's one reading of the clock.
        2. Its claims make a principal: one name, and nothing that the request says about it.
        3. The requester holds the private key, and the key is strong enough to be certified.
        4. Draft: name, key, ``now`` and the lifetime, a random serial. Precertificate: draft + poison, last and critical.
        5. The precertificate keeps every rule of the profile (``lint``); else nothing is signed.
        6. The CA signs it. From here on the certificate counts as issued (RFC 6962 section 3.1): only into the log with it.
        7. The log answers with an SCT, in time, or there is no certificate.
        8. The SCT is the right log's, for this very precertificate, of about this moment, and verifies. What we take for
           logged is the draft without poison, and the log took the poison off by itself: the signature shows that both agree.
        9. Final certificate: the same draft + the SCT list, signed.
        10. The CA's signature verifies, and the TBS is byte for byte what was logged and, last, the SCT list.

        Between these steps the requests that are under way take turns, so that each step is done for all of them before the
        next one: code and tables are still in the processor's caches then, which saves a fifth of its time.

        The caller must still deliver the chain over a channel that the requester trusts; a token stays good for further
        requests until it expires.

        Raises:
            Malformed, Refused: token, proof or identity are not acceptable.
            Unavailable: the log gave no SCT, the issuer's keys cannot be read, or the CA's own validity is over.
            Unsound: our own product or the log's answer failed a check of ours (steps 5, 8, 10).
        """
        self._working += 1
        try:
            return await self._issue(token, proof, now)
        finally:
            self._working -= 1

    async def _issue(self, token: str, proof: Proof, now: datetime) -> IssuedCertificate:
        await self._take_turns()
        signer = self._signer
        claims = await verify_token(token, self.issuers, now=now)  # 1
        principal = make_principal(claims)  # 2
        await self._take_turns()
        spki = keys.encode_public_key(verify_possession(proof, principal.subject))  # 3
        await self._take_turns()
        draft = signer.profile.draft(principal, spki, now)  # 4
        tbs = draft.encode(_POISON)
        issuer, lifetime = signer.certificates[0], self._lifetime
        lint(tbs, issuer=issuer, principal=principal, spki=spki, now=now, lifetime=lifetime)  # 5
        await self._take_turns()
        precert, _ = await aside(signer.key, partial(signer.sign, tbs))  # 6
        entry = PrecertEntry(signer.key_hash, draft.encode(b""))
        stamp = await self._logged((precert, *signer.chain), entry, now)  # 7, 8
        await self._take_turns()
        final = await aside(signer.key, partial(signer.finish, draft, entry, stamp))  # 9, 10
        return IssuedCertificate((final, *signer.chain))

    async def _take_turns(self) -> None:
        """One turn of the event loop where there are others; nothing is waited for."""
        if self._working > 1:
            await asyncio.sleep(0)

    async def _logged(self, chain: Sequence[bytes], entry: PrecertEntry, now: datetime) -> SignedCertificateTimestamp:
        """Steps 7 and 8."""
        by = self._logged_by
        try:
            with self._patience:
                stamp = await by.log.add_pre_chain(chain)
        except TimeoutError as error:
            raise Unavailable(f"the certificate log did not answer within {self._patience.seconds} seconds") from error
        except Unavailable:
            raise
        except SigError as error:
            raise Unavailable("the certificate log did not take the precertificate", str(error)) from error
        await self._take_turns()
        try:
            sct.verify_sct(stamp, entry, by.key, by.id)
            _check_moment(stamp, now)
        except SigError as error:
            raise Unsound(f"the certificate log's SCT is not good: {error}") from error
        return stamp


def _check_moment(stamp: SignedCertificateTimestamp, now: datetime) -> None:
    """A certificate that nobody has seen before is logged now: readers refuse a promise from the future."""
    apart_s = stamp.timestamp_ms / 1000 - now.timestamp()
    if abs(apart_s) > CLOCKS_APART_S:
        raise Refused(
            f"its time is {apart_s:+.0f} seconds from ours, expected at most {CLOCKS_APART_S}", "compare the clocks"
        )
