# SPDX-License-Identifier: Apache-2.0
"""``sigbox issuer`` on a running stack: rows are taken up without a restart, keys are found by discovery, refusals say why."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import jwt
import pytest

from sigcore import keys
from sigcore.strict import encode_base64
from stack.cli import issuer as issuer_command
from stack.cli import main
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.ca.test_hostile import KEY as PROOF_KEY
from tests.unit.ca.test_hostile import PEM
from tests.unit.ca.tls_pair import make_tls_authority
from tests.unit.ca.tokens import b64

KEY = keys.generate_p256()
AUTHORITY = make_tls_authority()
JOB = "https://git.corp.example/build/app/.gitlab-ci.yml@refs/heads/main"


def jwks() -> bytes:
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "ci", "use": "sig"}
    return json.dumps({"keys": [jwk]}).encode()


class Provider(http.server.BaseHTTPRequestHandler):
    """Discovery and keys, and a note of each request."""

    asked: list[str]
    url: str

    def do_GET(self) -> None:
        self.asked.append(self.path)
        documents = {
            "/.well-known/openid-configuration": json.dumps(
                {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
            ).encode(),
            "/keys": jwks(),
        }
        body = documents.get(self.path, b"")
        self.send_response(200 if body else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments) -> None:
        """Nothing on standard error."""


@contextlib.contextmanager
def provider() -> Iterator[type[Provider]]:
    """An OpenID provider over HTTPS, with a certificate of an authority that nobody knows."""
    handler = type("Handler", (Provider,), {"asked": [], "url": ""})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = AUTHORITY.server.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    handler.url = f"https://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("issuer"), "--ephemeral", "--log-format", "json") as running:
        yield running


def token(url: str, key=KEY, **changes) -> str:
    now = int(time.time())
    claims = {"iss": url, "sub": "u1", "aud": "sigstore", "iat": now, "exp": now + 300} | changes
    return jwt.encode(claims, key, "ES256", {"kid": "ci"})


def ask(stack: RunningStack, text: str, name: str, identifier: str = "test-request-1") -> tuple[int, str]:
    """(status, the certificate or the reason)."""
    proof = keys.sign(PROOF_KEY, name.encode())
    body = {"publicKeyRequest": {"publicKey": {"content": PEM}, "proofOfPossession": encode_base64(proof)}}
    request = urllib.request.Request(
        f"{stack.url}/api/v2/signingCert",
        json.dumps(body).encode(),
        {"Authorization": f"Bearer {text}", "Content-Type": "application/json", "X-Request-Id": identifier},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)["signedCertificateEmbeddedSct"]["chain"]["certificates"][0]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["message"]


def until(stack: RunningStack, text: str, name: str, status: int) -> str:
    """Ask until the answer has this status: a change counts within two seconds, on a machine with other work too."""
    deadline = time.monotonic() + 60
    while True:
        found, said = ask(stack, text, name)
        if found == status:
            return said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)


def typed(*arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of ``sigbox issuer``, in this process: a start takes half a second."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = main(["issuer", *map(str, arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
    return code, output.getvalue(), errors.getvalue()


def issuer(*arguments: object) -> str:
    code, output, errors = typed(*arguments)
    assert code == 0, errors
    return output


PERSON = {"sub": "u1", "email": "a@corp.example", "email_verified": True}


def test_an_issuer_comes_and_goes_while_the_stack_runs(stack, tmp_path):
    url = "https://pinned.example"
    (tmp_path / "ci.jwks").write_bytes(jwks())
    status, said = ask(stack, token(url, **PERSON), "a@corp.example")
    assert (status, "is not accepted here" in said) == (400, True)
    issuer("add", url, "--kind", "email", "--jwks", tmp_path / "ci.jwks", "--deny", "root@*", "--data", stack.data)
    (tmp_path / "ci.jwks").unlink()  # it was copied
    assert "BEGIN CERTIFICATE" in until(stack, token(url, **PERSON), "a@corp.example", 200)
    denied = token(url, **PERSON | {"email": "root@corp.example"})
    assert "on the deny list" in ask(stack, denied, "root@corp.example")[1]
    listed = json.loads(issuer("list", "--json", "--data", stack.data))["issuers"]
    assert [(row["issuer"], row["keys"]) for row in listed][-1] == (url, "pinned")
    published = json.load(urllib.request.urlopen(f"{stack.url}/api/v2/configuration", timeout=20))["issuers"]
    assert published[-1]["issuerUrl"] == url
    issuer("remove", url, "--data", stack.data)
    assert "is not accepted here" in until(stack, token(url, **PERSON), "a@corp.example", 400)


def test_keys_are_found_by_discovery_over_tls_of_a_private_authority(stack, tmp_path):
    (tmp_path / "ca.pem").write_text(AUTHORITY.pem)
    with provider() as idp:
        issuer("add", idp.url, "--kind", "email", "--ca-file", tmp_path / "ca.pem", "--data", stack.data)
        until(stack, token(idp.url, **PERSON), "a@corp.example", 200)
        assert idp.asked == ["/.well-known/openid-configuration", "/keys"]
        for number in range(50):
            forged = token(idp.url, keys.generate_p256(), **PERSON)
            assert ask(stack, forged, "a@corp.example", f"forged-token-{number}")[0] == 400
        assert len(idp.asked) == 2
        text = issuer("test", token(idp.url, **PERSON), "--data", stack.data)
        assert f"row        {idp.url} (email)" in text
        issuer("remove", idp.url, "--data", stack.data)


def test_without_that_authority_the_requester_learns_little_and_the_log_all(stack):
    with provider() as idp:
        issuer("add", idp.url, "--kind", "email", "--data", stack.data)
        said = until(stack, token(idp.url, **PERSON), "a@corp.example", 503)
        assert "cannot be read now; the CA's log says why" in said
        assert "certificate verify failed" not in said
        assert "certificate verify failed" in stack.output()
        done = sigbox("issuer", "test", token(idp.url, **PERSON), "--data", stack.data)
        assert done.returncode != 0
        assert "certificate verify failed" in done.stderr
        issuer("remove", idp.url, "--data", stack.data)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "foo"}, "aud is 'foo', expected 'sigstore'"),
        ({"exp": 1_700_000_000}, "the token has expired: exp is 1700000000, now is"),
        ({"iss": "https://unknown.example"}, "the token's issuer 'https://unknown.example' is not accepted here"),
        ({"email_verified": False}, "email_verified is not true"),
        ({"email": "a b"}, "the email 'a b' is not a plain ASCII mailbox"),
    ],
)
def test_the_requester_and_the_log_are_told_the_same_reason(stack, tmp_path, changes, reason):
    url = "https://reasons.example"
    (tmp_path / "ci.jwks").write_bytes(jwks())
    if url not in issuer("list", "--data", stack.data):
        issuer("add", url, "--kind", "email", "--jwks", tmp_path / "ci.jwks", "--data", stack.data)
        until(stack, token(url, **PERSON), "a@corp.example", 200)
    identifier = f"reason-{abs(hash(reason))}"
    status, said = ask(stack, token(url, **PERSON | changes), "a@corp.example", identifier)
    assert status == 400
    assert reason in said
    deadline = time.monotonic() + 60
    while identifier not in stack.log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    lines = [json.loads(line) for line in stack.log.read_text().splitlines() if line.startswith("{")]
    told = [line["message"] for line in lines if line.get("request") == identifier and "message" in line]
    assert told == [f"no certificate: {said}"]
    code, _, errors = typed("test", token(url, **PERSON | changes), "--data", stack.data)
    assert code == 1
    assert reason in errors


def test_no_reason_can_write_a_line_of_its_own(stack):
    header, payload = ({"alg": "ES256", "kid": "a\nb"}, {"iss": 'x\n{"level":"ERROR"}\u2028', "aud": "sigstore"})
    text = ".".join(b64(json.dumps(part).encode()) for part in (header, payload)) + ".AAAA"
    _, said = ask(stack, text, "a", "newline-request")
    assert "\n" not in said
    assert "\u2028" not in said
    assert all(line.startswith("{") for line in stack.log.read_text().splitlines() if "newline-request" in line)


FULCIO = """
define:
  - &forge "forge-job"
