# SPDX-License-Identifier: Apache-2.0
"""One line on a client's machine, and each official client that is there signs and verifies with no word about the stack."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.interop.places import ALICE, Kind, Place, succeed
from tests.interop.tools import Cosign, SigstoreJs
from tests.stack_process import SIGBOX

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def fingerprint(place: Place) -> str:
    return hashlib.sha256(place.stack.tuf_root.read_bytes()).hexdigest()


def enroll(place: Place, path: Path | str, *options: str):
    """``sigbox enroll`` with nothing in PATH but the programs of ``path``."""
    repository = Path(__file__).resolve().parent.parent.parent
    return place.run(*SIGBOX, "enroll", place.stack.url, *options, PATH=str(path), PYTHONPATH=str(repository))


@pytest.fixture
def programs(tmp_path: Path, cosign_v3: Cosign) -> Path:
    """A PATH with cosign and sigstore-python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "cosign").symlink_to(cosign_v3.client.installed())
    (folder / "sigstore").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m sigstore "$@"\n')
    (folder / "sigstore").chmod(0o755)
    return folder


def test_the_clients_that_are_there_are_set_up_and_the_others_named(place: Place, programs: Path, cosign_v3: Cosign):
    done = enroll(place, programs, "--fingerprint", fingerprint(place), "--json")
    assert done.returncode == 0, done.stderr
    states = {name: row["state"] for name, row in json.loads(done.stdout)["clients"].items()}
    assert states == {
        "sigbox": "set up",
        "cosign": "set up",
        "gitsign": "not found",
        "sigstore-python": "set up",
        "sigstore-js": "not found",
    }

    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    policy = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", place.stack.oidc_issuer)
    token = ("--identity-token", place.stack.token(ALICE))
    succeed(cosign_v3.run(place, "sign-blob", "--yes", *token, "--bundle", bundle, artifact))
    succeed(cosign_v3.run(place, "verify-blob", "--bundle", bundle, *policy, artifact))
    instance = ("--instance", place.stack.tuf_mirror)
    identity = ("--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    python = programs / "sigstore"
    succeed(place.run(python, *instance, "verify", "identity", "--bundle", bundle, *identity, artifact))
    succeed(place.run(*SIGBOX, "verify-blob", artifact, "--bundle", bundle, *policy, PYTHONPATH=str(Path.cwd())))


def test_another_fingerprint_sets_up_nobody(place: Place, programs: Path):
    done = enroll(place, programs, "--fingerprint", "0" * 64)
    assert done.returncode != 0
    assert fingerprint(place) in done.stderr
    assert not (place.folder / "HOME" / ".sigstore").exists()


def test_a_client_that_was_named_must_be_there_and_must_take_it(place: Place, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    print_ = ("--fingerprint", fingerprint(place))
    done = enroll(place, empty, *print_, "--client", "cosign")
    assert done.returncode == 3
    assert "was not found" in done.stderr
    failing = empty / "cosign"
    failing.write_text("#!/bin/sh\necho 'no room' >&2\nexit 1\n")
    failing.chmod(0o755)
    done = enroll(place, empty, *print_, "--client", "cosign")
    assert done.returncode == 4
    assert "no room" in done.stderr
    assert shutil.which("cosign", path=str(empty))


def named(folder: Path, version: str) -> Path:
    """A program called `sigstore` that says to be of ``version``, and keeps what else it was asked."""
    folder.mkdir()
    program = folder / "sigstore"
    asked = f'if [ "$1" = --version ]; then echo "{version}"; else echo "$@" > "{folder}/asked"; fi\n'
    program.write_text(f"#!/bin/sh\n{asked}")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("first", ["python", "js"])
def test_two_clients_are_called_sigstore_and_each_is_told_in_its_own_words(place: Place, tmp_path: Path, first: str):
    python = named(tmp_path / "python", "sigstore 4.5.1")
    js = named(tmp_path / "js", "@sigstore/cli/0.10.3 linux-x64 node-v22.22.2")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "sigstore").write_text("#!/no/such/interpreter\n")
    (tmp_path / "gone" / "sigstore").chmod(0o755)
    order = (tmp_path / "gone", python, js) if first == "python" else (tmp_path / "gone", js, python)
    done = enroll(place, os.pathsep.join(map(str, order)), "--fingerprint", fingerprint(place), "--json")
    assert done.returncode == 0, done.stderr
    states = {name: row["state"] for name, row in json.loads(done.stdout)["clients"].items()}
    assert (states["sigstore-python"], states["sigstore-js"]) == ("set up", "set up")
    assert "trust-instance" in (python / "asked").read_text()
    assert "initialize --mirror" in (js / "asked").read_text()


def test_one_of_them_alone_is_not_taken_for_the_other(place: Place, tmp_path: Path):
    js = named(tmp_path / "js", "@sigstore/cli/0.10.3 linux-x64 node-v22.22.2")
    done = enroll(place, js, "--fingerprint", fingerprint(place), "--json")
    assert done.returncode == 0, done.stderr
    clients = json.loads(done.stdout)["clients"]
    assert (clients["sigstore-python"]["state"], clients["sigstore-js"]["state"]) == ("not found", "set up")
    assert enroll(place, js, "--fingerprint", fingerprint(place), "--client", "sigstore-python").returncode == 3


def test_sigstore_js_then_verifies_without_a_root(place: Place, tmp_path: Path, sigstore_js: SigstoreJs):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "sigstore"
    program.write_text(f'#!/bin/sh\nexec "{sigstore_js.node}" "{sigstore_js.node.with_name("sigstore")}" "$@"\n')
    program.chmod(0o755)
    done = enroll(place, folder, "--fingerprint", fingerprint(place), "--client", "sigstore-js")
    assert done.returncode == 0, done.stderr
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    succeed(sigstore_js.sign(place, Kind.MESSAGE_V1, artifact, bundle))
    wanted = ("--certificate-issuer", place.stack.oidc_issuer, "--certificate-identity-email", f"^{re.escape(ALICE)}$")
    verify = ("verify", bundle, "--blob-file", artifact, *wanted, "--tuf-mirror-url", place.stack.tuf_mirror)
    succeed(sigstore_js.command(place, *verify))
