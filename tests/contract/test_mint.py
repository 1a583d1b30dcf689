# SPDX-License-Identifier: Apache-2.0
"""What tests order of a stack with ``--control``: tokens that are wrong in one place, other issuers, logins without a page."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.x509 import load_pem_x509_certificate

from oidc_dev.wrong_tokens import WRONG
from tests.faults.certificates import certificate_request
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import CALLBACK, FORM, OOB, REQUEST, VERIFIER, Html

ALICE, CAROL = "alice@example.com", "carol@example.com"
JOB = "https://ci.example.com/job/7"
ISSUER_EXTENSION = "1.3.6.1.4.1.57264.1.8"
REFUSALS = {
    "signature": "the token's signature does not verify",
    "key": "the token's signature does not verify",
    "kid": "the issuer has no key with the id 'a-key-that-is-not-published'",
    "algorithm-none": "the token is not a signed JWT",
    "algorithm-hs256": "the token is signed with 'HS256'",
    "audience": "aud is 'not-sigstore', expected 'sigstore'",
    "issuer": "/auth/nobody' is not accepted here",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("mint"), "--ephemeral", "--control") as running:
        yield running


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Path:
    """The data directory of a stack that stays."""
    data = tmp_path_factory.mktemp("lasting") / "data"
    assert sigbox("init", "--data", data, "--yes").returncode == 0
    return data


def ask(
    stack: RunningStack, method: str, path: str, body: object = None, kind: str = "application/json"
) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers of one answer; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=30)
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    try:
        connection.request(method, path, data, {"Content-Type": kind} if data is not None else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.headers)
    finally:
        connection.close()


def order(stack: RunningStack, **members: object) -> str:
    status, body, _ = ask(stack, "POST", "/_ctl/token", members)
    assert status == 200, body
    return json.loads(body)["token"]


def certified(stack: RunningStack, token: str, subject: str = ALICE) -> tuple[int, str]:
    status, body, _ = ask(stack, "POST", "/api/v2/signingCert", certificate_request(token, subject)[0])
    return status, body


def said(token: str) -> dict[str, object]:
    return jwt.decode(token, options={"verify_signature": False})


# --- tokens that nobody may take ------------------------------------------------------------------------------
def test_the_table_of_refusals_has_each_kind_of_wrong_token():
    assert REFUSALS.keys() == WRONG.keys()


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_authority_refuses_a_token_that_is_wrong_in_one_place_and_says_which(stack, kind):
    for by_command in (False, True):
        if by_command:
            done = sigbox("token", "--url", stack.url, "--email", ALICE, "--wrong", kind)
            assert done.returncode == 0, done.stderr
            token = done.stdout.strip()
        else:
            token = order(stack, email=ALICE, wrong=kind)
        answer = certified(stack, token)
        assert answer[0] == 400, answer
        assert REFUSALS[kind] in json.loads(answer[1])["message"]
    assert certified(stack, order(stack, email=ALICE))[0] == 200


@pytest.mark.parametrize(
    ("option", "member", "seconds", "reason"),
    [
        ("--expires-in", "expires_in", -60, "the token has expired: exp is"),
        ("--not-before", "not_before", 60, "the token is not valid yet: nbf is"),
        ("--issued-at", "issued_at", 60, "the token is not valid yet: iat is"),
    ],
)
def test_a_token_of_another_time_is_refused_and_a_shorter_or_older_one_is_not(stack, option, member, seconds, reason):
    by_command = sigbox("token", "--url", stack.url, "--email", ALICE, option, str(seconds))
    assert by_command.returncode == 0, by_command.stderr
    for token in (order(stack, email=ALICE, **{member: seconds}), by_command.stdout.strip()):
        status, body = certified(stack, token)
        assert (status, reason in body) == (400, True), body
    good = order(stack, email=ALICE, **{member: -seconds})
    assert certified(stack, good)[0] == 200
    claims, claim = said(good), {"expires_in": "exp", "not_before": "nbf", "issued_at": "iat"}[member]
    usual = {"exp": 600, "nbf": 0, "iat": 0} | {claim: -seconds}
    assert len({int(str(claims[name])) - after for name, after in usual.items()}) == 1  # the moment of the order


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"email": ALICE, "wrong": "everything"}, "known: signature, key, kid"),
        ({"email": ALICE, "expires_in": "60"}, "expected an integer"),
        ({"email": ALICE, "expires_in": 10**9}, "ten years"),
        ({"email": ALICE, "issuer": "absent"}, "there is no issuer 'absent'"),
        ({"email": ALICE, "issuer": "../signing"}, "there is no issuer '../signing'"),
        ({"email": ALICE, "issuer": "x", "kind": "spiffe"}, "leave out kind, or issuer"),
        ({"email": ALICE, "exp": 1}, "unknown member"),
        ({"email": ALICE, "claims": {"exp": 1}}, "restate exp"),
        ([], "expected an object"),
    ],
)
def test_an_order_that_cannot_be_meant_is_refused(stack, body, reason):
    status, answer, _ = ask(stack, "POST", "/_ctl/token", body)
    assert status == 400
    assert reason in json.loads(answer)["message"]


def test_a_data_directory_makes_no_such_token_and_says_what_to_start_instead(tmp_path):
    assert sigbox("init", "--data", tmp_path / "data", "--yes").returncode == 0
    for options in (
        ("--wrong", "key"),
        ("--expires-in", "-1"),
        ("--not-before", "9"),
        ("--issued-at", "9"),
        ("--issuer", "x"),
    ):
        done = sigbox("token", "--data", tmp_path / "data", "--email", ALICE, *options)
        assert (done.returncode, done.stdout) == (3, "")
        assert "sigbox up --ephemeral --control" in done.stderr
    assert sigbox("token", "--data", tmp_path / "data", "--email", ALICE).returncode == 0


@pytest.mark.parametrize(
    "email", ["x", "a b@example.com", "a@example.com\n", "\u00e9@example.com", f"{'a' * 300}@example.com"]
)
def test_a_data_directory_mints_for_no_email_that_no_certificate_can_have(lasting, email, stack):
    done = sigbox("token", "--data", lasting, "--email", email)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a plain ASCII mailbox" in done.stderr
    assert "for example alice@example.com" in done.stderr
    assert sigbox("token", "--url", stack.url, "--email", email).returncode == 0  # for tests: what does a CA say to it?


# --- other issuers ---------------------------------------------------------------------------------------------
def test_each_issuer_has_its_own_key_and_certificates_name_it(stack, tmp_path):
    names = ("one", "two")
    issuers = {name: f"{stack.url}/_ctl/issuers/{name}" for name in names}
    kids = set()
    for name in names:
        assert ask(stack, "PUT", f"/_ctl/issuers/{name}")[:2] == (200, json.dumps({"issuer": issuers[name]}))
        status, body, _ = ask(stack, "GET", f"/_ctl/issuers/{name}/.well-known/openid-configuration")
        document = json.loads(body)
        assert (status, document["issuer"]) == (200, issuers[name])
        keys = json.loads(ask(stack, "GET", urlsplit(document["jwks_uri"]).path)[1])["keys"]
        token = order(stack, issuer=name, email=ALICE)
        key = jwt.PyJWK(keys[0])
        assert jwt.decode(token, key, audience="sigstore", issuer=issuers[name])["email"] == ALICE
        kids |= {one["kid"] for one in keys}
    assert len(kids) == 2
    for name, option, identity in (("one", "--email", ALICE), ("two", "--email", ALICE), ("two", "--subject", JOB)):
        by_command = sigbox("token", "--url", stack.url, "--issuer", name, option, identity)
        assert by_command.returncode == 0, by_command.stderr
        signed_and_verified(stack, tmp_path, by_command.stdout.strip(), identity, issuers[name])


def signed_and_verified(stack: RunningStack, folder: Path, token: str, identity: str, issuer: str) -> None:
    """By our client; and no other issuer's name verifies."""
    artifact = folder / "artifact"
    artifact.write_text("hello")
    done = sigbox("sign-blob", artifact, "--identity-token", token, "--trust-config", stack.trust_config)
    assert done.returncode == 0, done.stderr
    who = ("--certificate-identity", identity, "--trusted-root", stack.trusted_root, "--certificate-oidc-issuer")
    assert sigbox("verify-blob", artifact, *who, issuer).returncode == 0
    assert sigbox("verify-blob", artifact, *who, stack.oidc_issuer).returncode == 1


