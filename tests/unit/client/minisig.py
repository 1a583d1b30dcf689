# SPDX-License-Identifier: Apache-2.0
"""A whole Sigstore in memory, for the tests of the client: authority, certificate log, log and timestamp authority.

It is built with sigcore alone and makes a bundle without the client's signing code, so that signer and verifier are not
tested against each other only. :class:`MiniTransport` puts the same services behind the HTTP paths that the client calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

from client.transport import Response
from client.trust import Trust
from sigcore import (
    certify,
    checkpoint,
    der,
    entries,
    extensions,
    fulcio,
    keys,
    limits,
    merkle,
    note,
    sct,
    timestamp,
    x509,
)
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.bundle import Bundle, MessageSignature
from sigcore.entries import HashedRekord
from sigcore.errors import SigError
from sigcore.log_entry import InclusionProof, LogEntry, encode_log_entry
from sigcore.signing_config import Service, SigningConfig
from sigcore.strict import Fields
from sigcore.timestamp_signer import TimestampSigner
from sigcore.trustroot import AuthorityInstance, LogInstance, TrustedRoot, Validity
from sigcore.tst_info import TimestampInfo
from sigcore.x509 import Extension

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
START, END = NOW - timedelta(days=30), NOW + timedelta(days=3650)
OPEN = Validity(START)
EMAIL, ISSUER = "signer@example.com", "https://issuer.example/auth"
SAN = x509.Email(EMAIL)
ARTIFACT = b"an artifact\n"
URL = "http://sig.example:7780"


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sign_digest(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    return key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@dataclass
class Chain:
    """A root and an intermediate with the intermediate's key."""

    root: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str, eku: str, *, not_after: datetime = END) -> Chain:
        root_key, key = keys.generate_p256(), keys.generate_p256()
        top, middle = (certify.Subject(f"{name}{part}", "mini", START, not_after) for part in (" root", ""))
        root = x509.parse_certificate(certify.make_root(root_key, top))
        spki = keys.encode_public_key(key.public_key())
        intermediate = x509.parse_certificate(certify.make_intermediate(root, root_key, spki, middle, eku=eku))
        return cls(root, intermediate, key)

    @property
    def key_id(self) -> Extension:
        return extensions.authority_key_id(extensions.key_identifier(self.intermediate.spki))


@dataclass
class MiniLog:
    """A Merkle log that keeps all its leaves and proves from the whole tree."""

    origin: str
    key: keys.PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    leaves: list[bytes] = field(default_factory=lambda: [b"seed"])

    @property
    def id(self) -> bytes:
        return note.note_key(self.origin, self.key.public_key()).id

    def node(self, level: int, index: int) -> bytes:
        if level == 0:
            return merkle.hash_leaf(self.leaves[index])
        return merkle.hash_node(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))

    def append(self, body: bytes) -> LogEntry:
        self.leaves.append(body)
        index, size = len(self.leaves) - 1, len(self.leaves)
        root = merkle.root_of(size, self.node)
        signed = checkpoint.sign_checkpoint(checkpoint.Checkpoint(self.origin, size, root), self.key)
        proof = InclusionProof(index, size, root, merkle.inclusion_proof(index, size, self.node), signed)
        return LogEntry(index, self.id, "hashedrekord", "0.0.2", 0, body, proof)


