# SPDX-License-Identifier: Apache-2.0
"""One row for each public ``parse_`` function: how it is called, valid inputs to begin from, and what writes its bytes again.

A new parser without a row fails ``test_parsers.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt as jwt_library
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

import ca.csr
import ca.fulcio_config
import ca.jwks
import ca.possession
import ca.request
import ca.templates
import client.identity
import client.verify.times
import oidc_dev.machines
import oidc_dev.mailbox
import oidc_dev.parameters
import oidc_dev.upstream
import sigcore.entry_id
import stack.backup.about
import stack.backup.archive
import stack.cli.persona
import stack.config
import stack.faults.parameters
import stack.issuers
import stack.minting
import stack.personas
import stack.remote_log
import stack.role_rules
import stack.web.console.asked
import stack.witness_files
import stack.witness_rows
import stack.workers.counts
import stack.workers.frames
import stack.writer_rules
import tlog.catalog.query
import tlog.kept
import tlog.witness
import tsa.json_request
from sigcore import (
    alike,
    bundle,
    checkpoint,
    cms,
    cosignature,
    der,
    dsse,
    encrypted_key,
    entries,
    entries_v1,
    entries_v1_artifact,
    entries_v1_envelope,
    entries_v1_verifier,
    entries_v2_dsse,
    extensions,
    fulcio,
    general_name,
    intoto,
    keys,
    limits,
    log_entry,
    note,
    pkcs11_uri,
    sct,
    secretbox,
    signing_config,
    strict,
    tiles,
    timestamp,
    tlog_policy,
    trustroot,
    tst_info,
    x509,
)
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import Refused, SigError
from sigcore.strict import Fields
from sigcore.timestamp import TimestampRequest
from stack.backup.about import About
from tests.unit.client.minisig import MiniSigstore
from tests.unit.oidc_dev.abroad import Abroad
from tests.unit.oidc_dev.visitor import Clock
from tests.unit.sigcore import v1_proposals
from tlog.submission import Receipt, Submission

SIGSTORE = MiniSigstore()
BUNDLE = SIGSTORE.sign()
CERTIFICATE = x509.parse_certificate(BUNDLE.certificate)
ROOT = SIGSTORE.ca.root
P256, RSA = keys.generate_p256(), rsa.generate_private_key(65537, 2048)
CHECKPOINT = BUNDLE.log_entries[0].proof.checkpoint
WITNESS_KEY = cosignature.encode_witness_verifier(
    cosignature.cosigner_key("w.example", ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())
)
LOG_KEY = cosignature.encode_log_verifier(note.note_key("log.example", P256.public_key()))
SCT = sct.sign_sct(sct.X509Entry(CERTIFICATE.der), 1_700_000_000_000, P256)
WHAT = "the input"
FULCIO = {
    "oidc-issuers": {
        "https://a.example": {
            "client-id": "sigstore",
            "type": "email",
            "issuer-claim": "$.federated_claims.connector_id",
            "allow": ["*@a.example"],
            "jwks": "a.jwks",
        }
    },
    "MetaIssuers": {"https://*.b.example": {"ClientID": "sigstore", "Type": "ci-provider", "CIProvider": "ship"}},
    "ci-issuer-metadata": {
        "ship": {
            "default-template-values": {"url": "https://b.example"},
            "extension-templates": {"build-trigger": "cause"},
            "subject-alternative-name-template": "{{ .url }}/{{ .job }}",
        }
    },
}


@dataclass(frozen=True)
class Parser:
    """``parse`` takes bytes, or text where ``text`` is set.

    ``encode`` gives the input again from the value: byte for byte where a value has one spelling (``exact``), otherwise
    something that parses to the same value.
    """

    parse: Callable[[Any], Any]
    seeds: list[bytes]
    encode: Callable[[Any], bytes | str] | None = None
    exact: bool = True
    text: bool = False


def in_certificate(parse: Callable[[x509.Certificate], Any], oid: str) -> Parser:
    """A parser of an extension: its value is the input, in a certificate that has no other one."""

    def call(value: bytes) -> Any:
        return parse(replace(CERTIFICATE, extensions=(x509.Extension(oid, False, value),)))

    found = [one.extension(oid) for one in (CERTIFICATE, ROOT)]
    return Parser(call, [one.value for one in found if one is not None])


def of_fields(parse: Callable[[Fields], Any], documents: list[dict[str, Any]], *, proto: bool = False) -> Parser:
    def call(data: bytes) -> Any:
        return parse(Fields.parse(data, what=WHAT, limit=limits.LOG_REQUEST, proto=proto))

    return Parser(call, [json.dumps(document).encode() for document in documents])


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def csr(key: Any) -> bytes:
    builder = library.CertificateSigningRequestBuilder(library.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def jwt() -> bytes:
    claims = {"iss": "https://issuer.example", "sub": "alice", "email": "alice@example.com"}
    parts = [json.dumps({"alg": "RS256"}).encode(), json.dumps(claims).encode(), b"signature"]
    return b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def proposals(kind: str) -> list[dict[str, Any]]:
    spec = v1_proposals.KINDS[kind]()["spec"]
    return [{name: value for name, value in spec.items() if value is not None}]


SPKI = [keys.encode_public_key(key.public_key()) for key in (P256, RSA, ed25519.Ed25519PrivateKey.generate())]
PEMS = [keys.encode_public_key_pem(keys.parse_public_key(spki)).encode() for spki in SPKI]
CHAIN_PEM = "".join(x509.encode_certificate_pem(one.der) for one in (CERTIFICATE, ROOT)).encode()
RESPONSE = BUNDLE.timestamps[0]
IMPRINT = HashAlgorithm.SHA2_256.digest(b"x")
REQUESTS = [
    TimestampRequest(HashAlgorithm.SHA2_256, IMPRINT),
    TimestampRequest(HashAlgorithm.SHA2_512, bytes(64), "1.2.3.4", 2**255, certificates=True),
]
INFO = tst_info.TimestampInfo("1.2.3.4", HashAlgorithm.SHA2_256, IMPRINT, 7, SIGSTORE.now, 99, 1_000_000)
BODY = entries.parse_body(BUNDLE.log_entries[0].body)
ENTRY_ID = sigcore.entry_id.encode_entry_id(2**62 + 1, IMPRINT)
SIGNING = {
    "credentials": {"oidcIdentityToken": jwt().decode()},
    "publicKeyRequest": {"publicKey": {"content": PEMS[0].decode()}, "proofOfPossession": b64(b"signature")},
}
JSON_STAMP = {"artifactHash": b64(IMPRINT), "hashAlgorithm": "sha256", "nonce": 7, "certificates": True}


def jwks() -> dict[str, Any]:
    """An RSA and an EC key, as an issuer publishes them."""
    rsa_key = json.loads(jwt_library.algorithms.RSAAlgorithm.to_jwk(RSA.public_key()))
    ec_key = json.loads(jwt_library.algorithms.ECAlgorithm.to_jwk(P256.public_key()))
    rows = ((rsa_key, "RS256", "one"), (ec_key, "ES256", "two"))
    members = ("kty", "crv", "x", "y", "n", "e")
    return {
        "keys": [
            {name: key[name] for name in members if name in key} | {"kid": kid, "alg": alg, "use": "sig"}
            for key, alg, kid in rows
        ]
    }


def plain_request(data: bytes) -> entries.HashedRekord | None:
    """The short way, held to the long one: what it takes, the other takes and reads the same."""
    found = entries.parse_plain_request(data)
    if found is not None:
        try:
            careful = entries.parse_hashedrekord_request(entries.parse_request_object(data))
        except SigError as error:
            raise AssertionError(f"the short way took what the long one refuses: {error}") from error
        assert found == careful
    return found


PASSPHRASE, SALT, NONCE = b"passphrase", bytes(32), bytes(24)


def encrypted(document: bytes) -> keys.PrivateKey:
    """The file around ``document``: what is inside is the input."""
    lines = (f"-----BEGIN {encrypted_key.LABEL}-----", b64(document), f"-----END {encrypted_key.LABEL}-----", "")
    return encrypted_key.parse_encrypted_key("\n".join(lines).encode(), PASSPHRASE, what=WHAT)


def encrypted_document() -> bytes:
    """With the least cost that scrypt knows, so that hundreds of them are soon tried."""
    form = serialization.PrivateFormat.PKCS8
    plain = P256.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    box = secretbox.seal(plain, hashlib.scrypt(PASSPHRASE, salt=SALT, n=2, r=1, p=1, dklen=secretbox.KEY_SIZE), NONCE)
    kdf = {"name": "scrypt", "params": {"N": 2, "r": 1, "p": 1}, "salt": b64(SALT)}
    cipher = {"name": "nacl/secretbox", "nonce": b64(NONCE)}
    return json.dumps({"kdf": kdf, "cipher": cipher, "ciphertext": b64(box)}).encode()


def dsse_request() -> dict[str, Any]:
    """What the clients before the hashedrekord of a PAE send to Rekor v2."""
    envelope = v1_proposals.envelope()
    key = {"publicKey": {"rawBytes": b64(SPKI[0])}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"}
    return {"dsseRequestV002": {"envelope": envelope, "verifiers": [key]}}


STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "a", "digest": {"sha256": "00" * 32}}],
    "predicateType": "https://example.com/predicate",
    "predicate": {"cost": 0.5},
}


def content_info(response: bytes) -> bytes:
    """The timeStampToken of a TimeStampResp."""
    fields = der.Reader(response, WHAT).enter()
    fields.raw(der.SEQUENCE)
    return fields.raw(der.SEQUENCE)


def encode_tls_signature(found: tuple[int, bytes]) -> bytes:
    algorithm, signature = found
    return sct.encode_digitally_signed(replace(SCT, signature=signature, signature_algorithm=algorithm))


def json_of(data: bytes) -> strict.JSON:
    return strict.parse_json(data, what=WHAT, limit=limits.TOKEN_KEY_SET)


UPSTREAM = Abroad(Clock()).upstream()
_SENT = Submission(b"leaf", bytes(32), b"extra")
_ASKED = (stack.workers.frames.Entry(1, 2, _SENT), stack.workers.frames.Report(b"counts"))
_RECEIPT = Receipt(7, b"leaf", 9, bytes(32), (bytes(32), b"h" * 32), "checkpoint", duplicate=False)
_TOLD = ((1, _RECEIPT), (2, replace(_RECEIPT, duplicate=True, extra=b"x")), (3, Refused("no", "ask")))

PARSERS: dict[str, Parser] = {
    # --- strict
    "sigcore.strict.parse_json": Parser(
        lambda data: strict.parse_json(data, what=WHAT, limit=100_000),
        [json.dumps(SIGNING).encode(), b'{"a":[1,null]}'],
    ),
    "sigcore.strict.parse_base64": Parser(
        lambda text: strict.parse_base64(text, what=WHAT), [b"", b"AA==", b"+/8="], strict.encode_base64, text=True
    ),
    "sigcore.strict.parse_base64_texts": Parser(
        lambda data: strict.parse_base64_texts(data.split(b"|"), what=WHAT),
        [b"", b"AA==", b"AA==||+/8="],
        lambda found: b"|".join(strict.encode_base64(one).encode() for one in found),
    ),
    "sigcore.strict.parse_base64url": Parser(
        lambda text: strict.parse_base64url(text, what=WHAT), [b"", b"AA", b"-_8"], strict.encode_base64url, text=True
    ),
    "sigcore.strict.parse_hex": Parser(
        lambda text: strict.parse_hex(text, what=WHAT), [b"", b"00ff", b"0123456789abcdef"], bytes.hex, text=True
    ),
    "sigcore.strict.parse_decimal": Parser(
        lambda text: strict.parse_decimal(text, what=WHAT), [b"0", b"7", b"9223372036854775807"], str, text=True
    ),
    "sigcore.strict.parse_time": Parser(
        lambda text: strict.parse_time(text, what=WHAT),
        [b"2026-03-01T12:00:00Z", b"2026-03-01T12:00:00.123456Z"],
        strict.encode_time,
        exact=False,
        text=True,
    ),
    "sigcore.strict.parse_oid": Parser(
        lambda text: strict.parse_oid(text, what=WHAT),
        [b"1.2.3", b"2.999.1", b"1.3.6.1.4.1.57264.1.8"],
        lambda arcs: ".".join(map(str, arcs)),
        text=True,
    ),
    "sigcore.strict.parse_plain_json": Parser(
        lambda data: strict.parse_plain_json(data, strings=2), [b'{"a":"b"}', b'["a",{"b":7}]']
    ),
    # --- trees and notes
    "sigcore.tiles.parse_path": Parser(
        tiles.parse_path, [b"0/000", b"3/x001/x234/067.p/17", b"63/255"], tiles.encode_path, text=True
    ),
    "sigcore.tiles.parse_entries_path": Parser(
        tiles.parse_entries_path,
        [b"000", b"x001/234.p/255"],
        lambda place: tiles.encode_entries_path(*place),
        text=True,
    ),
    "sigcore.tiles.parse_tile": Parser(lambda data: tiles.parse_tile(data, 2), [bytes(64)], tiles.encode_tile),
    "sigcore.tiles.parse_entry_bundle": Parser(
        lambda data: tiles.parse_entry_bundle(data, 3),
        [tiles.encode_entry_bundle([b"", b"one", b"x" * 300])],
        tiles.encode_entry_bundle,
    ),
    "sigcore.note.parse_note": Parser(note.parse_note, [CHECKPOINT.encode()], note.encode_note, text=True),
    "sigcore.checkpoint.parse_checkpoint": Parser(
        checkpoint.parse_checkpoint,
        [note.parse_note(CHECKPOINT).text.encode(), f"log - 1\n0\n{b64(bytes(32))}\nmore\n".encode()],
        checkpoint.encode_checkpoint,
        text=True,
    ),
    "sigcore.cosignature.parse_log_verifier": Parser(
        cosignature.parse_log_verifier,
        [
            cosignature.encode_log_verifier(note.note_key("log.example", key.public_key())).encode()
            for key in (P256, ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)))
        ],
        cosignature.encode_log_verifier,
        text=True,
    ),
    "sigcore.cosignature.parse_witness_verifier": Parser(
        cosignature.parse_witness_verifier,
        [WITNESS_KEY.encode()],
        cosignature.encode_witness_verifier,
        text=True,
    ),
    "sigcore.tlog_policy.parse_tlog_policy": Parser(
        tlog_policy.parse_tlog_policy,
        [
            b"quorum none\n",
            f"log {LOG_KEY} http://log.example\nwitness a {WITNESS_KEY}\ngroup b any a\n# end\nquorum b\n".encode(),
        ],
        tlog_policy.encode_tlog_policy,
        exact=False,
    ),
    "tlog.witness.parse_witness_request": Parser(
        tlog.witness.parse_witness_request,
        [tlog.witness.encode_witness_request(size, [bytes(32)] * size, CHECKPOINT) for size in (0, 3)],
        lambda request: tlog.witness.encode_witness_request(request.old, request.proof, note.encode_note(request.note)),
    ),
    # --- RFC 6962
    "sigcore.sct.parse_leaf": Parser(
        sct.parse_leaf,
        [
            sct.encode_leaf(sct.X509Entry(CERTIFICATE.der), 5),
            sct.encode_leaf(sct.PrecertEntry(bytes(32), CERTIFICATE.tbs), 2**40, b"more"),
        ],
        lambda found: sct.encode_leaf(*found),
    ),
    "sigcore.sct.parse_sct": Parser(
        sct.parse_sct, [sct.encode_sct(SCT), sct.encode_sct(replace(SCT, extensions=b"abc"))], sct.encode_sct
    ),
    "sigcore.sct.parse_sct_list": Parser(
        sct.parse_sct_list, [sct.encode_sct_list([SCT]), sct.encode_sct_list([SCT, SCT])], sct.encode_sct_list
    ),
    "sigcore.sct.parse_digitally_signed": Parser(
        sct.parse_digitally_signed, [sct.encode_digitally_signed(SCT)], encode_tls_signature
    ),
    # --- keys and certificates
    "sigcore.keys.parse_public_key": Parser(keys.parse_public_key, SPKI, keys.encode_public_key),
    "sigcore.keys.parse_public_key_pem": Parser(
        keys.parse_public_key_pem, PEMS, keys.encode_public_key_pem, exact=False, text=True
    ),
    "sigcore.keys.parse_private_key": Parser(
        keys.parse_private_key, [keys.encode_private_key(P256), keys.encode_private_key(RSA)]
    ),
    "sigcore.encrypted_key.parse_encrypted_key": Parser(encrypted, [encrypted_document()]),
    "sigcore.x509.parse_certificate": Parser(
        x509.parse_certificate, [CERTIFICATE.der, ROOT.der], lambda certificate: certificate.der
    ),
    "sigcore.x509.parse_moment": Parser(
        lambda data: x509.parse_moment(data, WHAT, "notBefore"), [der.time(CERTIFICATE.not_before)], der.time
    ),
    "sigcore.alike.parse_leaf": Parser(
        alike.parse_leaf, [CERTIFICATE.der, ROOT.der], lambda certificate: certificate.der
    ),
    "sigcore.x509.parse_certified_key": Parser(x509.parse_certified_key, [CERTIFICATE.der, ROOT.der]),
    "sigcore.x509.parse_certificate_pem": Parser(
        x509.parse_certificate_pem,
        [x509.encode_certificate_pem(ROOT.der).encode()],
        lambda certificate: x509.encode_certificate_pem(certificate.der),
        exact=False,
        text=True,
    ),
    "sigcore.x509.parse_certificates_pem": Parser(
        x509.parse_certificates_pem,
        [CHAIN_PEM],
        lambda chain: "".join(x509.encode_certificate_pem(one.der) for one in chain),
        exact=False,
        text=True,
    ),
    "sigcore.general_name.parse_san": replace(
        in_certificate(general_name.parse_san, "2.5.29.17"),
        seeds=[
            general_name.encode_san(one)
            for one in (general_name.Email("a@b.c"), general_name.Uri("https://a/b"), general_name.OtherName("a!b"))
        ],
        encode=general_name.encode_san,
    ),
    "sigcore.extensions.parse_basic_constraints": in_certificate(extensions.parse_basic_constraints, "2.5.29.19"),
    "sigcore.extensions.parse_key_usage": in_certificate(extensions.parse_key_usage, "2.5.29.15"),
    "sigcore.extensions.parse_extended_key_usage": in_certificate(extensions.parse_extended_key_usage, "2.5.29.37"),
    "sigcore.extensions.parse_subject_key_id": in_certificate(extensions.parse_subject_key_id, "2.5.29.14"),
    "sigcore.extensions.parse_authority_key_id": in_certificate(extensions.parse_authority_key_id, "2.5.29.35"),
    "sigcore.fulcio.parse_extensions": in_certificate(fulcio.parse_extensions, f"{fulcio.ARC}.8"),
    # --- timestamps
    "sigcore.timestamp.parse_request": Parser(
        timestamp.parse_request,
        [timestamp.encode_request(one) for one in REQUESTS],
        timestamp.encode_request,
        exact=False,
    ),
    "sigcore.timestamp.parse_response": Parser(timestamp.parse_response, [RESPONSE]),
    "sigcore.tst_info.parse_info": Parser(
        tst_info.parse_info, [tst_info.encode_info(INFO)], tst_info.encode_info, exact=False
    ),
    "sigcore.cms.parse_signed_data": Parser(
        lambda data: cms.parse_signed_data(data, what=WHAT), [content_info(RESPONSE)]
    ),
    "tsa.json_request.parse_json_request": Parser(
        tsa.json_request.parse_json_request, [json.dumps(JSON_STAMP).encode()]
    ),
    # --- entries
    "sigcore.dsse.parse_envelope": Parser(dsse.parse_envelope, [json.dumps(v1_proposals.envelope()).encode()]),
    "sigcore.entries.parse_request_v2": Parser(
        entries.parse_request_v2, [entries.encode_request_v2(BODY)], entries.encode_request_v2, exact=False
    ),
    "sigcore.entries.parse_plain_request": Parser(
        plain_request,
        [entries.encode_request_v2(BODY)],
        lambda entry: entries.encode_request_v2(entry) if entry else b"",
        exact=False,
    ),
    "sigcore.entries.parse_request_object": Parser(
        lambda data: entries.parse_request_object(data).raw(), [entries.encode_request_v2(BODY)]
    ),
    "sigcore.entries.parse_hashedrekord_request": of_fields(
        entries.parse_hashedrekord_request, [json.loads(entries.encode_request_v2(BODY))], proto=True
    ),
    "sigcore.entries.parse_verifier": of_fields(
        entries.parse_verifier,
        [json.loads(entries.encode_request_v2(BODY))["hashedRekordRequestV002"]["signature"]["verifier"]],
    ),
    "sigcore.entries_v2_dsse.parse_request": Parser(
        entries_v2_dsse.parse_request, [entries.encode_request_v2(BODY), json.dumps(dsse_request()).encode()]
    ),
    "sigcore.intoto.parse_statement": Parser(intoto.parse_statement, [json.dumps(STATEMENT).encode()]),
    "sigcore.entries.parse_body": Parser(
        entries.parse_body, [entries.encode_body(BODY)], entries.encode_body, exact=False
    ),
    "sigcore.entries_v1.parse_proposal": Parser(
        entries_v1.parse_proposal, [json.dumps(make()).encode() for make in v1_proposals.KINDS.values()]
    ),
    "sigcore.entries_v1_artifact.parse_hashedrekord": of_fields(
        entries_v1_artifact.parse_hashedrekord, proposals("hashedrekord")
    ),
    "sigcore.entries_v1_artifact.parse_rekord": of_fields(entries_v1_artifact.parse_rekord, proposals("rekord")),
    "sigcore.entries_v1_envelope.parse_dsse": of_fields(entries_v1_envelope.parse_dsse, proposals("dsse")),
    "sigcore.entries_v1_envelope.parse_intoto": of_fields(entries_v1_envelope.parse_intoto, proposals("intoto")),
    "sigcore.entries_v1_verifier.parse_verifier": Parser(
        lambda pem: entries_v1_verifier.parse_verifier(pem, what=WHAT),
        [*PEMS, x509.encode_certificate_pem(CERTIFICATE.der).encode()],
    ),
    "sigcore.entry_id.parse_entry_id": Parser(
        sigcore.entry_id.parse_entry_id,
        [ENTRY_ID.encode(), ENTRY_ID[16:].encode()],
        lambda found: found[1].hex() if found[0] is None else sigcore.entry_id.encode_entry_id(*found),
        exact=False,
        text=True,
    ),
    "stack.backup.about.parse_about": Parser(
        stack.backup.about.parse_about,
        [stack.backup.about.encode_about(About(datetime(2026, 1, 2, tzinfo=UTC), "http://a.example", True, {"ct": 1}))],
        stack.backup.about.encode_about,
        exact=False,
    ),
    "stack.backup.archive.parse_sums": Parser(
        stack.backup.archive.parse_sums,
        [b"", b"%b  backup.json\n%b  data/sigbox.toml\n" % (b"00" * 32, b"ff" * 32)],
        stack.backup.archive.encode_sums,
    ),
    "tlog.kept.parse_kept": Parser(
        tlog.kept.parse_kept,
        [tlog.kept.encode_kept(tlog.kept.Kept(7, (bytes(16), b"k" * 16), b"attestation"))],
        tlog.kept.encode_kept,
    ),
    # --- bundles and trust
    "sigcore.bundle.parse_bundle": Parser(
        bundle.parse_bundle, [bundle.encode_bundle(BUNDLE)], bundle.encode_bundle, exact=False
    ),
    "sigcore.log_entry.parse_log_entry": of_fields(
        log_entry.parse_log_entry, [log_entry.encode_log_entry(BUNDLE.log_entries[0])], proto=True
    ),
    "sigcore.trustroot.parse_trusted_root": Parser(
        trustroot.parse_trusted_root,
        [trustroot.encode_trusted_root(SIGSTORE.root)],
        trustroot.encode_trusted_root,
        exact=False,
    ),
    "sigcore.signing_config.parse_signing_config": Parser(
        signing_config.parse_signing_config,
        [signing_config.encode_signing_config(SIGSTORE.config)],
        signing_config.encode_signing_config,
        exact=False,
    ),
    "sigcore.signing_config.parse_trust_config": Parser(
        signing_config.parse_trust_config,
        [signing_config.encode_trust_config(SIGSTORE.root, SIGSTORE.config)],
        lambda found: signing_config.encode_trust_config(*found),
        exact=False,
    ),
    "client.verify.times.parse_chain": Parser(
        lambda data: client.verify.times.parse_chain((data,)), [ROOT.der], lambda chain: chain[0].der
    ),
    "client.identity.parse_identity_token": Parser(client.identity.parse_identity_token, [jwt()], text=True),
    # --- requests
    "ca.csr.parse_csr": Parser(ca.csr.parse_csr, [csr(P256), csr(RSA)]),
    "ca.possession.parse_public_key_text": Parser(ca.possession.parse_public_key_text, [*PEMS, *SPKI]),
    "ca.request.parse_request_v2": Parser(
        ca.request.parse_request_v2,
        [json.dumps(SIGNING).encode(), json.dumps({"certificateSigningRequest": b64(csr(P256))}).encode()],
    ),
    "ca.request.parse_request_v1": Parser(
        ca.request.parse_request_v1,
        [json.dumps({"publicKey": {"content": b64(PEMS[0])}, "signedEmailAddress": b64(b"signature")}).encode()],
    ),
    "ca.jwks.parse_jwks": Parser(lambda data: ca.jwks.parse_jwks(data) and None, [json.dumps(jwks()).encode()]),
    "ca.jwks.parse_fetched_jwks": Parser(
        lambda data: ca.jwks.parse_fetched_jwks(data) and None, [json.dumps(jwks()).encode()]
    ),
    "ca.templates.parse_template": Parser(
        ca.templates.parse_template,
        [b"sha", b"{{ .url }}/{{ .repository }}", b'{{if eq (index . "a/b") "c"}}d{{ else }}e{{end}}'],
        lambda template: template.text,
        text=True,
    ),
    "ca.fulcio_config.parse_fulcio_config": Parser(
        lambda data: ca.fulcio_config.parse_fulcio_config(json_of(data), what=WHAT) and None,
        [json.dumps(FULCIO).encode(), b"{}"],
    ),
    "ca.fulcio_config.parse_row": Parser(
        lambda data: ca.fulcio_config.parse_row(json_of(data), "https://a.example", {}, pattern=False) and None,
        [json.dumps(FULCIO["oidc-issuers"]["https://a.example"]).encode()],
    ),
    "stack.faults.parameters.parse_parameters": Parser(
        lambda data: stack.faults.parameters.parse_parameters(data, ("role", "seconds", "status", "hours", "identity")),
        [b"", b'{"role": "tsa", "seconds": 1.5, "count": 3}', b'{"status": 429, "hours": -3, "identity": "a@b.c"}'],
    ),
    "stack.issuers.parse_document": Parser(
        lambda data: stack.issuers.parse_document(Path("issuers.yaml"), data),
        [json.dumps(FULCIO).encode(), b'define:\n  - &a "b"\noidc-issuers:\n  *a :\n    type: email\n'],
    ),
    "oidc_dev.machines.parse_machine_name": Parser(
        oidc_dev.machines.parse_machine_name, [b"release", b"a-1"], str, text=True
    ),
    "oidc_dev.machines.parse_machine_subject": Parser(
        oidc_dev.machines.parse_machine_subject, [b"https://ci.example.com:8443/a/b", b"http://h"], str, text=True
    ),
    "tlog.catalog.query.parse_query": Parser(
        tlog.catalog.query.parse_query,
        [b"", b"alice@example.com issuer:https://login.example", b"*@example.com", b"sha256:" + b"ab" * 32, b"index:7"],
        text=True,
    ),
    "stack.web.console.asked.parse_asked": Parser(
        lambda text: stack.web.console.asked.parse_asked(dict(parse_qsl(text))),
        [b"", b"q=alice&since=2026-01-31&until=2026-02-01T00:00:00Z&limit=20", b"after=1.2.3"],
        text=True,
    ),
    "oidc_dev.mailbox.parse_email": Parser(
        oidc_dev.mailbox.parse_email, [b"a@b.c", b"first.last+tag@example.com"], str, text=True
    ),
    "oidc_dev.parameters.parse_parameters": Parser(
        lambda data: oidc_dev.parameters.parse_parameters(data, what=WHAT),
        [b"a=b&c=d%20e+f", b"state=x&nonce=%E2%82%AC"],
    ),
    "oidc_dev.upstream.parse_endpoints": Parser(
        lambda data: oidc_dev.upstream.parse_endpoints(data, UPSTREAM),
        [json.dumps(Abroad(Clock()).discovery()).encode()],
    ),
    "stack.minting.parse_order": Parser(
        lambda data: stack.minting.parse_order(strict.Fields.of(json_of(data), WHAT)),
        [b'{"email": "a@b.example", "issuer": "x", "wrong": "key", "expires_in": -1}', b"{}"],
    ),
    "stack.personas.parse_persona": Parser(
        lambda data: stack.personas.parse_persona(strict.Fields.of(json_of(data), WHAT)),
        [b'{"kind": "spiffe", "subject": "spiffe://a/b", "claims": {"x": [1]}}', b"{}"],
    ),
    "stack.personas.parse_toml": Parser(
        lambda data: stack.personas.parse_toml(data, what=WHAT),
        [b'kind = "spiffe"\nsubject = "spiffe://a/b"\n[claims]\nx = [1]\n', b""],
    ),
    "stack.cli.persona.parse_claim": Parser(
        stack.cli.persona.parse_claim, [b"groups=[1]", b"name=plain text"], text=True
    ),
    "stack.config.parse_organization": Parser(stack.config.parse_organization, [b"ACME Build", b"x"], str, text=True),
    "stack.config.parse_url": Parser(
        stack.config.parse_url, [b"http://localhost:7780", b"https://a.example/"], str, exact=False, text=True
    ),
    "stack.config.parse_service_url": Parser(
        stack.config.parse_service_url, [b"http://ct:7780", b"https://a.example/test"], str, exact=False, text=True
    ),
    "sigcore.pkcs11_uri.parse_key_uri": Parser(
        pkcs11_uri.parse_key_uri,
        [
            pkcs11_uri.EXAMPLE.encode(),
            b"pkcs11:token=a%20b;serial=01;object=k;id=%01%FF;type=private?pin-source=/pin&module-path=/p11.so",
        ],
        encode=pkcs11_uri.encode_key_uri,
        exact=False,
        text=True,
    ),
    "stack.config.parse_database": Parser(
        stack.config.parse_database,
        [b"postgresql://sigbox@db.corp.example/sigbox?sslmode=verify-full", b"postgres:///sigbox"],
        str,
        text=True,
    ),
    "stack.config.parse_services": of_fields(
        lambda fields: stack.config.parse_services(fields.raw()),
        [{"ca": "http://localhost:1", "log": "https://a.example"}],
    ),
    "stack.witness_rows.parse_witnesses": of_fields(
        lambda fields: stack.witness_rows.parse_witnesses(fields.raw().get("witnesses")),
        [{"witnesses": [{"url": "http://localhost:7780/witness", "key": WITNESS_KEY}]}],
    ),
    "stack.witness_rows.parse_quorum": of_fields(
        lambda fields: stack.witness_rows.parse_quorum(fields.raw().get("witness_quorum")), [{"witness_quorum": 2}]
    ),
    "stack.writer_rules.parse_writers": of_fields(
        lambda fields: stack.writer_rules.parse_writers(fields.raw()),
        [{"certificates": "own", "keys": ["release.pub"]}],
    ),
    "stack.writer_rules.parse_issuers": of_fields(
        lambda fields: stack.writer_rules.parse_issuers(fields.raw().get("issuers")), [{"issuers": "own"}]
    ),
    "stack.witness_files.parse_witnessed": Parser(
        stack.witness_files.parse_witnessed,
        [b"# logs\n\nlog.example+d85f6874+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop\n"],
        text=True,
    ),
    "stack.role_rules.parse_role_tables": of_fields(
        lambda fields: stack.role_rules.parse_role_tables(fields.raw()),
        [
            {
                "ca": {"certificate_lifetime": "5m"},
                "ct": {"issuers": "any"},
                "log": {
                    "entry_types": ["dsse"],
                    "writers": {"certificates": "own", "keys": ["release.pub", f"sha256:{'0a' * 32}"]},
                    "witness_quorum": 1,
                    "witnesses": [{"url": "https://a.example/witness", "key": WITNESS_KEY, "ca_file": "/ca.pem"}],
                },
                "tsa": {"require_synchronised_clock": True},
            }
        ],
    ),
    "stack.remote_log.parse_sct_answer": Parser(
        stack.remote_log.parse_sct_answer,
        [b'{"sct_version":0,"id":"AAAA","timestamp":1,"extensions":"","signature":"BAMAAQA="}'],
        None,
    ),
    "stack.workers.frames.parse_asked": Parser(
        stack.workers.frames.parse_asked,
        [b"".join(stack.workers.frames.encode_asked(_ASKED))[4:]],
        lambda found: b"".join(stack.workers.frames.encode_asked(found))[4:],
    ),
    "stack.workers.frames.parse_told": Parser(
        stack.workers.frames.parse_told, [b"".join(stack.workers.frames.encode_told(_TOLD))[4:]], None
    ),
    "stack.workers.counts.parse_counts": Parser(
        stack.workers.counts.parse_counts,
        [bytes(12) + b"\x03GET\x00\x02/a" + (200).to_bytes(2, "big") + bytes(8 * 15)],
        None,
    ),
    "stack.config.parse_listen": Parser(stack.config.parse_listen, [b"127.0.0.1:7780", b"[::1]:0"], None, text=True),
}


def same(first: Any, second: Any) -> bool:
    """Equality of values; keys of the library have no useful one."""
    if keys.is_public_key(first):
        return keys.encode_public_key(first) == keys.encode_public_key(second)
    return bool(first == second) and not (isinstance(first, datetime) and first.tzinfo is None)
