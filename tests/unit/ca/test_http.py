# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import json
import logging

import pytest
from cryptography import x509 as oracle
from cryptography.hazmat.primitives import hashes, serialization

from ca.app import make_app
from ca.authority import Authority
from ca.issuers import Issuer, Pattern
from sigcore import keys
from sigcore.strict import encode_base64
from tests.unit.ca import fakes
from tests.unit.ca.tokens import ISSUER, MACHINES, NOW, claims, signed

V2, V1 = "/api/v2/signingCert", "/api/v1/signingCert"
NAME = "alice@example.com"
KEY = keys.generate_p256()
PEM = keys.encode_public_key_pem(KEY.public_key())
SPKI = keys.encode_public_key(KEY.public_key())
PROOF = encode_base64(keys.sign(KEY, NAME.encode()))
CSR = encode_base64(
    oracle.CertificateSigningRequestBuilder()
    .subject_name(oracle.Name([]))
    .add_extension(oracle.BasicConstraints(ca=False, path_length=None), critical=True)
    .sign(KEY, hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
)


@pytest.fixture(scope="module")
def chain():
    return fakes.make_chain()


@pytest.fixture
def serve(chain, issuers, aiohttp_client):
    async def start(log):
        authority = Authority(
            key=chain.key, chain=chain.certificates, issuers=issuers, log=log, log_key=log.key.public_key()
        )
        return await aiohttp_client(make_app(authority, lambda: NOW))

    return start


@pytest.fixture
async def http(serve):
    return await serve(fakes.FakeLog())


@pytest.fixture
def token(issuer_key):
    return signed(issuer_key, claims())


@pytest.fixture
def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def key_request(**changes):
    public_key = {"algorithm": "ECDSA", "content": PEM}
    return {"publicKeyRequest": {"publicKey": public_key, "proofOfPossession": PROOF}} | changes


async def certificates(answer):
    assert answer.status == 200, await answer.text()
    assert answer.content_type == "application/json"
    return (await answer.json())["signedCertificateEmbeddedSct"]["chain"]["certificates"]


async def error(answer, status, code):
    """The message of a refusal, whose form is checked."""
    assert answer.status == status, await answer.text()
    assert answer.content_type == "application/json"
    body = await answer.json()
    assert set(body) == {"code", "message", "details"}
    assert (body["code"], body["details"]) == (code, [])
    return body["message"]


# --- API v2 --------------------------------------------------------------------------------------------
async def test_go_clients_send_a_key_a_proof_and_a_bearer_token(http, bearer):
    leaf, intermediate, root = await certificates(await http.post(V2, json=key_request(), headers=bearer))
    loaded = [oracle.load_pem_x509_certificate(pem.encode()) for pem in (leaf, intermediate, root)]
    loaded[0].verify_directly_issued_by(loaded[1])
    loaded[1].verify_directly_issued_by(loaded[2])
    assert not leaf.endswith("\n")


async def test_sigstore_js_sends_the_token_in_the_body_only(http, token):
    answer = await http.post(V2, json=key_request(credentials={"oidcIdentityToken": token}))
    assert len(await certificates(answer)) == 3


async def test_sigstore_python_sends_a_signing_request_and_asks_for_pem(http, bearer):
    headers = bearer | {"Accept": "application/pem-certificate-chain"}
    answer = await http.post(V2, json={"certificateSigningRequest": CSR}, headers=headers)
    leaf = oracle.load_pem_x509_certificate((await certificates(answer))[0].encode())
    assert leaf.public_key() == KEY.public_key()


async def test_snake_case_unknown_members_and_unknown_algorithms_are_read(http, token):
    body = {
        "credentials": {"oidc_identity_token": token, "more": 1},
        "public_key_request": {
            "public_key": {"algorithm": "RSA", "content": PEM},
            "proof_of_possession": PROOF,
            "certificate_signing_request": None,
        },
        "future": {"a": [1]},
    }
    await certificates(await http.post(V2, json=body))


@pytest.mark.parametrize("algorithm", ["PUBLIC_KEY_ALGORITHM_UNSPECIFIED", "RSA_PSS", "nonsense", 3, None, {}])
async def test_the_algorithm_of_the_key_is_not_consulted(http, bearer, algorithm):
    request = {"publicKey": {"algorithm": algorithm, "content": PEM}, "proofOfPossession": PROOF}
    await certificates(await http.post(V2, json={"publicKeyRequest": request}, headers=bearer))


async def test_the_same_token_in_header_and_body_is_one_token(http, token, bearer):
    body = key_request(credentials={"oidcIdentityToken": token})
    await certificates(await http.post(V2, json=body, headers=bearer))


async def test_different_tokens_in_header_and_body_are_refused(http, issuer_key, bearer):
    other = signed(issuer_key, claims(sub="u-17"))
    answer = await http.post(V2, json=key_request(credentials={"oidcIdentityToken": other}), headers=bearer)
    assert "different identity tokens" in await error(answer, 400, 3)


async def test_browsers_may_ask(http, bearer):
    answer = await http.post(V2, json=key_request(), headers=bearer)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for path in (V2, V1):
        preflight = await http.options(path)
        assert preflight.status == 204
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert (await http.post(V1)).headers["Access-Control-Allow-Origin"] == "*"


async def test_the_trust_bundle_ends_with_the_root(http, chain):
    answer = await (await http.get("/api/v2/trustBundle")).json()
    ((intermediate, root),) = [chain["certificates"] for chain in answer["chains"]]
    assert intermediate.endswith("-----END CERTIFICATE-----\n")  # Fulcio trims it in signingCert only
    loaded = [oracle.load_pem_x509_certificate(pem.encode()) for pem in (intermediate, root)]
    assert [one.public_bytes(serialization.Encoding.DER) for one in loaded] == list(chain.certificates)


async def test_the_configuration_lists_the_issuers_with_zero_values(http):
    answer = await (await http.get("/api/v2/configuration")).json()
    people, _, machines = answer["issuers"]
    assert people == {
        "issuerUrl": ISSUER,
        "audience": "sigstore",
        "challengeClaim": "email",
        "spiffeTrustDomain": "",
        "issuerType": "email",
        "subjectDomain": "",
        "skipEmailVerification": False,
    }
    assert (machines["issuerUrl"], machines["challengeClaim"], machines["subjectDomain"]) == (MACHINES, "sub", MACHINES)


async def test_the_configuration_follows_the_table_and_shows_patterns_as_such(http, issuers):
    rows = tuple(issuers)
    dex = Issuer("https://dex.example", issuer_claim="$.a.b", skip_email_verification=True, challenge_claim="sub")
    spire = Issuer("https://spire.example", kind="spiffe", trust_domain="prod.example")
    clusters = Pattern(Issuer("https://*.clusters.example", kind="kubernetes"))
    issuers.replace((dex, spire), (clusters,))
    try:
        first, second, third = (await (await http.get("/api/v2/configuration")).json())["issuers"]
    finally:
        issuers.replace(rows)
    assert (first["challengeClaim"], first["skipEmailVerification"]) == ("sub", True)
    assert (second["issuerType"], second["spiffeTrustDomain"]) == ("spiffe", "prod.example")
    assert third["wildcardIssuerUrl"] == "https://*.clusters.example"
    assert "issuerUrl" not in third


# --- tokens on the wire -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([], "no identity token"),
        ([("Authorization", "")], "not of the form"),
        ([("Authorization", "Bearer")], "not of the form"),
        ([("Authorization", "Bearer ")], "not of the form"),
        ([("Authorization", "Basic c2lnc3RvcmU6")], "not of the form"),
        ([("Authorization", "Bearer x.y.z")], "token"),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer a")], "more than one"),
        ([("Authorization", "Bearer " + "A" * 6000)], "not a signed JWT"),
    ],
)
async def test_bad_credentials(http, headers, message):
    assert message in await error(await http.post(V2, json=key_request(), headers=headers), 400, 3)


