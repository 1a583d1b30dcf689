# SPDX-License-Identifier: Apache-2.0
"""Token + proof of possession -> certificate. The one place where the CA key signs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec

from ca.issuers import IssuerTable
from ca.lint import Unsound, lint
from ca.ports import CertificateLog
from ca.possession import Proof, verify_possession
from ca.principal import make_principal
from ca.profile import Draft, Profile
from ca.token import verify_token
from sigcore import certify, extensions, keys, sct, x509
from sigcore.chain import verify_signed_by
from sigcore.errors import Malformed, SigError, Unavailable
from sigcore.keys import PublicKey
from sigcore.sct import PrecertEntry, SignedCertificateTimestamp


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate chain in DER: the leaf with its embedded SCT, the intermediates, the root."""

    chain: tuple[bytes, ...]


class Authority:
    """A certificate authority for short-lived code-signing certificates.

    Args:
        key: the issuing CA's private key, ECDSA P-256.
        chain: DER of the issuing CA's certificate, then of its issuers up to the root.
        issuers: whose tokens count.
        log: where precertificates are logged.
        log_key: the key that the log's SCTs verify with.

    Raises:
        Malformed: the key does not belong to the first certificate, or the chain is none.
        Refused: a certificate of the chain is not signed by the next.
    """

    __slots__ = ("_chain", "_key", "_log", "_log_key", "_profile", "issuers")

    def __init__(
        self,
        *,
        key: ec.EllipticCurvePrivateKey,
        chain: Sequence[bytes],
        issuers: IssuerTable,
        log: CertificateLog,
        log_key: PublicKey,
    ) -> None:
        certificates = tuple(x509.parse_certificate(der, what="a CA certificate") for der in chain)
        if not certificates or certificates[0].spki != keys.encode_public_key(key.public_key()):
            raise Malformed("the CA key does not belong to the first certificate of the CA chain")
        for certificate, issuer in zip(certificates, (*certificates[1:], certificates[-1]), strict=True):
            verify_signed_by(certificate, issuer)
        self.issuers = issuers
        self._key = key
        self._chain = certificates
        self._log = log
        self._log_key = log_key
        self._profile = Profile(certificates[0])

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER of the issuing CA's certificate, then of its issuers up to the root."""
        return tuple(certificate.der for certificate in self._chain)

    async def issue(self, token: str, proof: Proof, *, now: datetime) -> IssuedCertificate:
        """A certificate for the identity in ``token`` and the key in ``proof``, logged before it exists.

        1. The token verifies at ``now``, the caller's one reading of the clock.
        2. Its claims make a principal: one name, and nothing that the request says about it.
        3. The requester holds the private key, and the key is strong enough to be certified.
        4. Draft: name, key, ``now`` and ten minutes, a random serial. Precertificate: draft + poison, last and critical.
        5. The precertificate keeps every rule of the profile (``lint``); else nothing is signed.
        6. The CA signs it. From here on the certificate counts as issued (RFC 6962 section 3.1): only into the log with it.
        7. The log answers with an SCT, or there is no certificate.
        8. The SCT is the right log's, for this very precertificate, and verifies.
        9. Final certificate: the same draft + the SCT list, signed.
        10. The final certificate verifies as the CA's, and corresponds to the precertificate byte for byte in all but the last
            extension.

        The caller must still deliver the chain over a channel that the requester trusts; a token stays good for further
        requests until it expires.

        Raises:
            Malformed, Refused: token, proof or identity are not acceptable.
            Unavailable: the log gave no SCT, the issuer's keys cannot be read, or the CA's own validity is over.
            Unsound: our own product or the log's answer failed a check of ours (steps 5, 8, 10).
        """
        claims = await verify_token(token, self.issuers, now=now)  # 1
        principal = make_principal(claims)  # 2
        spki = keys.encode_public_key(verify_possession(proof, principal.subject))  # 3
        draft = self._profile.draft(principal, spki, now)  # 4
        tbs = self._profile.encode(draft, extensions.poison())
        unsigned = lint(tbs, issuer=self._chain[0], principal=principal, spki=spki, now=now)  # 5
        precert = certify.sign_tbs(tbs, self._key)  # 6
        stamp = await self._logged(precert, sct.precert_entry(unsigned, self._chain[0].spki))  # 7, 8
        return IssuedCertificate((self._finish(draft, unsigned, stamp), *self.chain))  # 9, 10

    async def _logged(self, precert: bytes, entry: PrecertEntry) -> SignedCertificateTimestamp:
        """Steps 7 and 8."""
        try:
            stamp = await self._log.add_pre_chain((precert, *self.chain))
        except Unavailable:
            raise
        except SigError as error:
            raise Unavailable("the certificate log did not take the precertificate", str(error)) from error
        try:
            sct.verify_sct(stamp, entry, self._log_key)
        except SigError as error:
            raise Unsound(f"the certificate log's SCT is not good: {error}") from error
        return stamp

    def _finish(self, draft: Draft, precert: x509.Certificate, stamp: SignedCertificateTimestamp) -> bytes:
        """Steps 9 and 10."""
        tbs = self._profile.encode(draft, extensions.sct_list(sct.encode_sct_list((stamp,))))
        final = x509.parse_certificate(certify.sign_tbs(tbs, self._key), what="the certificate")
        try:
            verify_signed_by(final, self._chain[0])
            sct.correspond(precert, final)
        except SigError as error:
            raise Unsound(f"the certificate is not what was logged: {error}") from error
        return final.der
