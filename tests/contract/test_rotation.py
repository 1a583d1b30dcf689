# SPDX-License-Identifier: Apache-2.0
"""Keys are rotated under people who sign: nothing fails meanwhile, and everything that they made verifies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from client.files import load_bundle
from sigcore.x509 import common_name, parse_certificate
from stack.config import Home
from stack.generations import load_generations
from tests.split_stack import split_stack
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.slow, pytest.mark.at_once("rotations", threads=3)]

ALICE = "alice@example.com"
PATIENCE_S = 60
SIGNERS = 2
PAUSE_S = 0.25
"""Between two signatures of one person: without it they would need the whole machine for as long as a rotation waits."""


def sign(stack: RunningStack, artifact: Path, *options: str) -> Path:
    """A bundle by our client, which verifies it before it writes it; trust is read anew each time, as after a look at TUF."""
    artifact.write_text(f"{artifact.name}\n")
    trust = ("--trust-config", stack.trust_config, "--identity-token", stack.token(ALICE))
    done = sigbox("sign-blob", artifact, *trust, *options, cwd=artifact.parent)
    assert done.returncode == 0, done.stderr
    return artifact.with_name(f"{artifact.name}.sigstore.json")


def issuer_of(bundle: Path) -> str:
    certificate = load_bundle(str(bundle)).certificate
    assert certificate is not None
    return common_name(parse_certificate(certificate).issuer)


@contextmanager
def signing(
    stack: RunningStack, folder: Path, sign: Callable[[RunningStack, Path], Path] = sign
) -> Iterator[list[Path]]:
    """The bundles that several people make, one after the other, while the block runs; each must succeed."""
    done, bundles = Event(), list[Path]()

    def work(number: int) -> None:
        made = 0
        while not done.is_set():
            bundles.append(sign(stack, folder / f"{number}-{made}"))
            made += 1
            done.wait(PAUSE_S)

    with ThreadPoolExecutor(SIGNERS) as pool:
        people = [pool.submit(work, number) for number in range(SIGNERS)]
        try:
            yield bundles
        finally:
            done.set()
        for one in people:
            one.result()


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def rotate_under_signers(stack: RunningStack, data: Path, folder: Path) -> None:
    """Everything that was signed before, meanwhile and after holds; before and after are other authorities."""
    with signing(stack, folder) as bundles:
        wait(lambda: len(bundles) >= SIGNERS)
        for role in ("ca", "tsa", "tuf"):
            done = sigbox("trust", "rotate", role, "--data", data)
            assert done.returncode == 0, done.stderr
        newest = common_name(parse_certificate(load_generations(Home(data))["ca"][-1].public[0]).subject)
        wait(lambda: issuer_of(bundles[-1]) == newest)
        after = len(bundles)
        wait(lambda: len(bundles) >= after + SIGNERS)
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    files = [bundle.with_name(bundle.name.removesuffix(".sigstore.json")) for bundle in bundles]
    done = sigbox("verify-blob", *files, *who, "--trust-config", stack.trust_config)
    assert done.returncode == 0, done.stderr
    assert len({issuer_of(bundle) for bundle in bundles}) == 2


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_nobody_who_signs_notices_a_rotation(tmp_path: Path, options: tuple[str, ...]):
    with running_stack(tmp_path, "--data", tmp_path / "data", *options) as stack:
        rotate_under_signers(stack, stack.data, tmp_path)


def test_nobody_who_signs_through_a_process_per_role_notices_a_rotation(tmp_path: Path):
    with split_stack(tmp_path) as split:
        rotate_under_signers(split.as_stack(), split.view("init"), tmp_path)


def test_a_stack_starts_with_the_keys_that_its_generations_name(tmp_path: Path):
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        before = issuer_of(sign(stack, tmp_path / "before"))
    assert sigbox("trust", "rotate", "ca", "--data", stack.data).returncode == 0
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        assert issuer_of(sign(stack, tmp_path / "after")) not in ("", before)


def test_rotating_all_of_them_too_early_changes_nothing(tmp_path: Path):
    """The key set that others keep for minutes may not have the next key yet: that is said before anything else is rotated."""
    data = tmp_path / "data"
    assert sigbox("init", "--data", data, "--url", "http://localhost:7780").returncode == 0
    done = sigbox("trust", "rotate", "all", "--data", data)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "or at once with --now" in done.stderr
    assert [path.name for path in (data / "public" / "tuf").glob("*.root.json")] == ["1.root.json"]
    assert not (data / "ca" / "2").exists()
    assert not (data / "tsa" / "2").exists()
