# SPDX-License-Identifier: Apache-2.0
"""Keys in a PKCS#11 token, with SoftHSM: made there, found there, and everything that can be wrong with a token."""

from __future__ import annotations

import asyncio
import copy
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11.util.ec import encode_named_curve_parameters

from sigcore import device_key, keys, signatures
from sigcore.errors import Malformed, NotFound, Refused, SigError, Unavailable
from stack import waiting_key
from stack.authorities import Keep
from stack.config import key_uris
from stack.line import Line
from stack.pkcs11 import key as token_key
from stack.pkcs11.making import TokenSource
from stack.pkcs11.module import Module, module_at
from tests.soft_token import PIN, SoftToken, soft_token

MESSAGE = b"message"


@pytest.fixture
def token(tmp_path: Path) -> Iterator[SoftToken]:
    with soft_token(tmp_path / "hsm") as made:
        yield made
        module_at(made.module).close()


def source(token: SoftToken, role: str = "ca", label: str = "ca", **other: str) -> TokenSource:
    return TokenSource(role, token.uri(label, **other))


def stored(token: SoftToken, folder: Path, role: str = "ct", **other: str) -> token_key.TokenKey:
    """A key that was made, as a start finds it again."""
    Keep(None, durable=False).save_keys(folder, {"log": TokenSource(role, token.uri(role)).signing_key("log")})
    return TokenSource(role, token.uri(role, **other)).load(folder, "log")


def with_session(token: SoftToken, work) -> None:
    library = pkcs11.lib(token.module)
    with library.get_token(token_label="sigbox").open(rw=True, user_pin=PIN) as session:
        work(session)
    library.finalize()


# --- made and found --------------------------------------------------------------------------------------
def test_a_key_is_made_where_there_is_none_and_can_do_nothing_but_sign(token: SoftToken):
    made = source(token).signing_key("intermediate")
    assert isinstance(made.curve, ec.SECP256R1)
    assert made.key_size == 256

    def look(session) -> None:
        private = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="ca")
        has = pkcs11.Attribute
        wanted = {has.SENSITIVE: True, has.EXTRACTABLE: False, has.NEVER_EXTRACTABLE: True, has.LOCAL: True}
        wanted |= {has.SIGN: True, has.DERIVE: False, has.DECRYPT: False, has.UNWRAP: False, has.TOKEN: True}
        assert {name: private[name] for name in wanted} == wanted

    with_session(token, look)
    for leave in (
        made.private_numbers,
        lambda: made.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        lambda: made.exchange(ec.ECDH(), made.public_key()),
    ):
        with pytest.raises(Refused, match="does not leave"):
            leave()
    assert copy.deepcopy(made) is copy.copy(made) is made


def test_a_key_that_is_there_is_used_and_each_level_and_generation_has_its_own(token: SoftToken):
    one = source(token)
    made = {(name, number): one.signing_key(name, number) for name in ("root", "intermediate") for number in (1, 2)}
    publics = {keys.encode_public_key(key.public_key()) for key in made.values()}
    assert len(publics) == 4
    assert [key.uri.object for key in made.values()] == ["ca-root", "ca-root-2", "ca", "ca-2"]
    again = source(token).signing_key("intermediate", 2)
    assert keys.encode_public_key(again.public_key()) == keys.encode_public_key(made["intermediate", 2].public_key())


def test_it_signs_as_a_key_in_memory_does(token: SoftToken):
    made = source(token).signing_key("intermediate")
    for _ in range(20):  # r and s of fewer bytes too
        keys.verify(made.public_key(), keys.sign(made, MESSAGE), MESSAGE, what="it")
        digest = secrets.token_bytes(32)
        keys.verify_digest(made.public_key(), keys.sign_digest(made, digest), digest, what="it")
    signature = signatures.sign(signatures.ECDSA_WITH_SHA256, made, MESSAGE)
    signatures.verify(signatures.ECDSA_WITH_SHA256, made.public_key(), signature, MESSAGE, what="it")


def make_other_kinds(session) -> None:
    session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="rsa")
    for label, curve in (("p384", "secp384r1"), ("p521", "secp521r1")):
        attributes = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, attributes, local=True)
        parameters.generate_keypair(store=True, label=label)


def test_p384_signs_for_an_authority_and_other_kinds_sign_for_nobody(token: SoftToken):
    with_session(token, make_other_kinds)
    made = source(token, "tsa", "p384").signing_key("leaf")
    signature = keys.sign(made, MESSAGE)
    made.public_key().verify(signature, MESSAGE, ec.ECDSA(hashes.SHA384()))
    for role, label, said in (
        ("ct", "p384", "on the curve secp384r1, expected secp256r1"),
        ("tsa", "p521", "on the curve secp521r1, expected secp256r1 or secp384r1"),
        ("ca", "rsa", "of the kind RSA, expected EC"),
    ):
        with pytest.raises(Refused, match=said):
            source(token, role, label).signing_key(
                "leaf" if role == "tsa" else "intermediate" if role == "ca" else "log"
            )


