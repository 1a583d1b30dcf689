# SPDX-License-Identifier: Apache-2.0
"""A whole Sigstore in memory, for the tests of the client: authority, certificate log, log and timestamp authority.

It is built with sigcore alone and makes a bundle without the client's signing code, so that signer and verifier are not
tested against each other only. :class:`MiniTransport` puts the same services behind the HTTP paths that the client calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from client.transport import Response
from client.trust import Trust
from sigcore import (
    canonical,
    certify,
    der,
    dsse,
    entries,
    entries_v1,
    extensions,
    fulcio,
    general_name,
    keys,
    limits,
    merkle,
    precertificate,
    sct,
    timestamp,
    x509,
)
from sigcore.algorithms import HashAlgorithm, KeyDetails
from sigcore.bundle import Bundle, MessageSignature
from sigcore.dsse import Envelope, EnvelopeSignature
from sigcore.entries import HashedRekord
from sigcore.errors import SigError
from sigcore.log_entry import LogEntry, encode_log_entry
from sigcore.signing_config import Service, SigningConfig
from sigcore.strict import Fields, encode_base64
from sigcore.timestamp_signer import TimestampSigner
from sigcore.trustroot import AuthorityInstance, LogInstance, TrustedRoot, Validity
from sigcore.tst_info import TimestampInfo
from sigcore.x509 import Extension
from tests.unit.client.minilog import NOW, MiniLog, MiniLogV1, answer_v1

START, END = NOW - timedelta(days=30), NOW + timedelta(days=3650)
OPEN = Validity(START)
EMAIL, ISSUER = "signer@example.com", "https://issuer.example/auth"
SAN = general_name.Email(EMAIL)
ARTIFACT = b"an artifact\n"
URL = "http://sig.example:7780"


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sign_digest(key: ec.EllipticCurvePrivateKey, digest: bytes) -> bytes:
    return key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


NewKey = Callable[[], ec.EllipticCurvePrivateKey]


@dataclass
class Chain:
    """A root and an intermediate with the intermediate's key."""

    root: x509.Certificate
    intermediate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def make(cls, name: str, eku: str, *, not_after: datetime = END, new_key: NewKey = keys.generate_p256) -> Chain:
        root_key, key = new_key(), new_key()
        top, middle = (certify.Subject(f"{name}{part}", "mini", START, not_after) for part in (" root", ""))
        root = x509.parse_certificate(certify.make_root(root_key, top))
        spki = keys.encode_public_key(key.public_key())
        intermediate = x509.parse_certificate(certify.make_intermediate(root, root_key, spki, middle, eku=eku))
        return cls(root, intermediate, key)

    @property
    def key_id(self) -> Extension:
        return extensions.authority_key_id(extensions.key_identifier(self.intermediate.spki))


