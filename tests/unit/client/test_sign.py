# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from client.identity import IdentityToken
from client.rekor import add_entry
from client.sign import Signing, attest, hash_of, sign_blob
from client.transport import Response, ServiceRefused
from client.verify import verify_attestation, verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.signed import ManagedKey, read_signed
from sigcore import entries, keys, timestamp, x509
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import Malformed, Refused, Unavailable
from sigcore.log_entry import encode_log_entry
from sigcore.signing_config import Selector, SelectorKind
from sigcore.strict import parse_base64
from tests.unit.client.minilog import answer_v1
from tests.unit.client.minisig import (
    ARTIFACT,
    EMAIL,
    ISSUER,
    NOW,
    MiniSigstore,
    MiniTransport,
    digest_of,
    statement_about,
)

DIGEST = digest_of(ARTIFACT)
TOKEN = IdentityToken("the.jwt.text", ISSUER, "subject", EMAIL)


def signing(sigstore, transport=None, *, trust=None, signer=TOKEN, version=None):
    return Signing(signer, trust or sigstore.trust, transport or MiniTransport(sigstore), version)


async def sign(sigstore, transport=None, *, digest=DIGEST, **given):
    return await sign_blob(signing(sigstore, transport, **given), digest, now=NOW)


async def test_a_signed_blob_verifies(sigstore):
    bundle = await sign(sigstore)
    verified = verify_blob(bundle, DIGEST, root=sigstore.root, identity=IdentityPolicy(ISSUER, EMAIL))
    assert verified.signer.identity == EMAIL
    assert len(bundle.timestamps) == len(bundle.log_entries) == 1


async def test_what_is_sent(sigstore):
    transport = MiniTransport(sigstore)
    bundle = await sign(sigstore, transport)
    (ca, ca_headers, ca_body), (tsa, tsa_headers, tsa_body), (log, log_headers, log_body) = transport.seen
    assert (ca, tsa, log) == ("/api/v2/signingCert", "/api/v1/timestamp", "/api/v2/log/entries")
    assert ca_headers["Authorization"] == "Bearer the.jwt.text"
    assert "Authorization" not in tsa_headers | log_headers
    assert tsa_headers["Content-Type"] == "application/timestamp-query"
    request = json.loads(ca_body)["publicKeyRequest"]
    key = keys.parse_public_key_pem(request["publicKey"]["content"])
    proof = parse_base64(request["proofOfPossession"], what="proof")
    keys.verify(key, proof, EMAIL.encode(), what="proof")
    query = timestamp.parse_request(tsa_body)
    assert query.digest == digest_of(bundle.content.signature)
    assert query.nonce
    entry = entries.parse_request_v2(log_body)
    assert (entry.digest, entry.signature) == (DIGEST, bundle.content.signature)
    assert entry.verifier.certificate == bundle.certificate


async def test_each_signing_has_its_own_key(sigstore):
    bundles = [await sign(sigstore) for _ in "ab"]
    spkis = {x509.parse_certificate(bundle.certificate).spki for bundle in bundles}
    assert len(spkis) == 2


async def test_without_email_the_subject_proves_possession(sigstore):
    transport = MiniTransport(sigstore, subject="subject")
    await sign(sigstore, transport, signer=replace(TOKEN, email=""))


@pytest.mark.parametrize("missing", ["ca", "rekor", "tsa"])
async def test_a_service_that_is_missing_is_named(sigstore, missing):
    trust = replace(sigstore.trust, config=replace(sigstore.config, **{missing: ()}))
    transport = MiniTransport(sigstore)
    what = {"ca": "certificate authorities", "rekor": "logs", "tsa": "timestamp authorities"}[missing]
    with pytest.raises(Refused, match=f"0 of 0 listed {what} can be used"):
        await sign(sigstore, transport, trust=trust)
    assert transport.seen == []


def with_services(sigstore, **services):
    return replace(sigstore.trust, config=replace(sigstore.config, **services))


@pytest.mark.parametrize(
    ("listed", "version", "kind"),
    [
        ((1, 2), None, "0.0.2"),
        ((2, 1), None, "0.0.2"),
        ((1,), None, "0.0.1"),
        ((1, 2), 1, "0.0.1"),
        ((1, 2), 2, "0.0.2"),
    ],
)
async def test_the_log_is_the_highest_that_is_listed_or_the_one_that_is_named(sigstore, listed, version, kind):
    one, two = sigstore.config.rekor
    trust = with_services(sigstore, rekor=tuple({1: one, 2: two}[number] for number in listed))
    bundle = await sign(sigstore, trust=trust, version=version)
    assert [entry.version for entry in bundle.log_entries] == [kind]
    verify_blob(bundle, DIGEST, root=sigstore.root, identity=IdentityPolicy(ISSUER, EMAIL))