def test_a_start_reads_the_public_half_and_does_not_ask_the_token(token: SoftToken, tmp_path: Path):
    made = stored(token, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"hsm", "log.pub"}
    token.take_away()
    assert TokenSource("ct", token.uri("ct")).load(tmp_path, "log").public_key() == made.public_key()
    (tmp_path / "log.pub").write_bytes(
        keys.encode_public_key_pem(
            keys.parse_public_key(bytes.fromhex("302a300506032b6570032100") + bytes(32))
        ).encode()
    )
    with pytest.raises(Malformed, match="no ECDSA key"):
        TokenSource("ct", token.uri("ct")).load(tmp_path, "log")


def test_two_roles_with_one_key_are_refused_and_so_is_a_role_that_has_none(token: SoftToken):
    for ca, other in (("a", "a"), ("a", "a-root"), ("a", "a-2"), ("a", "a-root-3")):
        with pytest.raises(Refused, match="would have one key"):
            key_uris({"ca": token.uri(ca), "ct": token.uri(other)})
    assert key_uris({"rekor": token.uri("rekor"), "rekor-v1": token.uri("rekor-v1")})
    with pytest.raises(Malformed, match="names 'oidc'"):
        key_uris({"oidc": token.uri("oidc")})
    with pytest.raises(Malformed, match="expected a table"):
        key_uris("pkcs11:")


# --- what can be wrong -------------------------------------------------------------------------------------
def test_each_thing_that_is_wrong_has_its_own_words_and_its_fix(token: SoftToken, tmp_path: Path):
    stored(token, tmp_path)
    nothing = tmp_path / "nothing.so"
    plain = tmp_path / "plain.so"
    plain.write_bytes(b"no library")
    open_pin, wrong_pin = token.folder / "open", token.folder / "wrong"
    for path, text, mode in ((open_pin, PIN, 0o644), (wrong_pin, "000000", 0o600)):
        path.write_text(text)
        path.chmod(mode)
    seen = set()
    for kind, other, said, fix in (
        (NotFound, {"module": str(nothing)}, "module .* does not exist", "softhsm2"),
        (Refused, {"module": str(plain)}, "is no PKCS#11 module", "[keys]"),
        (NotFound, {"token": "other"}, "the token 'other' is not there: .* has 'sigbox'", "connect it"),
        (NotFound, {"pin": f"file:{tmp_path}/none"}, "the PIN file .* does not exist", ""),
        (Refused, {"pin": f"file:{open_pin}"}, "others may read it", "chmod 600"),
        (Refused, {"pin": f"file:{wrong_pin}"}, "refuses the PIN", "not tried again"),
    ):
        with pytest.raises(kind, match=said) as error:
            TokenSource("ct", token.uri("ct", **other)).load(tmp_path, "log").prove()
        assert fix in error.value.hint
        seen.add(str(error.value))
    with pytest.raises(NotFound, match="the key 'lost' is not in the token 'sigbox', which has the private keys 'ct'"):
        TokenSource("ct", token.uri("lost")).load(tmp_path, "log").prove()
    assert len(seen) == 6
    assert not any(PIN in text or "000000" in text for text in seen)


def test_without_the_extra_the_answer_is_how_to_install_it(token: SoftToken, tmp_path: Path, monkeypatch):
    key = stored(token, tmp_path)
    module_at(token.module).close()
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)
    with pytest.raises(Refused, match="python-pkcs11, which is not installed") as error:
        key.prove()
    assert "sigbox[pkcs11]" in error.value.hint


def test_another_key_under_the_same_label_is_not_signed_with(token: SoftToken, tmp_path: Path):
    key = stored(token, tmp_path)
    subprocess.run(
        ("softhsm2-util", "--delete-token", "--token", "sigbox"), check=True, capture_output=True, timeout=30
    )
    command = ("softhsm2-util", "--init-token", "--free", "--label", "sigbox", "--so-pin", "5550000", "--pin", PIN)
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    TokenSource("ct", token.uri("ct")).signing_key("log")
    with pytest.raises(Refused, match="is not the one that the stack was made with"):
        key.prove()


