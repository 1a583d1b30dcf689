# SPDX-License-Identifier: Apache-2.0
"""What slips from a hand on the client's command line: an output over an input, an empty variable, standard input, Go's spelling."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from sigcore import keys, x509
from stack.cli import main
from tests.stack_process import SIGBOX, RunningStack, environment

ALICE = "alice@example.com"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a file, a predicate, a key, and nothing that says what to trust."""
    for name in ("SIGBOX_TRUST_CONFIG", "SIGBOX_TRUSTED_ROOT", "SIGBOX_SIGNING_CONFIG", "SIGBOX_POLICY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("f", "f.sigstore.json", "p", "k", "token"):
        (tmp_path / name).write_text(f'"{name}"')
    (tmp_path / "link").symlink_to("f")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sign-blob f --bundle f", "the bundle of f would be written to f, which is a file to sign, f"),
        ("sign-blob f --bundle link", "the bundle of f would be written to link, which is a file to sign, f"),
        ("sign-blob link --bundle ./f", "the bundle of link would be written to f, which is a file to sign, link"),
        ("sign-blob f --output-signature f", "the signature would be written to f, which is a file to sign"),
        ("sign-blob f --output-certificate f", "the certificate would be written to f, which is a file to sign"),
        ("sign-blob f --key k --bundle k", "the bundle of f would be written to k, which is what --key names"),
        ("sign-blob f --trust-config k --bundle k", "written to k, which is what --trust-config names"),
        ("sign-blob f --identity-token @token --bundle token", "written to token, which is what --identity-token"),
        ("sign-blob f f.sigstore.json", "the bundle of f would be written to f.sigstore.json, which is a file to sign"),
        (
            "sign-blob f --bundle x --output-signature x",
            "the signature would be written to x, which is where the bundle",
        ),
        ("attest-blob f --predicate p --bundle p", "the bundle of f would be written to p, which is what --predicate"),
    ],
)
def test_what_is_written_takes_the_place_of_nothing_that_is_read(
    folder: Path, line: str, found: str, capsys: pytest.CaptureFixture[str]
):
    (folder / "p").write_text("{}")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(line.split()) == 2
    assert found in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("command", ["sign-blob f", "sign-blob f f", "attest-blob f --predicate p"])
def test_an_own_place_is_taken(folder: Path, command: str, capsys: pytest.CaptureFixture[str]):
    (folder / "p").write_text("{}")
    assert main(command.split()) == 2
    assert "there is nothing to trust" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sign-blob f --key", "--key: it is empty"),
        ("verify-blob f --key", "--key: it is empty"),
        ("verify-blob f --trusted-root", "--trusted-root: it is empty"),
        ("verify-blob f --trust-config", "--trust-config: it is empty"),
        ("verify-blob f --policy", "--policy: it is empty"),
        ("verify-blob f --certificate-github-workflow-ref", "--certificate-github-workflow-ref: it is empty"),
    ],
)
def test_an_empty_variable_does_not_let_something_else_decide(
    folder: Path, line: str, found: str, capsys: pytest.CaptureFixture[str]
):
    assert main([*line.split(), ""]) == 2
    assert found in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("sign-blob f --key k --output-certificate c", "--key and --output-certificate are given"),
        ("verify-blob f --key k --certificate-github-workflow-ref r", "--key and --certificate-github-workflow-* are"),
        ("verify-blob-attestation f --type foo", "--type: the predicate type is 'foo'"),
        ("sign-blob /dev/null", "/dev/null is signed, and nothing says where null.sigstore.json shall be"),
        ("sign-blob -", "/dev/stdin is signed, and nothing says where stdin.sigstore.json shall be"),
        ("attest-blob - --predicate -", "are both standard input"),
        ("verify-blob - --certificate-identity a --certificate-oidc-issuer b", "and no bundle is named"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    folder: Path, line: str, found: str, capsys: pytest.CaptureFixture[str], stack: RunningStack
):
    root = ("--trusted-root", str(stack.trusted_root)) if line.startswith("verify") else ()
    assert main([*line.split(), *root]) == 2
    assert found in capsys.readouterr().err


def test_a_root_alone_names_no_services(folder: Path, stack: RunningStack, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["sign-blob", "f", "--trusted-root", str(stack.trusted_root), "--identity-token", stack.token(ALICE)]) == 2
    )
    assert "nothing says which services to ask" in capsys.readouterr().err