oidc-issuers:
  https://forge.example:
    client-id: forge
    type: ci-provider
    ci-provider: *forge
    jwks: forge.jwks
ci-issuer-metadata:
  *forge:
    default-template-values:
      url: "https://forge.example"
    extension-templates:
      build-trigger: "cause"
    subject-alternative-name-template: "{{ .url }}/{{ .job }}"
"""


def test_fulcios_own_file_as_it_is(tmp_path):
    file = tmp_path / "fulcio.yaml"
    file.write_text(FULCIO)
    (tmp_path / "forge.jwks").write_bytes(jwks())
    text = token("https://forge.example", sub="job", aud="forge", job="app/7", cause="push")
    with running_stack(tmp_path, "--ephemeral", "--config", file) as stack:
        assert ask(stack, text, "job")[0] == 200
        assert json.loads(issuer("test", text, "--json", "--config", file, "--data", stack.data)) == {
            "row": "https://forge.example",
            "kind": "ci-provider",
            "subjectAlternativeName": {"type": "Uri", "value": "https://forge.example/app/7"},
            "proofOfPossessionSigns": "job",
            "extensions": [
                {"oid": f"1.3.6.1.4.1.57264.1.{arc}", "name": name, "value": value}
                for arc, name, value in (
                    (1, "issuer", "https://forge.example"),
                    (8, "issuer", "https://forge.example"),
                    (20, "build_trigger", "push"),
                    (24, "token_subject", "job"),
                )
            ],
        }
    data = tmp_path / "data"
    assert sigbox("init", "--yes", "--data", data).returncode == 0
    issuer("add", "--from", file, "--data", data)
    issuer("add", "https://other.example", "--kind", "ci-provider", "--ci-provider", "forge-job", "--data", data)
    issuer("add", "https://*.forge.example", "--kind", "kubernetes", "--data", data)
    listed = issuer("list", "--data", data)
    assert all(url in listed for url in ("https://forge.example", "https://other.example", "https://*.forge.example"))
    assert "https://forge.example/app/7" in issuer("test", text, "--data", data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add",), "an issuer has a URL and a kind"),
        (("add", "https://a.example"), "an issuer has a URL and a kind"),
        (("add", "https://a.example", "--kind", "uri"), "has no subject domain"),
        (("add", "http://a.example", "--kind", "email"), "over plain HTTP"),
        (("add", "https://a.example", "--kind", "email", "--jwks", "absent"), "absent does not exist"),
        (("add", "https://a.example", "--kind", "email", "--value", "x"), "expected NAME=VALUE"),
        (("add", "https://a.example", "--from", "absent"), "leave the URL out"),
        (("add", "--from", "absent.yaml"), "does not exist"),
        (("remove", "https://a.example"), "have no row"),
        (("test", "@absent"), "does not exist"),
        (("test", "nonsense"), "not a signed JWT"),
        (("test", "x", "--at", "noon"), "expected a time"),
    ],
)
def test_what_is_said_to_who_types_it_wrong(stack, arguments, message):
    before = issuer("list", "--data", stack.data)
    code, _, errors = typed(*arguments, "--data", stack.data)
    assert code in (1, 2)
    assert message in errors
    assert "Traceback" not in errors
    assert issuer("list", "--data", stack.data) == before


def test_a_file_that_somebody_wrote_is_read_and_never_rewritten(tmp_path):
    data = tmp_path / "data"
    assert sigbox("init", "--yes", "--data", data).returncode == 0
    file = data / "ca" / "issuers.yaml"
    (data / "ca" / "forge.jwks").write_bytes(jwks())
    file.write_text(FULCIO)
    assert "https://forge.example" in issuer("list", "--data", data)
    for arguments in (("add", "https://a.example", "--kind", "email"), ("remove", "https://forge.example")):
        assert "was written by hand" in typed(*arguments, "--data", data)[2]
    assert file.read_text() == FULCIO


def test_the_provider_of_these_tests_is_known_to_nobody():
    """Else the tests above would pass without the option."""
    with provider() as idp, pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(f"{idp.url}/keys", timeout=10, context=ssl.create_default_context())


def test_a_row_that_cannot_be_one_is_a_usage_error_and_no_verdict(tmp_path):
    assert sigbox("init", "--data", tmp_path / "d", "--yes").returncode == 0
    code, _, said = typed("add", "https://idp.example", "--data", tmp_path / "d")
    assert (code, "an issuer has a URL and a kind" in said) == (2, True), said


def test_of_two_that_are_added_at_once_none_is_lost(tmp_path, monkeypatch):
    data = ("--data", tmp_path / "data")
    assert sigbox("init", "--yes", *data).returncode == 0
    save = issuer_command.save_document
    row = ("issuer", "add", "https://two.example", "--kind", "email", *data)
    second = threading.Thread(target=lambda: done.append(sigbox(*row).returncode))
    done = []

    def meanwhile(*arguments):
        monkeypatch.undo()
        second.start()
        second.join(3)  # it is done by then, or waits
        save(*arguments)

    monkeypatch.setattr(issuer_command, "save_document", meanwhile)
    issuer("add", "https://one.example", "--kind", "email", *data)
    second.join(60)
    assert done == [0]
    listed = issuer("list", *data)
    assert "https://one.example" in listed
    assert "https://two.example" in listed