def test_a_wrong_pin_is_tried_once_until_the_file_changes(token: SoftToken, tmp_path: Path, monkeypatch):
    """Tokens lock after a few of them; requests that fail must not use these up."""
    key = stored(token, tmp_path)
    monkeypatch.setattr(waiting_key, "AGAIN_S", 0)
    tries = []
    real = Module._find

    class Counting:
        def __init__(self, found) -> None:
            self.found = found

        def open(self, **given):
            tries.append(given)
            return self.found.open(**given)

    monkeypatch.setattr(Module, "_find", lambda self, uri: Counting(real(self, uri)))
    token.pin_file.write_text("111111")
    for _ in range(5):
        with pytest.raises(Unavailable, match="refuses the PIN"):
            keys.sign(key, MESSAGE)
    assert len(tries) == 1
    token.pin_file.write_text(PIN)
    keys.sign(key, MESSAGE)
    assert len(tries) == 2


# --- while it is used --------------------------------------------------------------------------------------
def test_a_token_that_is_taken_away_is_unavailable_and_heals_when_it_is_back(
    token: SoftToken, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(waiting_key, "AGAIN_S", 0)
    key = stored(token, tmp_path)
    for _ in range(2):
        keys.sign(key, MESSAGE)
        token.take_away()
        for _ in range(3):
            with pytest.raises(Unavailable):
                keys.sign(key, MESSAGE)
        token.put_back()
        keys.verify(key.public_key(), keys.sign(key, MESSAGE), MESSAGE, what="it")


def test_a_session_that_has_ended_is_opened_again_without_a_word(token: SoftToken, tmp_path: Path):
    key = stored(token, tmp_path)
    keys.sign(key, MESSAGE)
    token.take_away()
    token.put_back()  # SoftHSM has forgotten its objects
    keys.verify(key.public_key(), keys.sign(key, MESSAGE), MESSAGE, what="it")


def test_soon_after_a_failure_the_token_is_not_asked_again(token: SoftToken, tmp_path: Path):
    key = stored(token, tmp_path)
    token.take_away()
    with pytest.raises(Unavailable) as first:
        keys.sign(key, MESSAGE)
    token.put_back()
    with pytest.raises(Unavailable) as second:
        keys.sign(key, MESSAGE)
    assert str(first.value) == str(second.value)
    deadline = time.monotonic() + 60
    while True:
        try:
            keys.sign(key, MESSAGE)
            break
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_readiness_asks_for_itself_and_waits_for_nothing(token: SoftToken, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(waiting_key, "LOOK_S", 0)
    monkeypatch.setattr(waiting_key, "AGAIN_S", 0)
    key = stored(token, tmp_path)

    def wait_for(*, fault: bool) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                device_key.check(key)
                found = False
            except Unavailable:
                found = True
            if found == fault:
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)

    wait_for(fault=False)
    token.take_away()
    wait_for(fault=True)
    token.put_back()
    wait_for(fault=False)
    module_at(token.module).line.submit(lambda: None).result(20)


async def test_a_token_that_hangs_is_given_up_and_does_not_hold_the_loop(token: SoftToken, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(waiting_key, "PATIENCE_S", 1.0)
    monkeypatch.setattr(waiting_key, "AGAIN_S", 0)
    key = stored(token, tmp_path)
    release, turns = threading.Event(), 0
    line = Line("a token that hangs")
    monkeypatch.setattr(module_at(token.module), "line", line)

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    with pytest.raises(Unavailable, match="has not answered within"):
        await device_key.aside(key, release.wait)
    assert turns >= 3
    while line.stuck_s <= waiting_key.PATIENCE_S:
        await asyncio.sleep(0.01)
    before, asked = turns, []
    with pytest.raises(Unavailable, match="has not answered within"):
        await device_key.aside(key, lambda: asked.append("the token"))
    assert turns == before, "it has waited in the line"
    with pytest.raises(Unavailable):
        device_key.check(key)
    release.set()
    counting.cancel()
    line.submit(lambda: None).result(20)
    assert asked == []
    keys.verify(key.public_key(), await device_key.aside(key, lambda: keys.sign(key, MESSAGE)), MESSAGE, what="it")


async def test_a_key_in_memory_signs_where_it_is_asked():
    key = keys.generate_p256()
    here = threading.get_ident()
    assert await device_key.aside(key, threading.get_ident) == here
    device_key.check(key)
    assert not device_key.in_device(key)


async def test_what_fails_in_the_thread_fails_for_whoever_waits(token: SoftToken, tmp_path: Path):
    key = stored(token, tmp_path)

    def fail() -> None:
        raise Malformed("no")

    with pytest.raises(Malformed, match="no"):
        await device_key.aside(key, fail)
    assert await device_key.aside(key, threading.get_ident) != threading.get_ident()


def test_a_process_may_fork_after_the_key_was_proved(token: SoftToken, tmp_path: Path):
    key = stored(token, tmp_path)
    key.prove()
    child = os.fork()
    if child == 0:
        try:
            keys.verify(key.public_key(), keys.sign(key, MESSAGE), MESSAGE, what="it")
        except SigError:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    keys.sign(key, MESSAGE)
