# SPDX-License-Identifier: Apache-2.0
"""Sign a file, or attest to one: from a digest or a statement to a verified bundle.

1. Choose the services from the signing config: one certificate authority, and logs and timestamp authorities as it says.
2. With an identity token: make a key, which lives in this function only, and ask the certificate authority for a certificate
   that binds it to the token's identity. Whoever makes several signatures in one go does this once: :func:`certify`.
   With a key of the user: the services of step 1 need no certificate authority.
3. Sign the digest; or the statement, in a DSSE envelope.
4. Ask the timestamp authorities to witness the signature; each answer is verified.
5. Put verifier, signature and digest in the logs; each answer is verified.
6. Put it all in a bundle, encode it, and verify what a reader will read. Only then is it handed out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from client.fulcio import Issued, request_certificate
from client.identity import IdentityToken
from client.rekor import add_entry
from client.transport import Transport
from client.trust import Trust
from client.tsa import request_timestamp
from client.verify import verify_own
from client.verify.signed import ManagedKey, read_signed
from client.verify.steps import Step
from sigcore import device_key, dsse, keys
from sigcore.algorithms import HashAlgorithm
from sigcore.bundle import Bundle, Content, MessageSignature, encode_bundle, parse_bundle
from sigcore.dsse import Envelope, EnvelopeSignature
from sigcore.errors import Malformed, Refused
from sigcore.intoto import Statement, parse_statement
from sigcore.keys import PrivateKey
from sigcore.signing_config import Selector, Service, SigningConfig, select_services
from sigcore.strict import encode_base64, parse_hex
from sigcore.values import dataclass

CA_VERSION, TSA_VERSION = 1, 1
"""Major API versions that we speak. Fulcio's is 1 although its path says v2 (that is how signing configs write it)."""
LOG_VERSIONS = (1, 2)


@dataclass(frozen=True, slots=True)
class Services:
    """Whom one signing asks. ``ca`` is None where the user has a key."""

    ca: Service | None
    logs: tuple[Service, ...]
    timestamp_authorities: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Certified:
    """A key of this run with its certificate (DER), for the ten minutes that the certificate is good."""

    key: PrivateKey
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Signing:
    """What stays the same for all files of one run.

    Args:
        signer: the identity to sign as, which the certificate authority judges; what it has certified; or a key of the user.
        trust: whom to ask, and whom to believe.
        transport: how to get there.
        rekor_version: 1 or 2 to have logs of that API only; None for the highest that the signing config lists.
        on_issued: is given each new certificate with what was shown for it.
    """

    signer: IdentityToken | Certified | PrivateKey
    trust: Trust
    transport: Transport
    rekor_version: int | None = None
    on_issued: Callable[[Issued], None] | None = None


def choose_services(config: SigningConfig, now: datetime, *, certify: bool, rekor_version: int | None) -> Services:
    """Step 1. ``certify``: whether a certificate is needed.

    Raises:
        Refused: a kind of service is missing; a Rekor v2 log needs a timestamp authority beside it.
    """

    def select(services: tuple[Service, ...], selector: Selector, version: int, what: str) -> tuple[Service, ...]:
        return select_services(services, selector, supported=[version], now=now, what=what)

    versions = LOG_VERSIONS if rekor_version is None else (rekor_version,)
    logs = select_services(config.rekor, config.rekor_selector, supported=versions, now=now, what="logs")
    stamps: tuple[Service, ...] = ()
    if config.tsa or (certify and logs[0].api_version != 1):  # a v1 log signs a time itself
        stamps = select(config.tsa, config.tsa_selector, TSA_VERSION, "timestamp authorities")
    ca = select(config.ca, Selector(), CA_VERSION, "certificate authorities")[0] if certify else None
    return Services(ca, logs, stamps)


async def sign_blob(signing: Signing, digest: bytes, *, now: datetime) -> Bundle:
    """A bundle for the artifact with this ``digest``.

    Args:
        signing: who signs, and where.
        digest: of the artifact, by :func:`hash_of` the signer.
        now: chooses the services that are valid today.

    Raises:
        Refused: a service said no, or an answer (or our own bundle) does not verify. Unavailable: no answer.
        Malformed: a digest of another length, or an answer that is none.
    """
    hashing = hash_of(signing.signer)
    if len(digest) != hashing.size:
        raise Malformed(f"the digest has {len(digest)} bytes, expected the {hashing.size} of {hashing.name}")

    def content(key: PrivateKey) -> Content:
        return MessageSignature(hashing, digest, keys.sign_digest(key, digest))

    return await _sign(signing, content, digest, now)