@dataclass
class MiniSigstore:
    """One instance; ``name`` keeps two of them apart. ``now`` is the time that its services write.

    ``new_tsa_key`` makes the keys of the timestamp authority, from the root to the leaf.
    """

    name: str = "mini"
    now: datetime = NOW
    new_tsa_key: NewKey = keys.generate_p256

    def __post_init__(self) -> None:
        self.ca = Chain.make(f"{self.name} ca", x509.EKU_CODE_SIGNING)
        self.tsa = Chain.make(f"{self.name} tsa", x509.EKU_TIME_STAMPING, new_key=self.new_tsa_key)
        self.tsa_key = self.new_tsa_key()
        spki = keys.encode_public_key(self.tsa_key.public_key())
        leaf = certify.Subject(f"{self.name} tsa leaf", "mini", START, END)
        tsa = certify.make_leaf(self.tsa.intermediate, self.tsa.key, spki, leaf, eku=x509.EKU_TIME_STAMPING)
        self.tsa_leaf = x509.parse_certificate(tsa)
        self.tsa_signer = TimestampSigner.of(self.tsa_key, self.tsa_leaf)
        self.ct_key = keys.generate_p256()
        self.log = MiniLog("sig.example")
        self.log_v1 = MiniLogV1("sig.example")

    # --- trust
    @property
    def root(self) -> TrustedRoot:
        ct_spki = keys.encode_public_key(self.ct_key.public_key())
        ct = KeyDetails.PKIX_ECDSA_P256_SHA_256
        ca = (self.ca.intermediate.der, self.ca.root.der)
        tsa = (self.tsa_leaf.der, self.tsa.intermediate.der, self.tsa.root.der)
        return TrustedRoot(
            logs=tuple(self._instance(log) for log in (self.log, self.log_v1)),
            certificate_authorities=(AuthorityInstance("mini", f"{self.name} ca", URL, ca, OPEN),),
            ct_logs=(LogInstance(f"{URL}/ct", HashAlgorithm.SHA2_256, ct_spki, ct, OPEN, keys.key_id(ct_spki)),),
            timestamp_authorities=(AuthorityInstance("mini", f"{self.name} tsa", URL, tsa, OPEN),),
        )

    @staticmethod
    def _instance(log: MiniLog) -> LogInstance:
        key = log.key.public_key()
        return LogInstance(
            URL, HashAlgorithm.SHA2_256, keys.encode_public_key(key), keys.default_details(key), OPEN, log.id
        )

    @property
    def config(self) -> SigningConfig:
        one, two = (Service(URL, version, OPEN, self.name) for version in (1, 2))
        return SigningConfig((one,), (one,), (one, two), (Service(f"{URL}/api/v1/timestamp", 1, OPEN, self.name),))

    @property
    def trust(self) -> Trust:
        return Trust(self.root, self.config)

    # --- services
    def certify(
        self,
        key: keys.PublicKey,
        *,
        san: general_name.San = SAN,
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
        entry = precertificate.precert_entry(
            x509.parse_certificate(sign(extensions.poison())), self.ca.intermediate.spki
        )
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

    # --- bundles without the client
    def sign(self, artifact: bytes = ARTIFACT, **certificate) -> Bundle:
        key = keys.generate_p256()
        return self.bundle(key, self.certify(key.public_key(), **certificate), artifact)

    def bundle(self, key: ec.EllipticCurvePrivateKey, certificate: bytes, artifact: bytes = ARTIFACT) -> Bundle:
        return self.bundle_of(digest_of(artifact), key, certificate)

    def bundle_of(self, digest: bytes, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> Bundle:
        signature = sign_digest(key, digest)
        body = entries.encode_body(HashedRekord(digest, signature, entries.certificate_verifier(certificate)))
        content = MessageSignature(HashAlgorithm.SHA2_256, digest, signature)
        return Bundle(certificate, (self.log.append(body),), (self.timestamp(signature),), content)

    def sign_v1(self, artifact: bytes = ARTIFACT, *, key: keys.PrivateKey | None = None) -> Bundle:
        """A file's signature on Rekor v1, without timestamp; by ``key`` itself where it is given."""
        signer = key or keys.generate_p256()
        certificate = None if key else self.certify(signer.public_key())
        digest = digest_of(artifact)
        signature = sign_digest(signer, digest)
        spec = {
            "data": {"hash": {"algorithm": "sha256", "value": digest.hex()}},
            "signature": {
                "content": encode_base64(signature),
                "publicKey": {"content": encode_base64(self.pem(signer, certificate))},
            },
        }
        content = MessageSignature(HashAlgorithm.SHA2_256, digest, signature)
        entry = self.log_v1.enter(body_of("hashedrekord", "0.0.1", spec))
        return Bundle(certificate, (entry,), (), content, key_hint="hint" if key else None)

    @staticmethod
    def pem(key: keys.PrivateKey, certificate: bytes | None) -> bytes:
        text = x509.encode_certificate_pem(certificate) if certificate else keys.encode_public_key_pem(key.public_key())
        return text.encode()

    def attest(self, kind: str, statement: bytes | None = None, *, payload_type: str = dsse.IN_TOTO) -> Bundle:
        """An attestation, logged as ``kind``: a name of ``ATTESTATIONS``."""
        key = keys.generate_p256()
        certificate = self.certify(key.public_key())
        payload = statement_about(ARTIFACT) if statement is None else statement
        signature = keys.sign(key, dsse.pre_authentication_encoding(payload_type, payload))
        envelope = Envelope(payload_type, payload, (EnvelopeSignature(signature),))
        entry = ATTESTATIONS[kind](self, envelope, self.pem(key, certificate), certificate)
        stamps = () if entry.promise else (self.timestamp(signature),)
        return Bundle(certificate, (entry,), stamps, envelope)


def statement_about(artifact: bytes, **members) -> bytes:
    """An in-toto statement whose second subject is ``artifact``."""
    subjects = [
        {"name": "other", "digest": {"sha256": "00" * 32}},
        {"name": "it", "digest": {"sha256": digest_of(artifact).hex(), "sha512": "ff" * 64}},
    ]
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": "https://example.com/p/v1",
        "predicate": {"score": 0.5},
    }
    return json.dumps(document | members).encode()


def body_of(kind: str, version: str, spec: dict) -> bytes:
    return canonical.encode({"apiVersion": version, "kind": kind, "spec": spec})


def hash_of(data: bytes) -> dict[str, str]:
    return {"algorithm": "sha256", "value": digest_of(data).hex()}


def dsse_v1(sigstore: MiniSigstore, envelope: Envelope, pem: bytes, _der: bytes) -> LogEntry:
    (signature,) = envelope.signatures
    spec = {
        "envelopeHash": hash_of(b"however the client wrote it"),
        "payloadHash": hash_of(envelope.payload),
        "signatures": [{"signature": signature.text, "verifier": encode_base64(pem)}],
    }
    return sigstore.log_v1.enter(body_of("dsse", "0.0.1", spec))


def intoto_v1(sigstore: MiniSigstore, envelope: Envelope, pem: bytes, _der: bytes) -> LogEntry:
    (signature,) = envelope.signatures
    member = {"publicKey": encode_base64(pem), "sig": encode_base64(signature.text.encode())}
    spec = {
        "content": {
            "envelope": {"payloadType": envelope.payload_type, "signatures": [member]},
            "hash": hash_of(b"however the client wrote it"),
            "payloadHash": hash_of(envelope.payload),
        }
    }
    return sigstore.log_v1.enter(body_of("intoto", "0.0.2", spec))


def hashedrekord_v2(sigstore: MiniSigstore, envelope: Envelope, _pem: bytes, der: bytes) -> LogEntry:
    verifier = entries.certificate_verifier(der)
    (signature,) = envelope.signatures
    entry = HashedRekord(digest_of(envelope.signed_bytes()), signature.signature, verifier)
    return sigstore.log.append(entries.encode_body(entry))


def dsse_v2(sigstore: MiniSigstore, envelope: Envelope, _pem: bytes, der: bytes) -> LogEntry:
    (signature,) = envelope.signatures
    verifier = {"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": {"rawBytes": encode_base64(der)}}
    spec = {
        "dsseV002": {
            "payloadHash": {"algorithm": "SHA2_256", "digest": encode_base64(digest_of(envelope.payload))},
            "signatures": [{"content": signature.text, "verifier": verifier}],
        }
    }
    return sigstore.log.append(body_of("dsse", "0.0.2", spec), "dsse")


ATTESTATIONS = {
    "dsse 0.0.1": dsse_v1,
    "intoto 0.0.2": intoto_v1,
    "hashedrekord 0.0.2": hashedrekord_v2,
    "dsse 0.0.2": dsse_v2,
}
"""Every kind of entry that an attestation is logged as."""


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
            "/api/v1/log/entries": self.entry_v1,
            "/api/v1/log/entries/retrieve": self.retrieve_v1,
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
        chain = (self.sigstore.certify(key, san=general_name.Email(self.subject)), ca.intermediate.der, ca.root.der)
        pems = [x509.encode_certificate_pem(der).rstrip("\n") for der in chain]
        answer = {"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}}
        return Response(200, json.dumps(answer).encode())

    def entry(self, body: bytes) -> Response:
        entry = entries.parse_request_v2(body)
        entries.verify_entry(entry)
        logged = self.sigstore.log.append(entries.encode_body(entry))
        return Response(201, json.dumps(encode_log_entry(logged)).encode())

    def entry_v1(self, body: bytes) -> Response:
        entered = entries_v1.parse_proposal(body).verify().body
        if entered in self.sigstore.log_v1.leaves:
            return Response(409, b'{"code":409,"message":"an equivalent entry already exists"}')
        return Response(201, json.dumps(answer_v1(self.sigstore.log_v1.enter(entered))).encode())

    def retrieve_v1(self, body: bytes) -> Response:
        (proposal,) = json.loads(body)["entries"]
        entered = entries_v1.parse_proposal(json.dumps(proposal).encode()).verify().body
        log = self.sigstore.log_v1
        index = log.leaves.index(entered)
        entry = log.enter(entered)
        size = len(log.leaves)
        proof = replace(entry.proof, index=index, hashes=merkle.inclusion_proof(index, size, log.node))
        return Response(200, json.dumps([answer_v1(log.promise(replace(entry, proof=proof)))]).encode())

    def timestamp(self, body: bytes) -> Response:
        request = timestamp.parse_request(body)
        return Response(200, self.sigstore.stamp(request.digest, nonce=request.nonce))
