# SPDX-License-Identifier: Apache-2.0
"""Flow and lessons at a stack with the control API: real signatures through its services, and every attack ends where it must."""

from __future__ import annotations

import html
import io
import re
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from stack.web.console.course import LESSONS
from tests.missing import needs
from tests.payloads import PRINTABLE, Elements
from tests.stack_process import RunningStack, running_stack, sigbox

STEPS = (
    *("token", "key", "proof of possession", "precertificate", "SCT", "certificate", "identity", "digest", "signature"),
    *("timestamp", "entry", "leaf hash", "path", "checkpoint"),
)
ATTACKS = [(lesson.name, attack.name, attack.caught) for lesson in LESSONS.values() for attack in lesson.attacks]
NAMED = {"text": "what its author meant", "identity": "alice@example.com"}


class Page(NamedTuple):
    status: int
    url: str
    body: bytes
    headers: dict[str, str]

    @property
    def text(self) -> str:
        return html.unescape(self.body.decode())


def ask(url: str, fields: dict[str, str] | None = None, **headers: str) -> Page:
    """A GET, or a form; redirects are followed as a browser does."""
    body = None if fields is None else urllib.parse.urlencode(fields, errors="surrogatepass").encode()
    request = urllib.request.Request(
        url, data=body, headers={name.replace("_", "-"): one for name, one in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return Page(answer.status, answer.url, answer.read(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.url, error.read(), dict(error.headers))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory):
    with running_stack(tmp_path_factory.mktemp("lessons"), "--ephemeral", "--control") as running:
        yield running


@pytest.fixture(scope="module")
def exercises(stack: RunningStack) -> dict[str, str]:
    """Lesson -> the page of its exercise."""
    pages = {name: ask(f"{stack.url}/lessons/{name}", NAMED) for name in LESSONS}
    assert {page.status for page in pages.values()} == {200}
    return {name: page.url for name, page in pages.items()}


# --- the flow ----------------------------------------------------------------------------------------
def test_a_signing_is_shown_with_every_step_in_its_order(stack: RunningStack):
    page = ask(f"{stack.url}/flow", NAMED)
    assert page.status == 200
    assert tuple(re.findall(r"<h3>(.*?) <small>holds", page.text)) == STEPS
    assert page.text.count("Who could lie here:") == len(STEPS)
    assert "openssl" in page.text
    assert "alice@example.com" in page.text


@needs("openssl", "openssl")
def test_the_archive_of_a_signing_checks_itself_and_notices_a_change(stack: RunningStack, tmp_path: Path):
    page = ask(f"{stack.url}/flow", {**NAMED, "text": "one\r\ntwo"})
    archive = ask(f"{page.url}/signing.zip")
    assert archive.headers["Content-Disposition"].startswith("attachment")
    with zipfile.ZipFile(io.BytesIO(archive.body)) as files:
        files.extractall(tmp_path)
    assert (tmp_path / "artifact.txt").read_bytes() == b"one\ntwo"

    def check() -> int:
        return subprocess.run(["sh", "check.sh"], cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode

    assert check() == 0
    (tmp_path / "artifact.txt").write_bytes(b"one\ntwO")
    assert check() != 0


def test_the_bundle_of_the_archive_verifies_with_the_client(stack: RunningStack, tmp_path: Path):
    page = ask(f"{stack.url}/flow", NAMED)
    with zipfile.ZipFile(io.BytesIO(ask(f"{page.url}/signing.zip").body)) as files:
        files.extractall(tmp_path)
    who = ("--certificate-identity", "alice@example.com", "--certificate-oidc-issuer", stack.oidc_issuer)
    done = sigbox("verify-blob", "artifact.txt", "--trusted-root", stack.trusted_root, *who, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_token_is_nowhere_whole(stack: RunningStack):
    """Its signature would make a credential of it."""
    page = ask(f"{stack.url}/flow", NAMED)
    with zipfile.ZipFile(io.BytesIO(ask(f"{page.url}/signing.zip").body)) as files:
        contents = [page.body, *(files.read(name) for name in files.namelist())]
    unsigned = next(one for one in contents if one.startswith(b"eyJ")).strip()
    assert not any(unsigned + b"." in one for one in contents)


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_entry_proves_by_itself_what_it_can(stack: RunningStack, tmp_path: Path, version: str):
    (tmp_path / "file").write_text(f"by the client, {version}")
    options = ("--trust-config", stack.trust_config, "--rekor-version", version, "--json")
    done = sigbox("sign-blob", "file", "--identity-token", stack.token("bob@example.com"), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = re.search(r'"logIndex": (\d+)', done.stdout)
    assert found is not None
    path = f"/flow/entries/{'rekor' if version == '2' else 'rekor-v1'}/{found[1]}"
    page = ask(f"{stack.url}{path}")
    assert "Every check holds." in page.text
    held = re.findall(r"<h3>(.*?) <small>holds", page.text)
    assert held == [
        *("digest", "key", "certificate", "precertificate", "SCT", "identity"),
        *("entry", "checkpoint", "leaf hash", "path", "signature"),
    ]
    live = ask(f"{stack.url}/flow/live").text
    assert path in live
    assert "bob@example.com" in live


def test_a_signing_that_is_not_there_is_404(stack: RunningStack):
    assert ask(f"{stack.url}/flow/AAAA").status == 404
    assert ask(f"{stack.url}/flow/AAAA/signing.zip").status == 404


def test_a_stack_with_tls_reaches_itself(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral", "--control", "--tls", "auto") as secured:
        trusted = ssl.create_default_context(cafile=str(secured.data / "public" / "tls_ca.pem"))
        body = urllib.parse.urlencode(NAMED).encode()
        with urllib.request.urlopen(f"{secured.url}/flow", data=body, timeout=60, context=trusted) as answer:
            assert answer.status == 200
            assert answer.url.startswith("https:")


# --- the lessons -------------------------------------------------------------------------------------
@pytest.mark.parametrize("lesson", LESSONS)
def test_what_was_made_holds_before_anybody_breaks_it(exercises, lesson):
    page = ask(exercises[lesson])
    assert "Every check holds." in page.text
    assert "does not hold" not in page.text


@pytest.mark.parametrize(("lesson", "attack", "caught"), ATTACKS)
def test_an_attack_is_caught_at_the_check_that_its_lesson_names(exercises, lesson, attack, caught):
    page = ask(f"{exercises[lesson]}?attack={attack}")
    assert page.status == 200
    assert re.findall('id="caught">(.*?)<', page.text) == ([caught] if caught else [])
    assert re.findall(r"<h3>(.*?) <small>does not hold", page.text) == ([caught] if caught else [])
    assert ("Nothing catches it." in page.text) is not bool(caught)
    assert "Every check holds." in ask(exercises[lesson]).text  # an attack changes nothing of the exercise


def test_only_the_first_two_lessons_have_attacks_that_nothing_catches():
    assert [(lesson, attack) for lesson, attack, caught in ATTACKS if not caught] == [
        ("checksum", "both"),
        ("key", "impostor"),
    ]


def test_the_demand_is_for_somebody_else_whoever_signs(stack: RunningStack):
    page = ask(f"{stack.url}/lessons/keyless", {**NAMED, "identity": "carol@example.com"})
    assert "Every check holds." in page.text
    assert 'id="caught">identity<' in ask(f"{page.url}?attack=somebody").text


def test_provenance_names_source_commit_and_build_file(exercises):
    page = ask(exercises["provenance"]).text
    for text in ("https://github.com/octo-org/octo-app", "62e75e713f4d1a6b1d5d0ae5f8d3bdb3fa2a6b5c", "release.yml"):
        assert text in page
    assert "another source" not in page
    forged = ask(f"{exercises['provenance']}?attack=commit").text
    assert "0" * 40 in forged
    assert "another source than the certificate" in forged


def test_a_reset_forgets_the_exercise_and_no_other(stack: RunningStack, exercises):
    page = ask(f"{stack.url}/lessons/checksum", NAMED)
    reset = ask(page.url, {})
    assert (reset.status, reset.url) == (200, f"{stack.url}/lessons/checksum")
    assert ask(page.url).status == 404
    assert ask(exercises["checksum"]).status == 200


def test_an_exercise_belongs_to_its_lesson(stack: RunningStack, exercises):
    name = exercises["checksum"].rpartition("/")[2]
    assert ask(f"{stack.url}/lessons/keyless/{name}").status == 404
    assert ask(f"{exercises['checksum']}?attack=rogue").status == 400


# --- what readers type -------------------------------------------------------------------------------
GARBAGE = [
    {},
    {"text": "", "identity": "alice@example.com"},
    {"text": " \r\n ", "identity": "alice@example.com"},
    {"text": "a" * 4097, "identity": "alice@example.com"},
    {"text": "a", "identity": ""},
    {"text": "a", "identity": "nobody"},
    {"text": "a", "identity": "a\x00@example.com"},
    {"text": "a", "identity": "a@example.com\r\nX: y"},
    {"text": "a", "identity": "\udc80@example.com"},
    {"text": "a", "identity": "a" * 400 + "@example.com"},
    {"text": "a", "identity": '"<img/src=x>"@example.com'},
    {"text": "a", "identity": "ünï@example.com"},
]


@pytest.mark.parametrize("fields", GARBAGE)
@pytest.mark.parametrize("path", ["/flow", "/lessons/keyless", "/lessons/image"])
def test_garbage_is_the_readers_fault_and_said(stack: RunningStack, path, fields):
    page = ask(f"{stack.url}{path}", fields)
    assert page.status == 400
    assert "Not shown" in page.text


@pytest.mark.parametrize("text", ["\ud800", "\x00\x01", "\u202e", "a" * 4096])
def test_any_text_can_be_signed(stack: RunningStack, text):
    for path in ("/flow", "/lessons/checksum", "/lessons/image"):
        page = ask(f"{stack.url}{path}", {**NAMED, "text": text})
        assert page.status == 200, page.text
        assert "\u202e" not in page.text  # nothing that a reader types turns the page around


NO_FORMS = [
    ("application/json", b"{"),
    ("multipart/form-data", b"nonsense"),
    ("multipart/form-data; boundary=x", b"nonsense"),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--"),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="text"\r\nContent-Type: a/b; charset=none\r\n\r\na\r\n--x--',
    ),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="text"\r\nContent-Transfer-Encoding: z\r\n\r\na\r\n--x--',
    ),
    ("application/x-www-form-urlencoded; charset=none", b"text=a"),
    ("application/x-www-form-urlencoded; charset=utf-8", b"\xff\xfe=\xff"),
]


@pytest.mark.parametrize(("kind", "body"), NO_FORMS)
@pytest.mark.parametrize("path", ["/flow", "/lessons/keyless", "/inspect"])
def test_a_form_that_is_no_form_is_refused(stack: RunningStack, path, kind, body):
    request = urllib.request.Request(f"{stack.url}{path}", data=body, headers={"Content-Type": kind})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    refused.value.close()
    assert 400 <= refused.value.code < 500


@pytest.mark.parametrize("path", ["/flow", "/lessons/keyless", "/lessons/keyless/x"])
def test_a_form_of_another_site_is_refused_w07(stack: RunningStack, path):
    page = ask(f"{stack.url}{path}", NAMED, Sec_Fetch_Site="cross-site")
    assert page.status == 403
    assert "another site" in page.text


@pytest.mark.parametrize("payload", PRINTABLE[::8])
@pytest.mark.parametrize("path", ["/flow", *(f"/lessons/{name}" for name in LESSONS)])
def test_no_payload_that_is_typed_becomes_markup_w01(stack: RunningStack, path, payload):
    signed = ask(f"{stack.url}{path}", {"text": payload, "identity": "alice@example.com"})
    assert signed.status == 200
    pages = [signed, ask(f"{signed.url}?lang=ja")]
    if path != "/flow":
        pages.append(ask(f"{signed.url}?attack={urllib.parse.quote(payload, safe='')}"))
    pages.append(ask(f"{stack.url}{path}", {"text": "a", "identity": payload}))
    for page in pages:
        assert page.status < 500
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        seen = Elements(page.body.decode())
        assert seen.handlers == []
        assert seen.tags.isdisjoint({"img", "svg", "iframe", "object", "embed", "script"})
        assert all(link.startswith(("/", "#")) for link in seen.links), seen.links
    assert payload in pages[0].text