async def attest(signing: Signing, statement: bytes, *, now: datetime) -> Bundle:
    """A bundle with ``statement`` (an in-toto statement in JSON, kept byte for byte) in a DSSE envelope.

    Raises:
        Malformed: not a statement about something with a digest; else as :func:`sign_blob`.
    """
    digest = subject_digest(parse_statement(statement))

    def content(key: PrivateKey) -> Content:
        signature = keys.sign(key, dsse.pre_authentication_encoding(dsse.IN_TOTO, statement))
        return Envelope(dsse.IN_TOTO, statement, (EnvelopeSignature(signature),))

    return await _sign(signing, content, digest, now)


def subject_digest(statement: Statement) -> bytes:
    """The first digest by the statement's algorithm; Malformed where it is none."""
    algorithm = statement.algorithm()
    named = (text for subject in statement.subjects for name, text in subject.digests if name == algorithm.hashlib_name)
    return parse_hex(next(named), what="a digest of the statement", size=algorithm.size)


async def certify(signing: Signing, *, now: datetime) -> Signing:
    """``signing`` with step 2 done, where it is an identity that signs: one key and certificate for the whole run.

    Raises: as :func:`sign_blob`.
    """
    if not isinstance(signing.signer, IdentityToken):
        return signing
    services = choose_services(signing.trust.config, now, certify=True, rekor_version=signing.rekor_version)
    key, certificate = await _credential(signing, services)
    if certificate is None:
        raise Refused("no certificate was issued")
    return replace(signing, signer=Certified(key, certificate))


def with_artifact(signing: Signing, artifact: bytes | Path) -> Signing:
    """``signing`` of a digest of ``artifact``, which is given to a key that may want to read it: :func:`sigcore.device_key.over`."""
    if isinstance(signing.signer, IdentityToken | Certified):
        return signing
    return replace(signing, signer=device_key.over(signing.signer, artifact))


def hash_of(signer: IdentityToken | Certified | PrivateKey) -> HashAlgorithm:
    """The hash that a signature of ``signer`` is over."""
    if isinstance(signer, IdentityToken | Certified):
        return HashAlgorithm.SHA2_256
    return keys.default_details(signer.public_key()).hash


async def _sign(signing: Signing, make: Callable[[PrivateKey], Content], digest: bytes, now: datetime) -> Bundle:
    trust, transport = signing.trust, signing.transport
    certified = isinstance(signing.signer, IdentityToken | Certified)
    with Step("services"):
        services = choose_services(trust.config, now, certify=certified, rekor_version=signing.rekor_version)  # 1
    with Step("certificate"):
        key, certificate = await _credential(signing, services)  # 2
    managed = ManagedKey(key.public_key()) if certificate is None else None
    hint = encode_base64(keys.key_id(keys.encode_public_key(key.public_key()))) if managed else None
    with Step("signature"):
        draft = Bundle(certificate, (), (), make(key), key_hint=hint)  # 3
        signed = read_signed(draft, digest, managed)
    with Step("timestamp"):
        stamps = [  # 4
            await request_timestamp(transport, authority.url, draft.signature, root=trust.root)
            for authority in services.timestamp_authorities
        ]
    with Step("entry"):
        logged = [await add_entry(transport, log, signed, root=trust.root, now=now) for log in services.logs]  # 5
    bundle = parse_bundle(encode_bundle(replace(draft, log_entries=tuple(logged), timestamps=tuple(stamps))))  # 6
    verify_own(bundle, digest, root=trust.root, key=managed)
    return bundle


async def _credential(signing: Signing, services: Services) -> tuple[PrivateKey, bytes | None]:
    """The key, and the certificate for it (DER) where an identity signs."""
    if isinstance(signing.signer, Certified):
        return signing.signer.key, signing.signer.certificate
    if not isinstance(signing.signer, IdentityToken):
        return signing.signer, None
    if services.ca is None:
        raise Refused("no certificate authority was chosen")
    key = keys.generate_p256()
    issued = await request_certificate(signing.transport, services.ca.url, token=signing.signer, key=key)
    if signing.on_issued is not None:
        signing.on_issued(issued)
    return key, issued.chain[0].der
