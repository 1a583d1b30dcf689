# SPDX-License-Identifier: Apache-2.0
"""F14: what nobody may read is planted, used as it is meant to be, and then looked for in everything that a stack writes or says."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.contract.test_login import Session, run
from tests.contract.test_tls import write_pair
from tests.missing import missing
from tests.stack_process import ROOT, SIGBOX, STOP_S, RunningStack, environment, running_stack, sigbox
from tests.until import wait_until

PASSPHRASE = "planted-passphrase-7d1c"
EMAIL, PASSWORD, MISTYPED = "alice@example.com", "planted-password-93fa", "planted-mistyped-20be"
HOOK_SECRET, HOOK_PATH = "planted-hook-secret-5511", "planted-hook-path-b0a7"
IN_QUERY, IN_HEADER, IN_BODY = "planted-in-query-44c0", "planted-in-header-e1f9", "planted-in-body-7a02"
PROXY = "planted-proxy-password-6d3e"


def spellings(secret: bytes) -> set[bytes]:
    """As it is, in hex, and the characters that base64 makes of it wherever it begins."""
    found = {secret, secret.hex().encode()}
    for skipped in range(3):
        inner = base64.b64encode(bytes(skipped) + secret)[-(-skipped * 4 // 3) :]
        found.add(inner.rstrip(b"=")[:-1] if len(inner) > 8 else secret)
    return found


def holds(content: bytes, secret: bytes) -> bool:
    """In a line, or in base64 over the ends of several."""
    joined = content.replace(b"\\n", b"").replace(b"\n", b"")
    return any(spelled in content or spelled in joined for spelled in spellings(secret))


def secret_of(key: object) -> bytes:
    """The number that makes a private key private."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value.to_bytes((key.key_size + 7) // 8, "big")
    if isinstance(key, rsa.RSAPrivateKey):
        return key.private_numbers().p.to_bytes(key.key_size // 16, "big")
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.private_bytes_raw()


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


class Planted:
    """A stack in use, its secrets by name, and everything that it answered and printed."""

    def __init__(self, folder: Path, stack: RunningStack) -> None:
        self.folder = folder
        self.stack = stack
        self.secrets: dict[str, bytes] = {
            "passphrase": PASSPHRASE.encode(),
            "password": PASSWORD.encode(),
            "mistyped password": MISTYPED.encode(),
            "secret of the webhook": HOOK_SECRET.encode(),
            "path of the webhook": HOOK_PATH.encode(),
            "password of the proxy": PROXY.encode(),
            "token in a query": IN_QUERY.encode(),
            "token in a header": IN_HEADER.encode(),
            "token in a body": IN_BODY.encode(),
        }
        self.said: list[bytes] = []

    def keep(self, *said: str | bytes) -> None:
        self.said += [one.encode() if isinstance(one, str) else one for one in said]

    def command(self, *arguments: str | Path) -> str:
        done = sigbox(*arguments)
        self.keep(done.stderr)
        assert done.returncode == 0, done.stderr
        return done.stdout


def use(planted: Planted) -> None:
    """Each secret goes where it is for, and the way of somebody who puts it where it is not."""
    stack, data = planted.stack, planted.stack.data
    key = ("--passphrase-file", planted.folder / "passphrase")
    added = run("user", "add", "--data", data, "--email", EMAIL, "--password-stdin", *key, given=PASSWORD)
    assert added.returncode == 0, added.stderr
    planted.keep(added.stdout, added.stderr)
    browser = Session(stack)
    assert browser.log_in(EMAIL, MISTYPED)[0] == 403
    status, code = browser.log_in(EMAIL, PASSWORD)
    assert status == 303
    planted.secrets["code of a login"] = code.encode()
    granted = browser.token(code)[1]
    planted.secrets["token of a login"] = str(granted["access_token"]).rpartition(".")[2].encode()
    secret = planted.command(
        "client", "add", "release", "--subject", "https://ci.example.com/release", "--data", data, *key
    )
    planted.secrets["secret of a machine"] = secret.strip().encode()
    form = f"grant_type=client_credentials&client_id=sigstore&client_secret={secret.strip()}".encode()
    assert ask(f"{stack.url}/auth/token", form)[0] == 200
    planted.keep(ask(f"{stack.url}/auth/token", form.replace(b"client_id=sigstore", b"client_id=other"))[1])

    token = planted.command("token", "--data", data, "--email", EMAIL, *key).strip()
    planted.secrets["token of a signing"] = token.rpartition(".")[2].encode()
    (planted.folder / "file").write_text("content")
    options = ("--trust-config", stack.trust_config, "--identity-token", token)
    planted.command("sign-blob", planted.folder / "file", "--bundle", planted.folder / "bundle", *options)
    for path in ("/nowhere", "/api/v2/nowhere", "/auth/auth", "/auth/nowhere", "/tuf/x"):
        planted.keep(ask(f"{stack.url}{path}?access_token={IN_QUERY}&state={IN_QUERY}x", Authorization=IN_HEADER)[1])
    for path in ("/api/v2/signingCert", "/api/v1/signingCert", "/api/v2/log/entries", "/auth/token", "/auth/login"):
        body = b'{"credentials":{"oidcIdentityToken":"%b"},"token":"%b"}' % (IN_BODY.encode(), IN_BODY.encode())
        planted.keep(ask(f"{stack.url}{path}", body, Authorization=f"Bearer {IN_HEADER}")[1])
    planted.keep(*(ask(f"{stack.url}{path}")[1] for path in ("/metrics", "/readyz", "/", "/operator", "/logs")))
    planted.keep(ask(f"{stack.url}/search?q=alice")[1])
    planted.keep(planted.command("audit", "show", "--data", data))
    doctor = sigbox("doctor", "--data", data)
    planted.keep(doctor.stdout, doctor.stderr)


def places(planted: Planted) -> Iterator[tuple[str, bytes]]:
    """(where, what is there) of everything that a stack writes and says."""
    folder, data = planted.folder, planted.stack.data
    for path in sorted(data.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(data)), path.read_bytes()
    planted.command("backup", folder / "backup.tar", "--data", data)
    with tarfile.open(folder / "backup.tar") as archive:
        for member in archive:
            file = archive.extractfile(member)
            yield f"backup: {member.name}", file.read() if file else b""
    yield "log", planted.stack.log.read_bytes()
    process = Path(f"/proc/{planted.stack.process.pid}")
    yield "arguments", (process / "cmdline").read_bytes()
    for number, said in enumerate(planted.said):
        yield f"answer {number}: {said[:60]!r}", said


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Planted]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: every try to post an alert fails, and is said
        hook = f"http://127.0.0.1:{closed.getsockname()[1]}/{HOOK_PATH}"
        (tmp_path / "passphrase").write_text(PASSPHRASE)
        (tmp_path / "hook.secret").write_text(HOOK_SECRET)
        config, data = tmp_path / "stack.toml", tmp_path / "data"
        config.write_text(
            f'[[watch]]\nname = "all"\nidentity = "*@example.com"\n'
            f'[alerts]\nwebhook = "{hook}"\nsecret_file = "hook.secret"\n'
        )
        key = ("--passphrase-file", tmp_path / "passphrase")
        assert sigbox("init", "--data", data, "--yes", *key).returncode == 0
        tls = write_pair(tmp_path, "localhost")
        monkeypatch.setenv("HTTPS_PROXY", f"http://proxy:{PROXY}@127.0.0.1:9")
        with running_stack(tmp_path, "--data", data, "--config", config, *key) as stack:
            found = Planted(tmp_path, stack)
            pem = Path(tls.partition(",")[2]).read_bytes()
            found.secrets["key of TLS"] = secret_of(serialization.load_pem_private_key(pem, None))
            for path in sorted(data.rglob("*.key")):
                private = serialization.load_pem_private_key(path.read_bytes(), PASSPHRASE.encode())
                found.secrets[f"key {path.relative_to(data)}"] = secret_of(private)
            use(found)
            wait_until(lambda: b"was not taken" in stack.log.read_bytes())
            yield found