def test_switches_are_taken_in_the_spelling_of_go(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["sign-blob", "nofile", "--yes=true", "--json=true"]) == 2
    assert '"exitCode": 2' in capsys.readouterr().out
    assert main(["sign-blob", "nofile", "--yes=false", "--json=false"]) == 2
    assert not capsys.readouterr().out
    assert main(["bundle", "inspect", "nofile", "--json=true"]) == 2
    assert '"exitCode": 2' in capsys.readouterr().out
    assert main(["sign-blob", "nofile", "--yes=maybe"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["sign-blob", "--", "--yes=true"]) == 2  # a file of that name
    assert "there is nothing to trust" in capsys.readouterr().err


def test_standard_input_is_signed_and_verified(stack: RunningStack, folder: Path):
    trust = {"SIGBOX_TRUST_CONFIG": str(stack.trust_config)}
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    token = ("--identity-token", stack.token(ALICE))

    def run(given: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*SIGBOX, *arguments], input=given, cwd=folder, env=environment(**trust), capture_output=True, check=False
        )

    done = run(b"hello", "sign-blob", "-", "--bundle", "in.json", "--explain=json", *token)
    assert done.returncode == 0, done.stderr
    assert run(b"hello", "verify-blob", "-", "--bundle", "in.json", *who).returncode == 0
    assert run(b"hullo", "verify-blob", "-", "--bundle", "in.json", *who).returncode == 1
    done = run(b'{"a": 1}', "attest-blob", "f", "--predicate", "-", "--bundle", "att.json", *token)
    assert done.returncode == 0, done.stderr
    done = run((folder / "f").read_bytes(), "verify-blob-attestation", "-", "--bundle", "att.json", *who)
    assert done.returncode == 0, done.stderr


def test_a_key_whose_signatures_repeat_is_told_what_to_do_where_the_log_has_its_entry(
    stack: RunningStack, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SIGBOX_TRUST_CONFIG", str(stack.trust_config))
    key = rsa.generate_private_key(65537, 2048)
    (folder / "k").write_bytes(keys.encode_private_key(key))
    assert main(["sign-blob", "f", "--key", "k", "--rekor-version", "2"]) == 0
    before = (folder / "f.sigstore.json").read_bytes()
    assert main(["sign-blob", "f", "--key", "k", "--rekor-version", "2"]) == 3
    assert "the same key has signed the same content before" in capsys.readouterr().err
    assert (folder / "f.sigstore.json").read_bytes() == before
    for _ in range(2):
        assert main(["sign-blob", "f", "--key", "k", "--rekor-version", "1"]) == 0


WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that it is refused is the test


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256K1()), WEAK])
def test_a_key_that_nobody_would_believe_is_a_usage_error(
    folder: Path, key: keys.PrivateKey, capsys: pytest.CaptureFixture[str], stack: RunningStack
):
    (folder / "k").write_bytes(keys.encode_private_key(key))
    assert main(["sign-blob", "f", "--key", "k", "--trust-config", str(stack.trust_config)]) == 2
    assert "the key k is" in capsys.readouterr().err
    assert main(["import-key-pair", "--key", "k"]) == 2
    assert "the key k is" in capsys.readouterr().err
    assert not (folder / "import-cosign.key").exists()


@pytest.mark.parametrize("columns", ["0", "-5", "1", "2", "19"])
@pytest.mark.parametrize("command", ["verify-blob", "bundle create"])
def test_help_is_shown_on_a_terminal_of_no_size(
    columns: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*command.split(), "--help"])
    assert capsys.readouterr().out.startswith("usage: sigbox")


def test_one_of_several_files_that_is_not_there_keeps_all_from_being_signed(
    stack: RunningStack, folder: Path, capsys: pytest.CaptureFixture[str]
):
    for name in ("one", "two"):
        (folder / name).write_text(name)
    given = ["--identity-token", stack.token("alice@example.com"), "--trust-config", str(stack.trust_config)]
    assert main(["sign-blob", "one", "absent", "two", *given]) == 2
    said = capsys.readouterr().err
    assert ("absent, one of several" in said, "nothing was signed" in said) == (True, True)
    assert not (folder / "one.sigstore.json").exists()
    assert main(["sign-blob", "one", "two", *given]) == 0