async def test_the_scheme_has_no_case(http, token):
    await certificates(await http.post(V2, json=key_request(), headers={"Authorization": f"bEaReR {token}"}))


async def test_an_expired_token_is_an_invalid_argument(http, issuer_key):
    token = signed(issuer_key, claims(exp=1))
    answer = await http.post(V2, json=key_request(), headers={"Authorization": f"Bearer {token}"})
    assert "has expired" in await error(answer, 400, 3)


# --- malformed bodies ------------------------------------------------------------------------------------------
def public_key(content=PEM, **changes):
    request = {"publicKey": {"content": content}, "proofOfPossession": PROOF} | changes
    return json.dumps({"publicKeyRequest": request}).encode()


BODIES = [
    b"",
    b" ",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"17",
    b"{",
    b"\xff\xfe",
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":1e999}',
    b'{"a":0.5}',
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":"\\ud800"}',
    b"[" * 60_000,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    b" " * 70_000,
    b'{"publicKeyRequest":null}',
    b'{"publicKeyRequest":[]}',
    b'{"publicKeyRequest":{}}',
    b'{"publicKeyRequest":{"publicKey":"x"}}',
    b'{"publicKeyRequest":{},"certificateSigningRequest":""}',
    b'{"publicKeyRequest":{},"public_key_request":{}}',
    b'{"certificateSigningRequest":""}',
    b'{"certificateSigningRequest":"AAAA"}',
    b'{"certificateSigningRequest":"AA=A"}',
    b'{"certificateSigningRequest":"AAAB=="}',
    b'{"certificateSigningRequest":17}',
    b'{"certificateSigningRequest":"' + b"A" * 40_000 + b'"}',
    b'{"credentials":"token"}',
    b'{"credentials":{"oidcIdentityToken":17}}',
    public_key(""),
    public_key("hello"),
    public_key(17),
    public_key(PEM[:-40]),
    public_key(PEM.replace("PUBLIC KEY", "PRIVATE KEY")),
    public_key("\u0000" * 100),
    public_key("x" * 5000),
    public_key(proofOfPossession=None),
    public_key(proofOfPossession=""),
    public_key(proofOfPossession="!!!"),
    public_key(proofOfPossession="A" * 4000),
    public_key(proofOfPossession=PROOF.rstrip("=") + "\n"),
    public_key(proofOfPossession=[PROOF]),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_malformed_bodies_are_invalid_arguments(http, bearer, body):
    for path in (V2, V1):
        assert await error(await http.post(path, data=body, headers=bearer), 400, 3)


@pytest.mark.parametrize(
    "body", [b"junk", gzip.compress(b" " * 10_000_000), gzip.compress(b"{}")[:-9]], ids=["junk", "bomb", "broken"]
)
async def test_a_compressed_body_that_is_broken_or_a_bomb(http, bearer, body):
    headers = bearer | {"Content-Encoding": "gzip"}
    answer = await http.post(V2, data=body, headers=headers)
    assert answer.status == 400


async def test_a_body_of_unknown_length_is_bounded_while_it_arrives(http, bearer):
    async def endless():
        for _ in range(20):
            yield b" " * 16_384

    answer = await http.post(V2, data=endless(), headers=bearer)
    assert "longer than 65536" in await error(answer, 400, 3)


# --- faults of the service ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (fakes.Down, 503, 14),
        (fakes.Unwilling, 503, 14),
        (fakes.WrongKey, 500, 13),
        (fakes.WrongEntry, 500, 13),
        (fakes.Broken, 500, 13),
    ],
)
async def test_a_log_that_fails(serve, bearer, caplog, kind, status, code):
    http = await serve(kind())
    with caplog.at_level(logging.ERROR, logger="ca.http"):
        answer = await http.post(V2, json=key_request(), headers=bearer)
        message = await error(answer, status, code)
    assert ("Retry-After" in answer.headers) == (status == 503)
    if code == 13:
        assert message == "internal error; the server's log says more"
        assert len(caplog.records) == 1
        assert caplog.records[0].exc_info