async def test_a_version_that_is_not_listed_is_refused_before_anything_is_asked(sigstore):
    transport = MiniTransport(sigstore)
    trust = with_services(sigstore, rekor=sigstore.config.rekor[:1])
    with pytest.raises(Refused, match=r"0 of 1 listed logs .* 1 needed"):
        await sign(sigstore, transport, trust=trust, version=2)
    assert transport.seen == []


async def test_a_v1_log_needs_no_timestamp_authority(sigstore):
    bundle = await sign(sigstore, trust=with_services(sigstore, tsa=()), version=1)
    assert bundle.timestamps == ()
    verify_blob(bundle, DIGEST, root=sigstore.root, identity=IdentityPolicy(ISSUER, EMAIL))


@pytest.mark.parametrize("version", [1, 2])
async def test_an_attestation_keeps_its_statement_byte_for_byte(sigstore, version):
    statement = b" " + statement_about(ARTIFACT) + b"\n"
    bundle = await attest(signing(sigstore, version=version), statement, now=NOW)
    verified = verify_attestation(bundle, DIGEST, root=sigstore.root, identity=IdentityPolicy(ISSUER, EMAIL))
    assert bundle.content.payload == statement
    kinds = {1: "dsse 0.0.1", 2: "hashedrekord 0.0.2"}
    assert [entry.kind for entry in verified.entries] == [kinds[version]]


async def test_what_is_no_statement_is_not_signed(sigstore):
    transport = MiniTransport(sigstore)
    with pytest.raises(Malformed, match="no subject"):
        await attest(signing(sigstore, transport), statement_about(ARTIFACT, subject=[]), now=NOW)
    assert transport.seen == []


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
async def test_a_key_of_the_user_signs_without_a_certificate(sigstore, curve, version):
    key = ec.generate_private_key(curve)
    transport = MiniTransport(sigstore)
    job = signing(sigstore, transport, signer=key, version=version)
    digest = hash_of(key).digest(ARTIFACT)
    bundle = await sign_blob(job, digest, now=NOW)
    assert "/api/v2/signingCert" not in [path for path, _, _ in transport.seen]
    assert bundle.certificate is None
    verify_blob(bundle, digest, root=sigstore.root, identity=ManagedKey(key.public_key()))


async def test_the_same_signature_again_finds_its_entry(sigstore):
    """RSA signs the same every time, so the log answers 409: the entry that is there proves just as much."""
    key = rsa.generate_private_key(65537, 2048)
    job = signing(sigstore, signer=key, version=1)
    first, second = [await sign_blob(job, DIGEST, now=NOW) for _ in "ab"]
    assert first.log_entries[0].body == second.log_entries[0].body
    verify_blob(second, DIGEST, root=sigstore.root, identity=ManagedKey(key.public_key()))


async def test_an_ed25519_key_cannot_sign_a_file(sigstore):
    key = ed25519.Ed25519PrivateKey.generate()
    with pytest.raises(Refused, match="Ed25519 key cannot sign a digest"):
        await sign_blob(signing(sigstore, signer=key), hash_of(key).digest(ARTIFACT), now=NOW)


async def test_all_timestamp_authorities_are_asked_when_the_config_says_so(sigstore):
    (tsa,) = sigstore.config.tsa
    config = replace(
        sigstore.config, tsa=(tsa, replace(tsa, operator="second")), tsa_selector=Selector(SelectorKind.ALL)
    )
    bundle = await sign(sigstore, trust=replace(sigstore.trust, config=config))
    assert len(bundle.timestamps) == 2


async def test_a_digest_of_another_length(sigstore):
    with pytest.raises(Malformed, match="20 bytes, expected the 32"):
        await sign(sigstore, digest=b"x" * 20)


class Lying(MiniTransport):
    """Answers with ``lie`` at ``path``, and honestly elsewhere."""

    def __init__(self, sigstore, path, lie) -> None:
        super().__init__(sigstore)
        self.path, self.lie = path, lie

    async def request(self, method, url, *, headers, body, limit):
        if url.endswith(self.path):
            return self.lie(self, body)
        return await super().request(method, url, headers=headers, body=body, limit=limit)


def canned(status, body):
    return lambda _transport, _body: Response(status, body)


def chain_of(*ders):
    pems = [x509.encode_certificate_pem(der) for der in ders]
    return json.dumps({"signedCertificateEmbeddedSct": {"chain": {"certificates": pems}}}).encode()


def for_another_key(transport, _body):
    return Response(200, chain_of(transport.sigstore.certify(keys.generate_p256().public_key())))


def another_authority(transport, body):
    return MiniTransport(MiniSigstore("other")).certificate(body)


def another_nonce(transport, body):
    request = timestamp.parse_request(body)
    return Response(200, transport.sigstore.stamp(request.digest, nonce=request.nonce ^ 1))


def another_stamp(transport, body):
    request = timestamp.parse_request(body)
    return Response(200, transport.sigstore.stamp(digest_of(b"other"), nonce=request.nonce))


def another_tsa(transport, body):
    request = timestamp.parse_request(body)
    return Response(200, MiniSigstore("other").stamp(request.digest, nonce=request.nonce))


