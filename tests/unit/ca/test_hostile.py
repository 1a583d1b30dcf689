# SPDX-License-Identifier: Apache-2.0
"""Z01: whatever is sent, the CA answers with a reason or a certificate, in Fulcio's form, never with a 5xx."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import threading
from dataclasses import dataclass

import pytest
import requests
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca.app import make_app
from ca.authority import Authority
from ca.possession import SignedSubject
from ca.request import parse_request_v1, parse_request_v2
from ca.token import verify_token
from sigcore import keys
from sigcore.errors import SigError
from sigcore.strict import encode_base64
from tests.unit.ca import fakes
from tests.unit.ca.test_csr import pem, request
from tests.unit.ca.tokens import NOW, b64, claims, signed

V2, V1 = "/api/v2/signingCert", "/api/v1/signingCert"
NAME = "alice@example.com"
KEY = keys.generate_p256()
PEM = keys.encode_public_key_pem(KEY.public_key())
PROOF = encode_base64(keys.sign(KEY, NAME.encode()))
CSR = encode_base64(pem(request(KEY)))
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Service:
    """A CA on a thread of its own, for clients that know nothing of event loops."""

    url: str
    token: str
    log: fakes.FakeLog

    def ask(self, path, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}"} | headers
        return requests.post(self.url + path, data=data, headers=headers, timeout=60)


@pytest.fixture(scope="module")
def service(issuers, issuer_key):
    chain, log = fakes.make_chain(), fakes.FakeLog()
    authority = Authority(
        key=chain.key, chain=chain.certificates, issuers=issuers, log=log, log_key=log.key.public_key()
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = TestServer(make_app(authority, lambda: NOW))
    asyncio.run_coroutine_threadsafe(server.start_server(), loop).result(10)
    yield Service(str(server.make_url("")).rstrip("/"), signed(issuer_key, claims()), log)
    asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def check(answer, *, good=(200, 201)):
    """A certificate, or a refusal in Fulcio's form with something to act on."""
    assert answer.status_code in (*good, 400), answer.text
    if answer.status_code == 400:
        body = answer.json()
        assert set(body) == {"code", "message", "details"}
        assert (body["code"], body["details"]) == (3, [])
        assert len(body["message"]) > 10
        assert "Traceback" not in body["message"]


# --- every member of every request, replaced by everything else ---------------------------------------------
REQUESTS = {
    V2: [
        {
            "credentials": {"oidcIdentityToken": "TOKEN"},
            "publicKeyRequest": {"publicKey": {"algorithm": "ECDSA", "content": PEM}, "proofOfPossession": PROOF},
        },
        {"credentials": {"oidcIdentityToken": "TOKEN"}, "certificateSigningRequest": CSR},
    ],
    V1: [
        {"publicKey": {"content": encode_base64(PEM.encode()), "algorithm": "ecdsa"}, "signedEmailAddress": PROOF},
        {"certificateSigningRequest": CSR},
    ],
}
INSTEAD = [
    None,
    True,
    0,
    -1,
    0.5,
    2**63,
    "",
    "x",
    "\x00",
    "\u00e9",
    "=" * 8,
    "A" * 20_000,
    [],
    [[]],
    {},
    {"a": {}},
    PEM,
]


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*path, name))


def replaced(value, path, instead):
    if not path:
        return instead
    made = copy.deepcopy(value)
    parent = made
    for name in path[:-1]:
        parent = parent[name]
    parent[path[-1]] = instead
    return made


@pytest.mark.parametrize("path", REQUESTS)
@pytest.mark.parametrize("which", [0, 1])
def test_any_member_replaced_by_anything(service, path, which):
    good = json.loads(json.dumps(REQUESTS[path][which]).replace("TOKEN", service.token))
    check(service.ask(path, good))
    assert service.ask(path, good).status_code in (200, 201)
    for place in places(good):
        for instead in INSTEAD:
            check(service.ask(path, replaced(good, place, instead)))


# --- bytes ---------------------------------------------------------------------------------------------
@BOUNDED
@given(body=st.binary(max_size=300), path=st.sampled_from([V1, V2]))
def test_any_bytes_as_a_body(service, body, path):
    check(service.ask(path, body), good=())