def test_f14_no_secret_is_found_where_it_does_not_belong(planted: Planted):
    assert sum(name.startswith("key ") for name in planted.secrets) >= 8
    assert len(planted.secrets) >= 12
    where = list(places(planted))
    names = [name for name, _ in where]
    assert {"rekor/log.db", "rekor/log.db-wal", "oidc/accounts.db", "log", "arguments"} <= set(names)
    assert any(name.startswith("backup: ") and name.endswith(".key") for name in names), names
    pem = (planted.folder / "localhost.key").read_bytes()
    assert holds(pem, planted.secrets["key of TLS"]), "a key that is not encrypted would not be found"
    hits = [
        f"{secret} in {name}"
        for secret, value in planted.secrets.items()
        for name, content in where
        if holds(content, value)
    ]
    assert hits == []


def test_f14_the_memory_of_a_stack_is_shown_to_no_other_program_of_its_user(tmp_path: Path):
    """The same user without a right of root's asks for what is in /proc, as a debugger would."""
    if shutil.which("setpriv") is None:
        missing("setpriv is missing: root cannot be without its rights")
    plainly = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
    ready = tmp_path / "ready.json"
    command = (*plainly, *SIGBOX, "up", "--ephemeral", "--listen", "127.0.0.1:0", "--ready-file", str(ready))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        subprocess.Popen(command, cwd=ROOT, env=environment(), **quiet) as stack,
        subprocess.Popen((*plainly, "sleep", "600"), **quiet) as other,
    ):
        try:
            wait_until(ready.exists)

            def looked_at(process: subprocess.Popen[bytes]) -> bool:
                asked = (*plainly, "cat", f"/proc/{process.pid}/environ", f"/proc/{process.pid}/maps")
                return subprocess.run(asked, check=False, capture_output=True).returncode == 0

            assert looked_at(other)
            assert not looked_at(stack)
        finally:
            other.kill()
            stack.terminate()
            assert stack.wait(STOP_S) == 0
