# SPDX-License-Identifier: Apache-2.0
"""A stack whose keys were never in one place: each role makes its own, the trust role collects what is public, with pins."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.ports import free_ports
from tests.stack_process import READY_S, STOP_S, Process, sigbox, spawn

MAKERS = ("ca", "ct", "log", "tsa")
ALL = (*MAKERS, "oidc", "trust")
ALICE = "alice@example.com"
EXTRA = {"log": ("--workers", "2")}
"""One of them waits in one process, and is served by several when the trust root has come."""


@dataclass
class Machines:
    """A folder for the machine of each role, and the processes on them."""

    folder: Path
    ports: dict[str, int]
    pins: dict[str, str] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    def data(self, role: str) -> Path:
        return self.folder / role

    def init(self, role: str, *options: str) -> subprocess.CompletedProcess[str]:
        urls = [f"--service={other}=http://localhost:{self.ports[other]}" for other in ALL]
        url = f"--url=http://localhost:{self.ports['trust']}"
        return sigbox("init", "--role", role, "--data", self.data(role), url, *urls, *options)

    def given(self, **other: str) -> list[str]:
        return [f"--pin={role}={pin}" for role, pin in (self.pins | other).items() if pin]

    def serve(self, role: str, *options: str) -> None:
        words = ("serve", role, "--data", self.data(role), "--listen", f"127.0.0.1:{self.ports[role]}", *options)
        self.processes[role] = spawn(*words, folder=self.folder, log=self.folder / f"{role}.log")

    def ask(self, role: str, path: str) -> bytes:
        with build_opener(ProxyHandler({})).open(f"http://127.0.0.1:{self.ports[role]}{path}", timeout=60) as answer:
            body: bytes = answer.read()
            return body

    def until(self, role: str, path: str) -> bytes:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                return self.ask(role, path)
            except OSError:
                printed = (self.folder / f"{role}.log").read_text("utf-8")
                assert self.processes[role].poll() is None, printed
                assert time.monotonic() < deadline, printed
                time.sleep(0.05)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Each role has made its keys and offers what is public of them."""
    made = Machines(tmp_path_factory.mktemp("machines"), dict(zip(ALL, free_ports(len(ALL)), strict=True)))
    with ended(made):
        for role in (*MAKERS, "oidc"):
            done = made.init(role)
            assert done.returncode == 0, done.stderr
            if role in MAKERS:
                made.pins[role] = re.findall(rf"--pin {role}=(sha256:[0-9a-f]{{64}})\n", done.stdout)[0]
                made.serve(role, *EXTRA.get(role, ()), *jwks_of(made, role))
        made.serve("oidc")
        for role in MAKERS:
            made.until(role, f"/public/{role}.json")
        yield made


def jwks_of(made: Machines, role: str) -> tuple[str, ...]:
    """Where the authority finds the provider's keys."""
    return ("--oidc-jwks", str(made.data("oidc") / "public/oidc/jwks.json")) if role == "ca" else ()


@contextmanager
def ended(made: Machines) -> Iterator[None]:
    try:
        yield
        for process in made.processes.values():
            process.terminate()
        assert {process.wait(STOP_S) for process in made.processes.values()} == {0}
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait(STOP_S)


@pytest.mark.parametrize("role", MAKERS)
def test_a_role_has_its_own_keys_only_and_until_there_is_a_trust_root_it_says_what_is_public(
    machines: Machines, role: str
):
    folders = {path.parent.name for path in machines.data(role).rglob("*.key")}
    assert folders == {"log": {"rekor", "rekor-v1"}}.get(role, {role})
    assert json.loads(machines.ask(role, f"/public/{role}.json"))["role"] == role
    assert machines.ask(role, "/healthz")
    with pytest.raises(OSError, match="503"):
        machines.ask(role, "/readyz")
    with pytest.raises(OSError, match="404"):
        machines.ask(role, {"ca": "/api/v1/rootCert", "ct": "/ct/v1/get-sth", "log": "/api/v1/log", "tsa": "/x"}[role])


@pytest.mark.parametrize("role", MAKERS)
def test_another_pin_is_refused_and_nothing_is_published(machines: Machines, role: str):
    done = machines.init("trust", *machines.given(**{role: "sha256:" + "0" * 64}))
    assert done.returncode == 3
    assert f"/public/{role}.json has the fingerprint {machines.pins[role]}, expected sha256:0000" in done.stderr
    assert not (machines.data("trust") / "public" / "trusted_root.json").exists()


@pytest.mark.parametrize(
    ("pins", "reason"),
    [
        ({"tsa": ""}, "no pin for tsa: nothing is trusted because it came first"),
        ({"tsa": "sha256:12"}, "the pin of tsa"),
        ({"oidc": "sha256:" + "0" * 64}, "is for no role"),
    ],
)
def test_without_a_pin_for_each_role_nobody_is_asked(machines: Machines, pins: dict[str, str], reason: str):
    done = machines.init("trust", *machines.given(**pins))
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("role", "options", "reason"),
    [
        ("ca", ("--pin", "ca=sha256:" + "0" * 64), "--pin is for --role trust"),
        ("ca", ("--tls", "auto", "--url", "https://h"), "--tls of one role"),
        ("ca", ("--login", "https://login.example,sigbox,corp.example"), "--login is for the provider"),
        ("ca", ("--organization", "Other"), "with other URLs, keys or another organization"),
    ],
)
def test_what_cannot_be_meant_of_one_role_is_refused(
    machines: Machines, role: str, options: tuple[str, ...], reason: str
):
    done = machines.init(role, *options)
    assert done.returncode in (2, 3)
    assert reason in done.stderr


def test_again_it_says_the_same_pin_and_changes_nothing(machines: Machines):
    before = (machines.data("ct") / "ct" / "log.key").read_bytes()
    done = machines.init("ct")
    assert "had already the keys of ct" in done.stdout
    assert machines.pins["ct"] in done.stdout
    assert (machines.data("ct") / "ct" / "log.key").read_bytes() == before


def test_with_the_right_pins_the_roles_begin_to_serve_and_sign(machines: Machines, tmp_path: Path):
    """Last in this file: afterwards the roles serve."""
    done = machines.init("trust", *machines.given())
    assert done.returncode == 0, done.stderr
    public = machines.data("trust") / "public"
    assert {path.parent.name for path in machines.data("trust").rglob("*.key")} == {"tuf"}
    for role in MAKERS:
        shutil.copytree(public, machines.data(role) / "public", dirs_exist_ok=True)
    machines.serve("trust")
    for role in ALL:
        assert json.loads(machines.until(role, "/readyz"))["ready"]
    assert json.loads(machines.ask("log", "/readyz"))["roles"]["workers"] == "ok"
    assert "root fingerprint" in done.stdout
    token = sigbox("token", "--data", machines.data("oidc"), "--email", ALICE).stdout.strip()
    (tmp_path / "f").write_bytes(b"content")
    trust = ("--trust-config", public / "trust_config.json")
    signed = sigbox("sign-blob", tmp_path / "f", *trust, "--identity-token", token)
    assert signed.returncode == 0, signed.stderr
    issuer = f"http://localhost:{machines.ports['oidc']}/auth"
    policy = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", issuer)
    verified = sigbox("verify-blob", tmp_path / "f", *trust, *policy)
    assert verified.returncode == 0, verified.stderr