def test_the_certificate_has_the_issuers_extension(stack):
    ask(stack, "PUT", "/_ctl/issuers/extension")
    status, body = certified(stack, order(stack, issuer="extension", email=ALICE))
    assert status == 200
    chain = json.loads(body)["signedCertificateEmbeddedSct"]["chain"]["certificates"]
    found = {one.oid.dotted_string: one.value for one in load_pem_x509_certificate(chain[0].encode()).extensions}
    text = f"{stack.url}/_ctl/issuers/extension".encode()
    assert found[ISSUER_EXTENSION].value == bytes((0x0C, len(text))) + text


def test_an_issuer_that_is_taken_away_is_gone_and_made_again_has_another_key(stack):
    ask(stack, "PUT", "/_ctl/issuers/gone")
    url = f"{stack.url}/_ctl/issuers/gone"
    token = order(stack, issuer="gone", email=ALICE)
    ask(stack, "PUT", "/_ctl/issuers/gone")  # changes nothing
    assert certified(stack, token)[0] == 200
    assert url in ask(stack, "GET", "/api/v2/configuration")[1]
    assert ask(stack, "DELETE", "/_ctl/issuers/gone")[0] == 204
    status, body = certified(stack, token)
    assert (status, f"the token's issuer '{url}' is not accepted here" in json.loads(body)["message"]) == (400, True)
    assert url not in ask(stack, "GET", "/api/v2/configuration")[1]
    for path in ("/.well-known/openid-configuration", "/keys"):
        assert ask(stack, "GET", f"/_ctl/issuers/gone{path}")[0] == 404
    assert ask(stack, "DELETE", "/_ctl/issuers/gone")[0] == 404
    ask(stack, "PUT", "/_ctl/issuers/gone")
    status, body = certified(stack, token)
    assert (status, "has no key with the id" in body) == (400, True)


