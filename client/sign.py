# SPDX-License-Identifier: Apache-2.0
"""Sign a blob without a key of one's own: from a digest and an identity token to a verified bundle.

1. Choose the services from the signing config: one certificate authority, and logs and timestamp authorities as it says.
2. Make a key. It lives in this function only.
3. Ask the certificate authority for a certificate that binds the key to the token's identity.
4. Sign the digest.
5. Ask the timestamp authorities to witness the signature; each answer is verified.
6. Put certificate, signature and digest in the logs; each answer is verified.
7. Put it all in a bundle, encode it, and verify what a reader will read. Only then is it handed out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from client.fulcio import request_certificate
from client.identity import IdentityToken
from client.rekor import add_entry
from client.transport import Transport
from client.trust import Trust
from client.tsa import request_timestamp
from client.verify import verify_own
from sigcore import entries, keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, MessageSignature, encode_bundle, parse_bundle
from sigcore.entries import HashedRekord
from sigcore.errors import Malformed
from sigcore.signing_config import Selector, Service, SigningConfig, select_services

CA_VERSION, LOG_VERSION, TSA_VERSION = 1, 2, 1
"""Major API versions that we speak. Fulcio's is 1 although its path says v2 (that is how signing configs write it)."""


@dataclass(frozen=True, slots=True)
class Services:
    """Whom one signing asks."""

    ca: Service
    logs: tuple[Service, ...]
    timestamp_authorities: tuple[Service, ...]


def choose_services(config: SigningConfig, now: datetime) -> Services:
    """Step 1.

    Raises:
        Refused: a kind of service is missing; a Rekor v2 log needs a timestamp authority beside it.
    """

    def select(services: tuple[Service, ...], selector: Selector, version: int, what: str) -> tuple[Service, ...]:
        return select_services(services, selector, supported=[version], now=now, what=what)

    return Services(
        ca=select(config.ca, Selector(), CA_VERSION, "certificate authorities")[0],
        logs=select(config.rekor, config.rekor_selector, LOG_VERSION, "logs"),
        timestamp_authorities=select(config.tsa, config.tsa_selector, TSA_VERSION, "timestamp authorities"),
    )


async def sign_blob(
    digest: bytes, *, token: IdentityToken, trust: Trust, transport: Transport, now: datetime
) -> Bundle:
    """A bundle for the artifact with this SHA-256 ``digest``.

    Args:
        digest: SHA-256 of the artifact, 32 bytes.
        token: the identity to sign as; the certificate authority judges it.
        trust: whom to ask, and whom to believe.
        transport: how to get there.
        now: chooses the services that are valid today.

    Raises:
        Refused: a service said no, or an answer (or our own bundle) does not verify. Unavailable: no answer.
        Malformed: a digest of another length, or an answer that is none.
    """
    if len(digest) != HashAlgorithm.SHA2_256.size:
        raise Malformed(f"the digest has {len(digest)} bytes, expected the 32 of SHA-256")
    services = choose_services(trust.config, now)  # 1
    key = keys.generate_p256()  # 2
    leaf, *_ = await request_certificate(transport, services.ca.url, token=token, key=key)  # 3
    signature = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))  # 4
    stamps = [  # 5
        await request_timestamp(transport, authority.url, signature, root=trust.root)
        for authority in services.timestamp_authorities
    ]
    entry = HashedRekord(digest, signature, entries.certificate_verifier(leaf.der))
    logged = [  # 6
        await add_entry(transport, log.url, entry, root=trust.root, now=now) for log in services.logs
    ]
    content = MessageSignature(HashAlgorithm.SHA2_256, digest, signature)
    bundle = parse_bundle(encode_bundle(Bundle(leaf.der, tuple(logged), tuple(stamps), content)))  # 7
    verify_own(bundle, digest, root=trust.root)
    return bundle