def another_entry(transport, _body):
    entry = transport.sigstore.sign().log_entries[0]
    return Response(201, json.dumps(encode_log_entry(entry)).encode())


def another_log(transport, body):
    return MiniTransport(MiniSigstore("other")).entry(body)


def unproven(transport, body):
    answer = json.loads(transport.entry(body).body)
    answer["inclusionProof"]["hashes"] = answer["inclusionProof"]["hashes"][::-1][:-1]
    return Response(201, json.dumps(answer).encode())


CA, TSA, LOG = "/api/v2/signingCert", "/api/v1/timestamp", "/api/v2/log/entries"
LOG_V1 = "/api/v1/log/entries"


def another_entry_v1(transport, _body):
    return Response(201, json.dumps(answer_v1(transport.sigstore.sign_v1().log_entries[0])).encode())


def another_log_v1(transport, body):
    return MiniTransport(MiniSigstore("other")).entry_v1(body)


def changed_v1(**members):
    """An honest answer with some members changed in its one entry, or in that entry's ``verification``."""

    def answer(transport, body):
        document = json.loads(transport.entry_v1(body).body)
        (entry,) = document.values()
        for name, value in members.items():
            (entry if name in entry else entry["verification"])[name] = value
        return Response(201, json.dumps(document).encode())

    return answer


@pytest.mark.parametrize(
    ("lie", "kind", "message"),
    [
        (canned(201, b"{}"), Malformed, "holds 0 entries"),
        (canned(201, b"[]"), Malformed, "expected an object"),
        (canned(400, b'{"code":400,"message":"no"}'), ServiceRefused, "answered 400: 'no'"),
        (another_entry_v1, Refused, "not about this signature"),
        (another_log_v1, Refused, "a log that is not trusted"),
        (changed_v1(integratedTime=1), Refused, "is of 1970-01-01T00:00:01Z, the log .* is trusted from"),
        (changed_v1(logIndex=5), Refused, "SET"),
        (changed_v1(signedEntryTimestamp=""), Refused, "SET"),
        (changed_v1(inclusionProof={}), Malformed, "logIndex is missing"),
        (changed_v1(logID="00" * 32), Refused, "a log that is not trusted"),
    ],
)
async def test_v20_an_answer_of_a_v1_log_is_not_believed(sigstore, lie, kind, message):
    with pytest.raises(kind, match=message):
        await sign(sigstore, Lying(sigstore, LOG_V1, lie), version=1)


@pytest.mark.parametrize(
    ("path", "lie", "kind", "message"),
    [
        (
            CA,
            canned(401, b'{"code":16,"message":"expired"}'),
            ServiceRefused,
            "authority at .* answered 401: 'expired'",
        ),
        (CA, canned(503, b""), Unavailable, "answered 503"),
        (CA, canned(200, b"{}"), Malformed, "signedCertificateEmbeddedSct is missing"),
        (CA, canned(200, b'{"signedCertificateDetachedSct":{}}'), Malformed, "detached SCT"),
        (CA, canned(200, chain_of()), Malformed, "no certificates"),
        (CA, for_another_key, Refused, "certificate for another key"),
        (CA, another_authority, Refused, "no trusted certificate authority vouches"),
        (TSA, canned(200, b"\x30\x00"), Malformed, "timestamp"),
        (TSA, another_nonce, Refused, "nonce"),
        (TSA, another_stamp, Refused, "another message imprint"),
        (TSA, another_tsa, Refused, "the new timestamp"),
        (LOG, canned(409, b'{"code":6,"message":"exists"}'), ServiceRefused, "the log already holds this entry"),
        (LOG, canned(201, b"[]"), Malformed, "expected an object"),
        (LOG, another_entry, Refused, "not about this signature"),
        (LOG, another_log, Refused, "a log that is not trusted"),
        (LOG, unproven, (Refused, Malformed), "proof"),
    ],
)
async def test_an_answer_is_not_believed(sigstore, path, lie, kind, message):
    with pytest.raises(kind, match=message):
        await sign(sigstore, Lying(sigstore, path, lie))


def another_kind(transport, body):
    answer = json.loads(transport.entry(body).body)
    answer["kindVersion"]["version"] = "0.0.1"
    return Response(201, json.dumps(answer).encode())


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (another_entry, "not about this"),
        (another_log, "not trusted"),
        (unproven, "proof"),
        (another_kind, "apiVersion"),
    ],
)
async def test_the_log_is_not_believed_before_there_is_a_bundle(sigstore, lie, message):
    bundle = sigstore.sign()
    _, log = sigstore.config.rekor
    transport = Lying(sigstore, LOG, lie)
    with pytest.raises(Refused, match=message):
        await add_entry(transport, log, read_signed(bundle, DIGEST, None), root=sigstore.root, now=NOW)


async def test_the_bundle_is_what_a_reader_reads(sigstore):
    bundle = await sign(sigstore)
    assert parse_bundle(encode_bundle(bundle)) == bundle