def test_the_key_of_one_issuer_signs_for_no_other(stack):
    ask(stack, "PUT", "/_ctl/issuers/mallory")
    ask(stack, "PUT", "/_ctl/issuers/victim")
    status, body = certified(stack, order(stack, issuer="mallory", email=ALICE, wrong="issuer"))
    assert (status, "is not accepted here" in body) == (400, True)
    for kind in ("key", "signature", "kid"):
        assert certified(stack, order(stack, issuer="victim", email=ALICE, wrong=kind))[0] == 400


@pytest.mark.parametrize("name", ["A", "a.b", "-a", "a-", "a" * 64, "%2e%2e", "a%2fb", "a%00", "%c3%a9"])
def test_what_is_no_name_of_an_issuer_is_refused(stack, name):
    status, body, _ = ask(stack, "PUT", f"/_ctl/issuers/{name}")
    assert (status, "small letters, digits" in body) in ((400, True), (404, False)), body
    assert ask(stack, "GET", f"/_ctl/issuers/{name}/keys")[0] == 404


# --- logins without a page ---------------------------------------------------------------------------------------
@pytest.fixture
def answering(stack) -> Iterator[None]:
    """Every login is answered at once, by Carol."""
    assert ask(stack, "PUT", "/_ctl/login", {"email": CAROL})[:2] == (200, json.dumps({"login": CAROL}))
    yield
    assert ask(stack, "DELETE", "/_ctl/login")[0] == 204


def redeemed(stack: RunningStack, **form: str) -> tuple[int, dict[str, str]]:
    status, body, _ = ask(stack, "POST", "/auth/token", urlencode(form).encode(), FORM)
    return status, json.loads(body)


def redeem_code(stack: RunningStack, code: str, **changed: str) -> tuple[int, dict[str, str]]:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "client_id": "sigstore"}
    return redeemed(stack, **{**form, "code_verifier": VERIFIER, **changed})


def authorize(stack: RunningStack, **changed: str) -> tuple[int, str, dict[str, str]]:
    return ask(stack, "GET", f"/auth/auth?{urlencode(REQUEST | changed)}")


def begin_device(stack: RunningStack) -> dict[str, str]:
    form = {name: REQUEST[name] for name in ("client_id", "scope", "code_challenge", "code_challenge_method")}
    status, body, _ = ask(stack, "POST", "/auth/device/code", urlencode(form).encode(), FORM)
    assert status == 200, body
    return json.loads(body)


def redeem_device(stack: RunningStack, begun: dict[str, str]) -> tuple[int, dict[str, str]]:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    return redeemed(
        stack, grant_type=grant, device_code=begun["device_code"], client_id="sigstore", code_verifier=VERIFIER
    )


def test_the_code_flow_ends_by_itself_when_its_url_is_fetched(stack, answering):
    status, _, headers = authorize(stack, nonce="a nonce")
    place = urlsplit(headers["Location"])
    query = parse_qs(place.query)
    assert (status, f"{place.scheme}://{place.netloc}{place.path}", query["state"]) == (303, CALLBACK, ["a state"])
    assert "Set-Cookie" not in headers
    assert redeem_code(stack, query["code"][0], code_verifier="x" * 43)[0] == 400
    status, _, headers = authorize(stack, nonce="a nonce")
    status, body = redeem_code(stack, parse_qs(urlsplit(headers["Location"]).query)["code"][0])
    assert status == 200, body
    assert (said(body["id_token"])["email"], said(body["id_token"])["nonce"]) == (CAROL, "a nonce")
    assert certified(stack, body["id_token"], CAROL)[0] == 200


