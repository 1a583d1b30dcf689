# SPDX-License-Identifier: Apache-2.0
"""Our program for Sigstore's KMS plugin protocol, asked as a caller would and as none should. With cosign: tests/interop/test_kms.py."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils

from sigcore import keys
from sigcore.algorithms import HashAlgorithm
from sigcore.errors import NotFound, Refused, SigError
from sigcore.keys import PrivateKey
from sigcore.kms import Method, Request
from stack.kms.plugin import main, respond
from tests import kms_program
from tests.soft_token import SoftToken, soft_token
from tests.stack_process import ROOT

MESSAGE = b"what is signed"
SHA256, SHA384 = hashlib.sha256(MESSAGE).digest(), hashlib.sha384(MESSAGE).digest()
KEY = keys.generate_p256()


def nothing() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "of no use to anybody")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    with soft_token(tmp_path_factory.mktemp("hsm")) as made:
        yield made


def saved(folder: Path, key: PrivateKey = KEY, name: str = "release") -> str:
    """Without a password, which takes a third of a second to use."""
    (folder / f"{name}.key").write_bytes(keys.encode_private_key(key))
    (folder / f"{name}.pub").write_text(keys.encode_public_key_pem(key.public_key()))
    return str(folder / f"{name}.key")


def verified(key: PrivateKey, signature: bytes, digest: bytes, hashing: HashAlgorithm) -> None:
    keys.verify_digest(key.public_key(), signature, digest, what="it", hashing=hashing)


@pytest.mark.parametrize(
    ("key", "asked", "given", "digest"),
    [
        (KEY, Request(Method.SIGN, ""), MESSAGE, SHA256),
        (KEY, Request(Method.SIGN, "", digest=SHA256), b"", SHA256),
        (KEY, Request(Method.SIGN, "", digest=SHA256), MESSAGE, SHA256),
        (KEY, Request(Method.SIGN, "", None), MESSAGE, SHA256),
        (ec.generate_private_key(ec.SECP384R1()), Request(Method.SIGN, "", digest=SHA384), MESSAGE, SHA384),
        (ec.generate_private_key(ec.SECP384R1()), Request(Method.SIGN, "", None), MESSAGE, SHA384),
        (ec.generate_private_key(ec.SECP384R1()), Request(Method.SIGN, ""), MESSAGE, SHA256),
        (rsa.generate_private_key(65537, 2048), Request(Method.SIGN, ""), MESSAGE, SHA256),
    ],
    ids=["message", "digest", "both", "key's hash", "P-384 digest", "P-384 key's hash", "P-384 caller's hash", "RSA"],
)
def test_a_message_or_its_digest_is_signed_and_verified(
    tmp_path: Path, key: PrivateKey, asked: Request, given: bytes, digest: bytes
):
    resource = saved(tmp_path, key)
    hashing = HashAlgorithm.SHA2_256 if digest == SHA256 else HashAlgorithm.SHA2_384

    def ask(method: Method, message: bytes, signature: bytes = b"") -> bytes:
        request = Request(method, resource, asked.hashing, "", asked.digest, asked.digest_hashing, signature)
        return respond(request, io.BytesIO(message)).signature

    signature = ask(Method.SIGN, given)
    verified(key, signature, digest, hashing)
    assert ask(Method.VERIFY, given, signature) == b""
    with pytest.raises(Refused, match="the signature does not verify"):
        ask(Method.VERIFY, given, signature[:-1] + bytes((signature[-1] ^ 1,)))


def test_a_key_file_is_made_once_and_its_public_half_needs_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    resource = str(tmp_path / "new.key")
    made = respond(Request(Method.CREATE_KEY, resource, algorithm="ecdsa-p256"), nothing()).public_key
    assert (tmp_path / "new.pub").read_bytes() == made
    assert (tmp_path / "new.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Refused, match=r"new\.key is already there"):
        respond(Request(Method.CREATE_KEY, resource, algorithm="ecdsa-p256"), nothing())
    monkeypatch.setenv("COSIGN_PASSWORD", "a wrong one")
    assert respond(Request(Method.PUBLIC_KEY, resource), nothing()).public_key == made
    with pytest.raises(Refused, match="cannot be decrypted"):
        respond(Request(Method.SIGN, resource), io.BytesIO(MESSAGE))
    (tmp_path / "new.pub").unlink()
    with pytest.raises(Refused, match="cannot be decrypted"):
        respond(Request(Method.PUBLIC_KEY, resource), nothing())
    monkeypatch.setenv("COSIGN_PASSWORD", "of no use to anybody")
    assert respond(Request(Method.PUBLIC_KEY, resource), nothing()).public_key == made


def test_a_public_key_that_belongs_to_another_is_noticed_before_anything_is_signed(tmp_path: Path):
    resource = saved(tmp_path)
    saved(tmp_path, keys.generate_p256(), "other")
    (tmp_path / "other.pub").rename(tmp_path / "release.pub")
    with pytest.raises(Refused, match=r"release\.pub is not the public key of"):
        respond(Request(Method.SIGN, resource), io.BytesIO(MESSAGE))


def test_a_key_in_a_token_is_made_found_and_signs(token: SoftToken):
    resource = token.uri("of-the-plugin")
    with pytest.raises(NotFound, match="of-the-plugin"):
        respond(Request(Method.PUBLIC_KEY, resource), nothing())
    made = respond(Request(Method.CREATE_KEY, resource, algorithm="ecdsa-p256"), nothing()).public_key
    again = respond(Request(Method.CREATE_KEY, resource, algorithm="ecdsa-p256"), nothing()).public_key
    assert made == again == respond(Request(Method.PUBLIC_KEY, resource), nothing()).public_key
    signature = respond(Request(Method.SIGN, resource, digest=SHA256), nothing()).signature
    public = keys.parse_public_key_pem(made)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, SHA256, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(Method.SIGN, "ed.key"), "Ed25519"),
        (Request(Method.SIGN, "release.key", digest=b"short"), "the digest has 5 bytes"),
        (Request(Method.SIGN, "release.key", digest=SHA256, digest_hashing=HashAlgorithm.SHA2_512), "expected the 64"),
        (Request(Method.SIGN, "absent.key"), "absent.key cannot be read"),
        (Request(Method.SIGN, ""), "names no key"),
        (Request(Method.SIGN, "pkcs11:object=x"), "names no token"),
        (Request(Method.CREATE_KEY, "new.key", algorithm="rsa-2048"), "expected ecdsa-p256"),
        (Request(Method.CREATE_KEY, "new.pem", algorithm="ecdsa-p256"), "does not end with .key"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.method.value,
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: Request, says: str):
    saved(tmp_path)
    saved(tmp_path, ed25519.Ed25519PrivateKey.generate(), "ed")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SigError) as raised:
        respond(request_, io.BytesIO(MESSAGE))
    assert says in str(raised.value)


# --- as a process ---------------------------------------------------------------------------------------
OPTIONS = {"protocolVersion": "v1", "keyResourceID": "release.key", "hashFunc": 5, "rpcOptions": {"keyVersion": ""}}


def asked(folder: Path, *arguments: str, message: bytes = b"") -> tuple[int, dict[str, Any]]:
    program = kms_program.install_ours(folder)
    done = subprocess.run(
        [program, *arguments], cwd=folder, input=message, capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_process_speaks_the_protocol_as_go_writes_it(tmp_path: Path):
    """With the spellings of Go's encoder: null for a digest that is not there, times with nanoseconds, members of later versions."""
    saved(tmp_path)
    options = {"rpcOptions": {"remoteVerification": False}, "messageOptions": {"digest": None}, "later": 1}
    due = {"ctxDeadline": "2125-04-01T02:47:00.123456789+02:00"}
    question = {"initOptions": OPTIONS | due, "methodName": "signMessage", "signMessage": {"signOptions": options}}
    code, answer = asked(tmp_path, "v1", json.dumps(question), message=MESSAGE)
    assert code == 0, answer
    verified(KEY, base64.b64decode(answer["signMessage"]["signature"]), SHA256, HashAlgorithm.SHA2_256)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("v2", json.dumps({"initOptions": OPTIONS, "methodName": "publicKey"})), "speaks version v1"),
        (
            ("v1", json.dumps({"initOptions": OPTIONS | {"protocolVersion": "v2"}, "methodName": "publicKey"})),
            "version 'v2'",
        ),
        (("v1", json.dumps({"initOptions": OPTIONS | {"hashFunc": 3}, "methodName": "publicKey"})), "Go's number 3"),
        (("v1", json.dumps({"initOptions": OPTIONS, "methodName": "signMessage"})), "signMessage is missing"),
        (("v1", json.dumps({"initOptions": OPTIONS, "methodName": "destroyKey"})), "the method is 'destroyKey'"),
        (("v1", "hello"), "not JSON"),
        (("v1",), "and are 1"),
    ],
    ids=["other version", "other version inside", "SHA-1", "no arguments", "other method", "no JSON", "one argument"],
)
def test_a_question_that_it_does_not_know_is_answered_with_an_error(
    tmp_path: Path, arguments: tuple[str, ...], says: str
):
    code, answer = asked(tmp_path, *arguments)
    assert code == 1
    assert says in answer["errorMessage"]


AS_SIGBOX = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from stack.cli import main; sys.exit(main())"
"""As the executable of ``make binary`` by its other name: it is ``sigbox``, and looks at what it is called."""


@pytest.mark.parametrize("source", [kms_program.OURS, AS_SIGBOX], ids=["script", "sigbox by this name"])
def test_called_by_hand_it_says_what_it_is_for(tmp_path: Path, source: str):
    program = kms_program.install(tmp_path, source, "sigbox")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--key sigbox:///home/alice/release.key" in done.stdout


def test_it_is_installed_beside_sigbox():
    (script,) = (one for one in entry_points(group="console_scripts") if one.name == "sigstore-kms-sigbox")
    assert script.load() is main
