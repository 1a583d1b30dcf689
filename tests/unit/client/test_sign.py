# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client.identity import IdentityToken
from client.rekor import add_entry
from client.sign import Signing, sign_blob
from client.transport import Response, ServiceRefused
from client.verify import verify_blob
from client.verify.identity import IdentityPolicy
from client.verify.signed import read_signed
from sigcore import entries, keys, timestamp, x509
from sigcore.bundle import encode_bundle, parse_bundle
from sigcore.errors import Malformed, Refused, Unavailable
from sigcore.log_entry import encode_log_entry
from sigcore.signing_config import Selector, SelectorKind
from sigcore.strict import parse_base64
from tests.unit.client.minisig import ARTIFACT, EMAIL, ISSUER, NOW, MiniSigstore, MiniTransport, digest_of

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