def test_the_device_flow_ends_by_itself_when_its_url_is_fetched(stack, answering):
    begun = begin_device(stack)
    assert redeem_device(stack, begun)[0] == 400  # nobody has opened the page yet
    place = urlsplit(begun["verification_uri_complete"])
    status, page, headers = ask(stack, "GET", f"{place.path}?{place.query}")
    assert (status, CAROL in page, "<form" in page, "Set-Cookie" in headers) == (200, True, False, False)
    status, body = redeem_device(stack, begun)
    assert status == 200, body
    assert said(body["id_token"])["email"] == CAROL
    assert ask(stack, "GET", f"{place.path}?{place.query}")[0] == 404  # a user code is good once


def test_out_of_band_the_code_stands_on_the_page_at_once(stack, answering):
    status, page, _ = authorize(stack, redirect_uri=OOB)
    assert (status, "<form" in page, CAROL in page) == (200, False, True)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"redirect_uri": "https://evil.example/"}, ""),
        ({"client_id": "nobody"}, ""),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "email"}, "invalid_scope"),
        ({"max_age": "x"}, "invalid_request"),
    ],
)
def test_what_is_refused_with_a_page_is_refused_without_one(stack, answering, changed, error):
    status, _, headers = authorize(stack, **changed)
    assert "code=" not in headers.get("Location", "")
    found = parse_qs(urlsplit(headers.get("Location", "")).query).get("error", [""])
    assert (status, found) == (303 if error else 400, [error])


def test_pages_come_back_when_it_is_ended(stack):
    assert ask(stack, "PUT", "/_ctl/login", {"email": CAROL})[0] == 200
    assert authorize(stack)[0] == 303
    assert ask(stack, "DELETE", "/_ctl/login")[0] == 204
    status, page, _ = authorize(stack)
    assert (status, "<form" in page) == (200, True)


@pytest.mark.parametrize("body", [{"email": ""}, {"email": "not an email"}, {}, {"email": CAROL, "password": "x"}, []])
def test_nobody_is_logged_in_as_nobody(stack, body):
    assert ask(stack, "PUT", "/_ctl/login", body)[0] == 400
    assert authorize(stack)[0] == 200


def test_the_page_offers_a_click_for_each_person_that_is_known(stack):
    assert ask(stack, "POST", "/_ctl/user", {"email": "dora@example.com", "password": "a long password"})[0] == 200
    _, page, _ = authorize(stack)
    buttons = [a["value"] for tag, a in Html(page).elements if tag == "button" and a.get("name") == "as"]
    assert buttons == ["dora@example.com", ALICE, "bob@example.com"]
    assert page.count("UNTRUSTED") == 2


def test_every_worker_knows_of_an_issuer_and_of_its_end_at_once(tmp_path):
    with running_stack(tmp_path, "--ephemeral", "--control", "--workers", "2") as stack:
        for _ in range(3):
            assert ask(stack, "PUT", "/_ctl/issuers/one")[0] == 200
            token = order(stack, issuer="one", email=ALICE)
            assert {certified(stack, token)[0] for _ in range(6)} == {200}
            assert ask(stack, "DELETE", "/_ctl/issuers/one")[0] == 204
            assert {certified(stack, token)[0] for _ in range(6)} == {400}
        assert ask(stack, "PUT", "/_ctl/login", {"email": CAROL})[0] == 200
        assert {authorize(stack)[0] for _ in range(6)} == {303}


# --- and nowhere else ----------------------------------------------------------------------------------------------
def test_without_the_control_api_nothing_of_it_is_there(tmp_path):
    with running_stack(tmp_path, "--ephemeral") as plain:
        asked = [
            ("POST", "/_ctl/token", {"email": ALICE, "wrong": "key"}),
            ("PUT", "/_ctl/issuers/one", {}),
            ("DELETE", "/_ctl/issuers/one", None),
            ("GET", "/_ctl/issuers/one/keys", None),
            ("GET", "/_ctl/issuers/one/.well-known/openid-configuration", None),
            ("PUT", "/_ctl/login", {"email": ALICE}),
            ("DELETE", "/_ctl/login", None),
        ]
        assert {ask(plain, *one)[0] for one in asked} == {404}
        status, page, _ = authorize(plain)
        assert (status, 'name="as"' in page, "No password is asked for" in page) == (200, False, False)
        done = sigbox("token", "--url", plain.url, "--email", ALICE, "--wrong", "key")
        assert (done.returncode, "start the stack with --ephemeral --control" in done.stderr) == (3, True)