def test_what_is_no_file_is_not_written_to(folder: Path, capsys: pytest.CaptureFixture[str]):
    for option in ("--bundle", "--output-signature"):
        assert main(["sign-blob", "f", option, "/dev/full"]) == 2
        assert "is no regular file\n  hint: give another place; nothing was signed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("public-key --key k --outfile k", "the public key would be written to k, which is what --key names"),
        ("timestamp create f --out f", "the timestamp would be written to f, which is FILE itself"),
        (
            "bundle create --artifact f --signature s --key p --ignore-tlog --out f",
            "to f, which is what --artifact names",
        ),
        ("bundle create --artifact f --signature s --key p --entry e --out e", "to e, which is what --entry names"),
        ("trusted-root create --fulcio url=https://a,certificate-chain=chain --out chain", "the certificate-chain of"),
    ],
)
def test_no_output_of_other_commands_takes_the_place_of_what_it_is_made_of(
    folder: Path, line: str, found: str, capsys: pytest.CaptureFixture[str], stack: RunningStack
):
    (folder / "k").write_bytes(keys.encode_private_key(keys.generate_p256()))
    chain = json.loads(stack.trusted_root.read_text())["certificateAuthorities"][0]["certChain"]["certificates"]
    pem = (x509.encode_certificate_pem(base64.b64decode(one["rawBytes"])) for one in chain)
    (folder / "chain").write_text("".join(pem))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(line.split()) == 2
    assert found in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


class Portal(BaseHTTPRequestHandler):
    """What answers in the place of a service: a page, whatever is asked."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", "13")
        self.end_headers()
        self.wfile.write(b"<h1>Log in!</")

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Portal) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("option", "service", "version"),
    [
        ("--fulcio-url", "the certificate authority", "1"),
        ("--fulcio-url", "the certificate authority", "2"),
        ("--rekor-url", "the transparency log", "1"),
        ("--rekor-url", "the transparency log", "2"),
        ("--timestamp-server-url", "the timestamp authority", "2"),
    ],
)
def test_a_page_in_the_place_of_an_answer_is_the_services_fault_and_the_place_is_named(
    folder: Path,
    stack: RunningStack,
    portal: str,
    option: str,
    service: str,
    version: str,
    capsys: pytest.CaptureFixture[str],
):
    given = ("--trust-config", str(stack.trust_config), "--identity-token", stack.token(ALICE))
    arguments = ["sign-blob", "f", "--bundle", "new.json", "--rekor-version", version, *given]
    assert main([*arguments, "--json", option, portal]) == 3
    told = capsys.readouterr()
    assert f"{service} at {portal}" in told.err
    assert json.loads(told.out)["exitCode"] == 3
    assert not (folder / "new.json").exists()


@pytest.mark.parametrize(
    ("line", "service"),
    [
        ("timestamp create f --out new.tsr --timestamp-server {}", "the timestamp authority at {}/api/v1/timestamp"),
        ("login --flow device --oidc-issuer {}", "the OpenID provider at {}/.well-known/openid-configuration"),
        ("token --url {} --email alice@example.com", "the stack at {}"),
        ("fault list --url {}", "the stack at {}"),
    ],
)
def test_so_it_is_for_those_who_sign_nothing(
    folder: Path, portal: str, line: str, service: str, capsys: pytest.CaptureFixture[str]
):
    assert main(line.format(portal).split()) == 3
    assert f"{service.format(portal)} gave another answer than such a service does" in capsys.readouterr().err
    assert not (folder / "new.tsr").exists()


def test_a_file_that_is_elsewhere_is_attested_by_its_digest_as_the_refusal_of_hash_says(
    stack: RunningStack, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SIGBOX_TRUST_CONFIG", str(stack.trust_config))
    (folder / "p").write_text("{}")
    digest = f"sha256:{hashlib.sha256((folder / 'f').read_bytes()).hexdigest()}"
    given = ("--predicate", "p", "--identity-token", stack.token(ALICE))
    assert main(["attest-blob", digest, *given, "--bundle", "a.json"]) == 0
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    assert main(["verify-blob-attestation", "f", "--bundle", "a.json", *who]) == 0
    capsys.readouterr()
    assert main(["attest-blob", digest, *given]) == 2
    assert "is a digest, which has nothing beside it" in capsys.readouterr().err
    assert main(["attest-blob", f"sha512:{'a' * 128}", *given, "--bundle", "b.json"]) == 2
    assert "is no digest by sha256" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["generate-key-pair", "import-key-pair --key k"])
def test_a_pair_of_keys_has_a_name(folder: Path, command: str, capsys: pytest.CaptureFixture[str]):
    assert main([*command.split(), "--output-key-prefix", ""]) == 2
    assert "--output-key-prefix: it is empty" in capsys.readouterr().err


def test_a_root_is_not_fetched_from_where_it_would_be_trusted(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["initialize", "--mirror", "http://localhost:1/tuf", "--root", "http://localhost:1/tuf/1.root.json"]) == 2
    )
    assert "--root is a URL: what is fetched is not trusted on first use" in capsys.readouterr().err