@dataclass
class MiniSigstore:
    """One instance; ``name`` keeps two of them apart. ``now`` is the time that its services write."""

    name: str = "mini"
    now: datetime = NOW

    def __post_init__(self) -> None:
        self.ca = Chain.make(f"{self.name} ca", x509.EKU_CODE_SIGNING)
        self.tsa = Chain.make(f"{self.name} tsa", x509.EKU_TIME_STAMPING)
        self.tsa_key = keys.generate_p256()
        spki = keys.encode_public_key(self.tsa_key.public_key())
        leaf = certify.Subject(f"{self.name} tsa leaf", "mini", START, END)
        tsa = certify.make_leaf(self.tsa.intermediate, self.tsa.key, spki, leaf, eku=x509.EKU_TIME_STAMPING)
        self.tsa_leaf = x509.parse_certificate(tsa)
        self.tsa_signer = TimestampSigner.of(self.tsa_key, self.tsa_leaf)
        self.ct_key = keys.generate_p256()
        self.log = MiniLog("sig.example")

    # --- trust
    @property
    def root(self) -> TrustedRoot:
        ct_spki = keys.encode_public_key(self.ct_key.public_key())
        log_spki = keys.encode_public_key(self.log.key.public_key())
        details = keys.default_details(self.log.key.public_key())
        ct = KeyDetails.PKIX_ECDSA_P256_SHA_256
        ca = (self.ca.intermediate.der, self.ca.root.der)
        tsa = (self.tsa_leaf.der, self.tsa.intermediate.der, self.tsa.root.der)
        return TrustedRoot(
            logs=(LogInstance(URL, HashAlgorithm.SHA2_256, log_spki, details, OPEN, self.log.id),),
            certificate_authorities=(AuthorityInstance("mini", f"{self.name} ca", URL, ca, OPEN),),
            ct_logs=(LogInstance(f"{URL}/ct", HashAlgorithm.SHA2_256, ct_spki, ct, OPEN, keys.key_id(ct_spki)),),
            timestamp_authorities=(AuthorityInstance("mini", f"{self.name} tsa", URL, tsa, OPEN),),
        )

    @property
    def config(self) -> SigningConfig:
        one, two = (Service(URL, version, OPEN, self.name) for version in (1, 2))
        return SigningConfig((one,), (one,), (two,), (Service(f"{URL}/api/v1/timestamp", 1, OPEN, self.name),))

    @property
    def trust(self) -> Trust:
        return Trust(self.root, self.config)

    # --- services
    def certify(
        self,
        key: keys.PublicKey,
        *,
        san: x509.San = SAN,
        issuer: Sequence[Extension] | str = ISSUER,
        usage: Sequence[Extension] | None = None,
        scts: int = 1,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> bytes:
        """A signing certificate in DER with ``scts`` embedded SCTs."""
        spki = keys.encode_public_key(key)
        given = fulcio.encode_extensions(fulcio.FulcioExtensions(issuer)) if isinstance(issuer, str) else issuer
        common = (
            *(usage if usage is not None else self.usage()),
            extensions.subject_key_id(spki),
            self.ca.key_id,
            extensions.subject_alternative_name(san),
            *given,
        )
        serial = certify.random_serial()

        def sign(*more: Extension) -> bytes:
            """One serial for both: precertificate and certificate differ in poison and SCT list alone."""
            tbs = certify.encode_tbs(
                serial=serial,
                issuer=self.ca.intermediate.subject,
                not_before=not_before or self.now - timedelta(minutes=1),
                not_after=not_after or self.now + timedelta(minutes=9),
                subject=der.sequence(),
                spki=spki,
                extensions=(*common, *more),
            )
            return certify.sign_tbs(tbs, self.ca.key)

        if not scts:
            return sign()
        entry = sct.precert_entry(x509.parse_certificate(sign(extensions.poison())), self.ca.intermediate.spki)
        signed = [sct.sign_sct(entry, int(self.now.timestamp() * 1000) + n, self.ct_key) for n in range(scts)]
        return sign(extensions.sct_list(sct.encode_sct_list(signed)))

    @staticmethod
    def usage(
        *, eku: str = x509.EKU_CODE_SIGNING, bits: Sequence[str] = ("digitalSignature",)
    ) -> tuple[Extension, ...]:
        return extensions.key_usage(*bits), extensions.extended_key_usage(eku)

    def timestamp(self, message: bytes, *, at: datetime | None = None, nonce: int | None = None) -> bytes:
        """A granted response over ``message``."""
        return self.stamp(digest_of(message), at=at, nonce=nonce)

    def stamp(self, digest: bytes, *, at: datetime | None = None, nonce: int | None = None) -> bytes:
        serial = certify.random_serial()
        info = TimestampInfo("1.2.3.4", HashAlgorithm.SHA2_256, digest, serial, at or self.now, nonce)
        return self.tsa_signer.encode_granted(info, certificates=False)

    # --- a bundle without the client
    def sign(self, artifact: bytes = ARTIFACT, **certificate) -> Bundle:
        key = keys.generate_p256()
        return self.bundle(key, self.certify(key.public_key(), **certificate), artifact)

    def bundle(self, key: ec.EllipticCurvePrivateKey, certificate: bytes, artifact: bytes = ARTIFACT) -> Bundle:
        digest = digest_of(artifact)
        signature = sign_digest(key, digest)
        body = entries.encode_body(HashedRekord(digest, signature, entries.certificate_verifier(certificate)))
        content = MessageSignature(HashAlgorithm.SHA2_256, digest, signature)
        return Bundle(certificate, (self.log.append(body),), (self.timestamp(signature),), content)


@dataclass
class MiniTransport:
    """The services of one instance behind their HTTP paths. ``seen`` keeps (path, headers, body) of every request."""

    sigstore: MiniSigstore
    subject: str = EMAIL
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def request(self, method, url, *, headers, body, limit) -> Response:
        path = urlsplit(url).path
        self.seen.append((path, dict(headers), body))
        assert method == "POST"
        assert limit <= limits.SERVICE_RESPONSE
        handler = {
            "/api/v2/signingCert": self.certificate,
            "/api/v2/log/entries": self.entry,
            "/api/v1/timestamp": self.timestamp,
        }.get(path)
        if handler is None:
            return Response(404, b'{"code":5,"message":"Not Found"}')
        try:
            return handler(body)
        except SigError as error:
            return Response(400, json.dumps({"code": 3, "message": str(error)}).encode())

    def certificate(self, body: bytes) -> Response:
        request = Fields.parse(body, what="request", limit=limits.CERTIFICATE_REQUEST).object("publicKeyRequest")
        key = keys.parse_public_key_pem(request.object("publicKey").text("content"))
        proof = request.base64("proofOfPossession", limit=limits.SIGNATURE)
        keys.verify(key, proof, self.subject.encode(), what="the proof of possession")
        ca = self.sigstore.ca
        chain = (self.sigstore.certify(key, san=x509.Email(self.subject)), ca.intermediate.der, ca.root.der)
        pems = [x509.encode_certificate_pem(der).rstrip("\n") for der in chain]
        answer = {"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}}
        return Response(200, json.dumps(answer).encode())

    def entry(self, body: bytes) -> Response:
        entry = entries.parse_request_v2(body)
        entries.verify_entry(entry)
        logged = self.sigstore.log.append(entries.encode_body(entry))
        return Response(201, json.dumps(encode_log_entry(logged)).encode())

    def timestamp(self, body: bytes) -> Response:
        request = timestamp.parse_request(body)
        return Response(200, self.sigstore.stamp(request.digest, nonce=request.nonce))
