# SPDX-License-Identifier: Apache-2.0
"""Whatever a program that holds a key does, the caller gets a signature that its public key verifies, or a reason."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sigcore import keys, limits
from sigcore.errors import Malformed, Refused, SigError, Unavailable
from sigcore.keys import PrivateKey
from sigcore.kms import Method, Request, parse_reference
from stack.kms import program as running
from stack.kms.key import KmsEcdsaKey, load_kms_key, load_kms_public_key, make_kms_key
from stack.kms.program import Program, find_program
from tests import kms_program

KEY, OTHER = keys.generate_p256(), keys.generate_p256()
MESSAGE = b"what is signed"
REFERENCE = "faulty://the-key"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pem(key: PrivateKey | ec.EllipticCurvePrivateKey) -> str:
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return b64(key.public_key().public_bytes(*form))


def small() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is refused for that


def answering(method: str, **value: str) -> str:
    return f"printf %s '{json.dumps({method: value})}'"


GOOD_KEY = answering("publicKey", publicKeyPEM=pem(KEY))
GOOD = answering("signMessage", signature=b64(keys.sign(KEY, MESSAGE)))


@dataclass(frozen=True)
class Fault:
    """What a program does when it is asked for a signature (or ``first``, for its public key); what the caller is told."""

    name: str
    does: str
    error: type[SigError]
    says: str
    first: bool = False

    def __str__(self) -> str:
        return self.name


FAULTS = (
    Fault("exits non-zero", "exit 7", Malformed, "ended with status 7: it answered nothing"),
    Fault("refuses", 'printf %s \'{"errorMessage": "no such\\nkey"}\'; exit 1', Refused, "said: no such key"),
    Fault("refuses with status 0", 'printf %s \'{"errorMessage": "not now"}\'', Refused, "said: not now"),
    Fault("refuses at length", 'printf \'{"errorMessage": "%060000d"}\' 1', Refused, "000..."),
    Fault("prints garbage", "echo hello", Malformed, "JSON"),
    Fault("prints two answers", f"{GOOD}; {GOOD}", Malformed, "JSON"),
    Fault("prints no object", "echo '[]'", Malformed, "expected an object"),
    Fault("prints nothing", "true", Malformed, "ended with status 0: it answered nothing"),
    Fault("prints too much", f"head -c {limits.KMS_ANSWER + 1} /dev/zero", Unavailable, "more than 65536 bytes"),
    Fault("prints without end", "exec cat /dev/zero", Unavailable, "more than 65536 bytes"),
    Fault("hangs", "exec sleep 60", Unavailable, "has not answered within 0.4 s"),
    Fault("answers and hangs", f"{GOOD}; exec >&-; exec sleep 60", Unavailable, "has not answered within 0.4 s"),
    Fault("is killed", "kill -9 $$", Unavailable, "was ended by SIGKILL"),
    Fault("answers and is killed", f"{GOOD}; kill -15 $$", Unavailable, "was ended by SIGTERM"),
    Fault(
        "signs something else",
        answering("signMessage", signature=b64(keys.sign(KEY, b"x"))),
        Refused,
        "does not verify",
    ),
    Fault(
        "signs with another key",
        answering("signMessage", signature=b64(keys.sign(OTHER, MESSAGE))),
        Refused,
        "does not verify",
    ),
    Fault("signs nothing", answering("signMessage", signature=""), Refused, "does not verify"),
    Fault(
        "has a signature without form", answering("signMessage", signature="===="), Malformed, "signMessage.signature"
    ),
    Fault(
        "has a null for a signature", 'echo \'{"signMessage": {"signature": null}}\'', Malformed, "signature is missing"
    ),
    Fault("answers another question", GOOD_KEY, Malformed, "signMessage is missing"),
    Fault(
        "speaks another version",
        'test "$1" = v2 || { echo "{\\"errorMessage\\": \\"I speak v2\\"}"; exit 1; }',
        Refused,
        "I speak v2",
    ),
    Fault(
        "has an Ed25519 key",
        answering("publicKey", publicKeyPEM=pem(ed25519.Ed25519PrivateKey.generate())),
        Refused,
        "is Ed25519",
        first=True,
    ),
    Fault(
        "has a small RSA key",
        answering("publicKey", publicKeyPEM=pem(small())),
        Refused,
        "1024 bits",
        first=True,
    ),
    Fault(
        "has a key on another curve",
        answering("publicKey", publicKeyPEM=pem(ec.generate_private_key(ec.SECP256K1()))),
        Refused,
        "curve secp256k1",
        first=True,
    ),
    Fault(
        "has a key without form",
        answering("publicKey", publicKeyPEM=b64(b"no key")),
        Malformed,
        "not a PEM public key",
        first=True,
    ),
    Fault("has no key", "echo '{}'", Malformed, "publicKey is missing", first=True),
)


def install(folder: Path, signs: str, shows: str = GOOD_KEY) -> Program:
    """The program ``sigstore-kms-faulty``, which does so."""
    source = f'#!/bin/sh\ncase "$2" in\n*\'"methodName":"publicKey"\'*) {shows} ;;\n*) {signs} ;;\nesac\n'
    kms_program.install(folder, source, "faulty")
    return found(folder)


def found(folder: Path) -> Program:
    return replace(find_program(parse_reference(REFERENCE), environment(folder)), patience_s=30)


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": str(folder)}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_told_and_no_signature_comes_of_it(tmp_path: Path, fault: Fault):
    program = install(tmp_path, GOOD if fault.first else fault.does, fault.does if fault.first else GOOD_KEY)
    if "within 0.4 s" in fault.says:
        program = replace(program, patience_s=0.4)
    key = KmsEcdsaKey(program, KEY.public_key())
    with pytest.raises(fault.error) as raised:
        load_kms_key(REFERENCE, environment(tmp_path)) if fault.first else keys.sign(key, MESSAGE)
    assert fault.says in raised.value.message
    assert "faulty" in str(raised.value)
    assert len(raised.value.message) < 3000


def test_without_a_fault_there_is_a_signature_and_what_it_says_is_for_people(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """The control of the table; the exit status is nothing to go by, and standard error passes through."""
    install(tmp_path, f"echo touch the key >&2; {GOOD}; exit 9")
    key = load_kms_key(REFERENCE, environment(tmp_path))
    keys.verify(KEY.public_key(), keys.sign(key, MESSAGE), MESSAGE, what="it")
    assert capfd.readouterr().err == "touch the key\n"


def test_what_a_program_started_ends_with_it_where_nobody_could_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(running, "has_terminal", lambda: False)
    program = replace(install(tmp_path, f"sleep 60 & echo $! > {tmp_path}/pid; wait"), patience_s=0.4)
    with pytest.raises(Unavailable, match="has not answered"):
        program.ask(Request(Method.SIGN, "the-key"))
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "State:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < until, "it still runs"
        time.sleep(0.01)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path):
    kms_program.install(tmp_path, "#!/nowhere/at/all\n", "faulty")
    with pytest.raises(Unavailable, match="sigstore-kms-faulty does not start: No such file"):
        load_kms_public_key(REFERENCE, environment(tmp_path))


def test_programs_are_looked_for_in_absolute_folders_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Who signs in a folder that somebody else has filled must not run what lies there."""
    install(tmp_path, GOOD)
    monkeypatch.chdir(tmp_path)
    for path in ("", ".", "../" + tmp_path.name, f":/nowhere{os.pathsep}"):
        with pytest.raises(SigError, match="sigstore-kms-faulty, which is not there"):
            load_kms_public_key(REFERENCE, {"PATH": path})
    assert load_kms_public_key(REFERENCE, {"PATH": f":{tmp_path}"})


