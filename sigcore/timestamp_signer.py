# SPDX-License-Identifier: Apache-2.0
"""Issuing timestamp responses from a template.

All that does not change between two responses of one signer is encoded once, in :meth:`TimestampSigner.of`; a response
then costs one signature, two hashes and a few joins. The oracle in the tests is a plain builder without a template.

::

    TimeStampResp
      PKIStatusInfo                 granted                         constant
      ContentInfo  SignedData v3
        digestAlgorithms            {hash of the key}               constant
        encapContentInfo            id-ct-TSTInfo, TSTInfo          per response
        certificates [0]            leaf, intermediates             constant, only if asked for
        SignerInfo v1
          sid, digestAlgorithm                                      constant
          signedAttrs [0]           contentType                     constant
                                    signingTime = genTime           per response
                                    messageDigest of the TSTInfo    per response
                                    signingCertificateV2            constant
          signatureAlgorithm                                        constant
          signature                 over the SET OF signedAttrs     per response

Sources: RFC 3161 section 2.4.2, RFC 5816, RFC 5652 sections 5 and 11.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sigcore import cms, der, keys, signatures
from sigcore.algorithms import HashAlgorithm
from sigcore.ecdsa import Ecdsa
from sigcore.errors import Refused
from sigcore.timestamp import TST_INFO
from sigcore.tst_info import TimestampInfo, encode_info
from sigcore.values import dataclass
from sigcore.x509 import Certificate

_STATUS = der.sequence(der.integer(0))
_SIGNED_DATA = der.oid(cms.SIGNED_DATA)
_TST_INFO = der.oid(TST_INFO)
_CONTENT_TYPE = der.sequence(der.oid(cms.CONTENT_TYPE), der.set_of(_TST_INFO))
_SIGNING_TIME = der.oid(cms.SIGNING_TIME)
_MESSAGE_DIGEST = der.oid(cms.MESSAGE_DIGEST)
_EXPLICIT_0 = der.context(0)


@dataclass(frozen=True, slots=True)
class TimestampSigner:
    """A key with its certificate, ready to issue. Make it with :meth:`of`; one signer serves any number of responses."""

    certificate: Certificate
    hash: HashAlgorithm
    _sign: Callable[[bytes], bytes]
    _head: bytes
    """SignedData: version, digestAlgorithms."""
    _certificates: bytes
    _signer_head: bytes
    """SignerInfo: version, sid, digestAlgorithm."""
    _digest_head: bytes
    """The attribute messageDigest up to the digest, whose length is that of the hash."""
    _signing_certificate: bytes
    _signature_algorithm: bytes

    def __repr__(self) -> str:
        return f"TimestampSigner(certificate={self.certificate!r}, hash={self.hash!r})"

    @classmethod
    def of(
        cls, key: keys.PrivateKey, certificate: Certificate, intermediates: Sequence[Certificate] = ()
    ) -> TimestampSigner:
        """Encode the constant parts.

        Args:
            key: ECDSA or RSA; its size chooses the hash.
            certificate: the leaf; its key must be that of ``key``.
            intermediates: what is embedded beside the leaf where a client asks for certificates; never the root.

        Raises:
            Refused: the key does not belong to the certificate, or is Ed25519 (no client verifies that in a token).
        """
        if isinstance(key, ed25519.Ed25519PrivateKey):
            raise Refused("the timestamp key is Ed25519, which no client accepts in a token", "use ECDSA P-256")
        if keys.encode_public_key(key.public_key()) != certificate.spki:
            raise Refused("the timestamp key does not belong to the timestamp certificate")
        hashing = keys.default_details(key.public_key()).hash
        scheme = signatures.algorithm_for(key)
        digest_algorithm = der.sequence(der.oid(hashing.oid))
        sid = der.sequence(certificate.issuer, der.integer(certificate.serial))
        return cls(
            certificate=certificate,
            hash=hashing,
            _sign=_sign_with(key, scheme),
            _head=der.integer(3) + der.set_of(digest_algorithm),
            _certificates=der.tlv(_EXPLICIT_0, *sorted(c.der for c in (certificate, *intermediates))),
            _signer_head=der.integer(1) + sid + digest_algorithm,
            _digest_head=_digest_head(hashing),
            _signing_certificate=_signing_certificate(certificate),
            _signature_algorithm=scheme,
        )

    def encode_granted(self, info: TimestampInfo, *, certificates: bool) -> bytes:
        """The whole TimeStampResp for ``info``; ``certificates`` embeds leaf and intermediates."""
        content = encode_info(info)
        attributes = der.set_of(
            _CONTENT_TYPE,
            _signing_time(info.time),
            self._digest_head + self.hash.digest(content),
            self._signing_certificate,
        )
        signer = der.sequence(
            self._signer_head,
            b"\xa0" + attributes[1:],  # [0] IMPLICIT; the signature is over the SET OF (RFC 5652 section 5.4)
            self._signature_algorithm,
            der.octet_string(self._sign(attributes)),
        )
        signed = der.sequence(
            self._head,
            der.sequence(_TST_INFO, der.tlv(_EXPLICIT_0, der.octet_string(content))),
            self._certificates if certificates else b"",
            der.tlv(der.SET, signer),
        )
        return der.sequence(_STATUS, der.sequence(_SIGNED_DATA, der.tlv(_EXPLICIT_0, signed)))


def _digest_head(hashing: HashAlgorithm) -> bytes:
    return der.sequence(_MESSAGE_DIGEST, der.set_of(der.octet_string(bytes(hashing.size))))[: -hashing.size]


@lru_cache(maxsize=4)
def _signing_time(moment: datetime) -> bytes:
    return der.sequence(_SIGNING_TIME, der.set_of(der.time(moment)))


def _sign_with(key: keys.PrivateKey, scheme: bytes) -> Callable[[bytes], bytes]:
    """:func:`sigcore.signatures.sign`; for the usual key with everything looked up once, which saves a third of the time."""
    if scheme == signatures.ECDSA_WITH_SHA256 and isinstance(key, ec.EllipticCurvePrivateKey):
        return partial(key.sign, signature_algorithm=Ecdsa(hashes.SHA256()))
    return partial(signatures.sign, scheme, key)


def _signing_certificate(certificate: Certificate) -> bytes:
    """SigningCertificateV2 with SHA-256, its default, and issuerSerial (RFC 5035 section 3)."""
    issuer_serial = der.sequence(
        der.sequence(der.tlv(der.context(4), certificate.issuer)), der.integer(certificate.serial)
    )
    identifier = der.sequence(der.octet_string(HashAlgorithm.SHA2_256.digest(certificate.der)), issuer_serial)
    value = der.sequence(der.sequence(identifier))
    return der.sequence(der.oid(cms.SIGNING_CERTIFICATE_V2), der.set_of(value))
