# SPDX-License-Identifier: Apache-2.0
"""Entries whose every text is hostile: certificates that no authority of ours gives, but which a signature log takes as it takes all.

The proof of possession and the signature are real; what the certificate says is nobody's business but the reader's.
"""

from __future__ import annotations

import hashlib
import http
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import fields

from sigcore import certify, der, entries, extensions, fulcio, general_name, keys, x509
from sigcore.entries import HashedRekord
from sigcore.fulcio import FulcioExtensions
from sigcore.strict import JSON, encode_base64
from sigcore.x509 import Extension
from tests.stack_process import RunningStack
from tests.unit.tlog.catalog.conftest import START

KEY = keys.generate_p256()
_SPKI = keys.encode_public_key(KEY.public_key())
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
FIELDS = tuple(one.name for one in fields(FulcioExtensions))


def certificate(text: str, number: int) -> bytes:
    """DER, with ``text`` in everything that is a text: issuer, subject, each extension of Fulcio's, and a subject alternative name.

    ``number`` chooses the form of that: email address, URI or user name.
    """
    data = text.encode("utf-8")
    name = der.sequence(
        *(der.set_of(der.sequence(der.oid(oid), der.tlv(0x0C, data))) for oid in (x509.ORGANIZATION, x509.COMMON_NAME))
    )
    tbs = certify.encode_tbs(
        serial=number,
        issuer=name,
        not_before=START,
        not_after=START.replace(year=START.year + 1),
        subject=name,
        spki=_SPKI,
        extensions=(
            Extension(extensions.SUBJECT_ALTERNATIVE_NAME, critical=True, value=_san(data, number)),
            *fulcio.encode_extensions(FulcioExtensions(**dict.fromkeys(FIELDS, text))),
        ),
    )
    return certify.sign_tbs(tbs, KEY)


def _san(data: bytes, number: int) -> bytes:
    """As :func:`sigcore.general_name.encode_san`, which refuses half of what is wanted here."""
    if number % 3 == 2:
        value = der.tlv(der.context(0), der.tlv(0x0C, data))
        return der.sequence(der.tlv(der.context(0), der.oid(general_name.FULCIO_OTHER_NAME), value))
    return der.sequence(der.tlv(der.context(6 if number % 3 else 1, constructed=False), data))


def submit(stack: RunningStack, certificate: bytes, number: int) -> int:
    """Log a signature of that certificate's key; the answer is its index."""
    digest = hashlib.sha256(b"hostile %d" % number).digest()
    entry = HashedRekord(digest, keys.sign_digest(KEY, digest), entries.certificate_verifier(certificate))
    return int(post(stack, "/api/v2/log/entries", entries.encode_request_v2(entry))["logIndex"])


def certified(stack: RunningStack, persona: Mapping[str, JSON]) -> bytes | None:
    """What the authority gives to ``persona`` (the control API's); None where provider or authority refuse."""
    try:
        token = str(post(stack, "/_ctl/token", json.dumps(persona).encode())["token"])
        proof = keys.sign(KEY, str(persona.get("email") or persona["subject"]).encode())
        public = {"algorithm": "ECDSA", "content": keys.encode_public_key_pem(KEY.public_key())}
        body = {
            "credentials": {"oidcIdentityToken": token},
            "publicKeyRequest": {"publicKey": public, "proofOfPossession": encode_base64(proof)},
        }
        answer = post(stack, "/api/v2/signingCert", json.dumps(body).encode())
    except urllib.error.HTTPError as error:
        if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        raise
    pem = answer["signedCertificateEmbeddedSct"]["chain"]["certificates"][0]
    return x509.parse_certificates_pem(pem.encode())[0].der


def post(stack: RunningStack, path: str, body: bytes) -> dict[str, JSON]:
    """A request in JSON, and its answer."""
    request = urllib.request.Request(f"{stack.url}{path}", body, {"Content-Type": "application/json"})
    with _OPENER.open(request, timeout=60) as answer:
        found: dict[str, JSON] = json.load(answer)
    return found


# --- documents ---------------------------------------------------------------------------------------------
def forged(bundle: dict[str, JSON], text: str) -> JSON:
    """A bundle that says ``text`` wherever it says something: statement, names of keys, kind of the entry, checkpoint."""
    made = json.loads(json.dumps(bundle))
    for entry in made["verificationMaterial"]["tlogEntries"]:
        proof = entry["inclusionProof"]
        _origin, *rest = proof["checkpoint"]["envelope"].split("\n")
        proof["checkpoint"]["envelope"] = "\n".join((text, *rest, f"\u2014 {text} AAAAAAA="))
    if "dsseEnvelope" in made:
        envelope = made["dsseEnvelope"]
        statement = {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": text, "digest": {"sha256": "00" * 32}, "annotations": {text: text}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "externalParameters": {"workflow": {"repository": text, "path": text, "ref": text}}
                },
                "runDetails": {"builder": {"id": text}, "metadata": {"invocationId": text}},
                text: text,
            },
        }
        envelope["payload"] = encode_base64(json.dumps(statement).encode())
        envelope["signatures"][0]["keyid"] = text
    made["verificationMaterial"]["certificate"] = {"rawBytes": encode_base64(certificate(text, 7))}
    return made


def rooted(root: dict[str, JSON], text: str) -> JSON:
    """A trusted root whose addresses and names are ``text``."""
    made = json.loads(json.dumps(root))
    for one in (*made["tlogs"], *made["ctlogs"]):
        one["baseUrl"] = text
    for one in (*made["certificateAuthorities"], *made["timestampAuthorities"]):
        one["uri"], one["subject"] = text, {"organization": text, "commonName": text}
    return made