@pytest.mark.parametrize(
    "text", ["../../bin/sh://x", "a/b://x", "-a://x", "://x", "a:/x", "a://x\ny", "a://" + "x" * 2100]
)
def test_a_name_is_no_path(text: str):
    with pytest.raises(Malformed):
        load_kms_public_key(text, {"PATH": "/usr/bin"})


def test_a_key_that_was_made_must_be_the_one_that_is_there(tmp_path: Path):
    made = f'case "$2" in *default*) {answering("defaultAlgorithm", defaultAlgorithm="any")} ;; *) {answering("createKey", publicKeyPEM=pem(OTHER))} ;; esac'
    install(tmp_path, made)
    with pytest.raises(Refused, match="made another key"):
        make_kms_key(REFERENCE, environment(tmp_path))
    install(tmp_path, made, answering("publicKey", publicKeyPEM=pem(OTHER)))
    assert make_kms_key(REFERENCE, environment(tmp_path)) == OTHER.public_key()


@pytest.mark.parametrize(
    "make", [lambda: rsa.generate_private_key(65537, 2048), lambda: ec.generate_private_key(ec.SECP384R1())]
)
def test_other_kinds_of_keys_sign_messages_and_digests(tmp_path: Path, make):
    kms_program.install(tmp_path)
    held = make()
    (tmp_path / "held.pem").write_bytes(keys.encode_private_key(held))
    key = load_kms_key(f"localfile://{tmp_path / 'held.pem'}", {"PATH": str(tmp_path)})
    keys.verify(held.public_key(), keys.sign(key, MESSAGE), MESSAGE, what="it")
    digest = keys.default_details(held.public_key()).hash.digest(MESSAGE)
    for knowing in (key, key.over(MESSAGE)):
        keys.verify_digest(held.public_key(), keys.sign_digest(knowing, digest), digest, what="it")
    with pytest.raises(Refused, match="does not verify"):  # this program reads the message, and it is another one
        keys.sign_digest(key.over(b"changed meanwhile"), digest)
    with pytest.raises(Refused, match="does not leave sigstore-kms-localfile"):
        keys.encode_private_key(key)