# --- API v1 -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("content", [SPKI, PEM.encode()], ids=["DER", "PEM"])
async def test_gitsign_sends_a_base64_key_and_reads_a_pem_chain(http, bearer, content):
    body = {"publicKey": {"content": encode_base64(content), "algorithm": "ecdsa"}, "signedEmailAddress": PROOF}
    answer = await http.post(V1, json=body, headers=bearer)
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/pem-certificate-chain"
    text = await answer.text()
    loaded = oracle.load_pem_x509_certificates(text.encode())
    assert len(loaded) == 3
    assert loaded[0].public_key() == KEY.public_key()
    assert not text.endswith("\n")
    assert "SCT" not in answer.headers


async def test_v1_takes_a_signing_request(http, bearer):
    assert (await http.post(V1, json={"certificateSigningRequest": CSR}, headers=bearer)).status == 201


async def test_v1_takes_no_token_from_the_body(http, token):
    body = {"certificateSigningRequest": CSR, "credentials": {"oidcIdentityToken": token}}
    assert "no identity token" in await error(await http.post(V1, json=body), 400, 3)


async def test_the_root_certificate_of_v1_is_the_chain(http, chain):
    answer = await http.get("/api/v1/rootCert")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/pem-certificate-chain"
    loaded = oracle.load_pem_x509_certificates((await answer.text()).encode())
    assert [one.public_bytes(serialization.Encoding.DER) for one in loaded] == list(chain.certificates)


# --- A13: every route that can end in a signature needs a token ------------------------------------------------------
async def test_no_route_signs_without_a_token(http):
    routes = {(r.method, r.resource.canonical) for r in http.app.router.routes()}
    known = {(m, "/api/v2/" + p) for m in ("GET", "HEAD") for p in ("trustBundle", "configuration")}
    known |= {("GET", "/api/v1/rootCert"), ("HEAD", "/api/v1/rootCert"), ("OPTIONS", V2), ("OPTIONS", V1)}
    assert routes - known == {("POST", V2), ("POST", V1)}
    for path in (V2, V1):
        for body in (key_request(), {"certificateSigningRequest": CSR}):
            assert (await http.post(path, json=body)).status == 400