@BOUNDED
@given(data=st.data(), path=st.sampled_from([V1, V2]), which=st.integers(0, 1))
def test_a_good_body_with_some_bytes_changed(service, data, path, which):
    body = bytearray(json.dumps(REQUESTS[path][which]).replace("TOKEN", service.token).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    check(service.ask(path, bytes(body)))


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=400))
def test_parsers_of_requests_have_one_kind_of_error(body):
    for parse in (parse_request_v1, parse_request_v2):
        with pytest.raises(SigError):
            parse(body)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_request_is_read_alike_in_one_step_and_member_by_member(data):
    """An unknown member is without meaning, and with one in it nothing is read in one step."""
    usual = {"publicKey": {"algorithm": "ECDSA", "content": PEM}, "proofOfPossession": PROOF}
    body = bytearray(json.dumps({"publicKeyRequest": usual}).encode())
    for _ in range(data.draw(st.integers(0, 2))):
        body[data.draw(st.integers(1, len(body) - 2))] = data.draw(st.integers(0, 127))
    assert reading(bytes(body)) == reading(b'{"unknown": 1, ' + bytes(body[1:]))


def reading(body: bytes) -> object:
    """The request, or why there is none, without the place of a defect and, in what is no JSON, which of its defects came first."""
    try:
        request = parse_request_v2(body)
    except SigError as error:
        return type(error), re.sub(r"[0-9]+|(?<=is not JSON: ).*", "N", error.message)
    assert isinstance(request.proof, SignedSubject)
    return keys.encode_public_key(request.proof.key), request.proof.signature, request.token


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
CLAIM = st.sampled_from(
    ["iss", "sub", "aud", "iat", "nbf", "exp", "email", "email_verified", "kid", "alg", "typ", "crit"]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.dictionaries(CLAIM, JSON_VALUES, max_size=4), payload=st.dictionaries(CLAIM, JSON_VALUES, max_size=6))
def test_claims_of_any_type_under_a_good_signature(issuers, issuer_key, header, payload):
    """The issuer is honest here and its claims are nonsense: the answer is a refusal, or the claims."""
    token = signed(issuer_key, claims() | payload, **header)
    try:
        asyncio.run(verify_token(token, issuers, now=NOW))
    except SigError as error:
        assert len(str(error)) < 2000  # noqa: PT017 - both outcomes are right, what is checked is the refusal's size


def test_deep_duplicate_and_huge_members_of_a_token(service, issuer_key):
    good = json.dumps(claims())
    payloads = [
        good[:-1] + ',"a":' + "[" * 60 + "]" * 60 + "}",
        good[:-1] + ',"a":' + "[" * 3000 + "]" * 3000 + "}",
        good[:-1] + ',"email":"bob@example.com"}',
        good[:-1] + ',"a":' + "9" * 4000 + "}",
        good[:-1] + ',"a":"' + "x" * 12_000 + '"}',
        good.replace('"exp"', '"\\u0065xp": 1, "exp"'),
    ]
    head = b64(json.dumps({"alg": "RS256", "kid": "key-1"}).encode())
    statuses = []
    for payload in payloads:
        message = f"{head}.{b64(payload.encode())}"
        token = f"{message}.{b64(keys.sign(issuer_key, message.encode()))}"
        body = {"credentials": {"oidcIdentityToken": token}, "certificateSigningRequest": CSR}
        answer = requests.post(service.url + V2, json=body, timeout=60)
        check(answer)
        statuses.append(answer.status_code)
    assert statuses == [200, 400, 400, 400, 400, 400]


# --- the official description ----------------------------------------------------------------------------
def test_requests_made_from_the_official_description(vectors, service):
    """Schemathesis on Fulcio's own OpenAPI file: no answer but those that it allows."""
    schemathesis = pytest.importorskip("schemathesis")
    document = json.loads((vectors / "openapi" / "fulcio.json").read_bytes())
    schema = schemathesis.openapi.from_dict(document)
    seen = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def run(case):
            answer = case.call(base_url=service.url, headers={"Authorization": f"Bearer {service.token}"})
            assert answer.status_code in (200, 400), answer.text
            assert answer.headers["content-type"] == ["application/json"]
            case.operation.schema[case.operation.path][case.operation.method].validate_response(answer)
            seen.add((case.operation.path, answer.status_code))

        run()
    assert {path for path, _ in seen} == {V2, "/api/v2/trustBundle", "/api/v2/configuration"}
