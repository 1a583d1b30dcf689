# SPDX-License-Identifier: Apache-2.0
"""The lines for other machines: whole, checked against the fingerprint, and free of what only the stack's machine has."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from sigcore.errors import Malformed
from sigcore.trustroot import TrustedRoot, parse_trusted_root
from stack import bootstrap
from stack.cli.enrolled_keys import key_files
from stack.clients.remote import Remote
from stack.clients.table import GUIDES
from stack.config import Home, Settings
from stack.trust.documents import save_documents
from stack.trust.publish import publish
from stack.web.front_page import lines_for

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
TRUST_BY_ROOT = ("cosign", "gitsign", "sigstore-python", "sigstore-js", "gh", "policy-controller")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Settings]:
    home, url = Home(tmp_path_factory.mktemp("remote") / "data"), "http://sig.example"
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=NOW)
    save_documents(home, bootstrap.load_material(home).public, settings)
    publish(home, NOW)
    return home, settings


@pytest.fixture
def remote(stack) -> Remote:
    return Remote(*stack)


def script(client: str, remote: Remote) -> str:
    return "\n".join(lines_for(client, remote)) + "\n"


@pytest.mark.parametrize("client", GUIDES)
def test_the_lines_are_a_shell_script_without_a_path_or_a_secret_of_the_stacks_machine(remote, client):
    text = script(client, remote)
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(remote.home.path) not in text
    assert "sigbox token" not in text
    assert not re.search(r"\bNone\b|public/", text)


@pytest.mark.parametrize("client", TRUST_BY_ROOT)
@pytest.mark.parametrize("honest", [True, False])
def test_a_root_is_trusted_only_after_it_was_compared_with_the_fingerprint(remote, client, honest, tmp_path):
    """The commands are replaced by programs that write down that they ran; curl brings the root, or another one."""
    root = remote.home.tuf_root.read_bytes() + (b"" if honest else b" ")
    (tmp_path / "served").write_bytes(root)
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs / "curl", f"echo curl >> {tmp_path}/ran; cp {tmp_path}/served root.json")
    for name in ("sigstore", "cosign", "gitsign", "gh", "kubectl", "git", "sigbox"):
        program(programs / name, f'[ -f root.json ] && echo "{name} $*" >> {tmp_path}/ran || true')
    done = subprocess.run(
        ["bash", "-s"],
        input=script(client, remote),
        cwd=tmp_path,
        env={"PATH": os.pathsep.join((str(programs), "/usr/bin", "/bin"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ran = (tmp_path / "ran").read_text().splitlines()
    assert "curl" in ran
    naming = [line for line in ran if " root.json" in line or line.startswith("kubectl")]
    assert bool(naming) is honest, done.stderr


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("client", ["kyverno", "policy-controller"])
def test_what_the_shell_puts_into_a_document_makes_it_whole(remote, client, tmp_path):
    keys = tmp_path / "sigbox-keys"
    keys.mkdir()
    for name, pem in key_files(parse_trusted_root(remote.home.trusted_root.read_bytes())).items():
        (keys / name).write_bytes(pem)
    (tmp_path / "root.json").write_bytes(remote.home.tuf_root.read_bytes())
    document = re.search(r"<<EOF\n(.*?)\nEOF\n", script(client, remote), re.DOTALL)
    assert document is not None
    filled = subprocess.run(
        ["bash", "-c", f"cat <<EOF\n{document[1]}\nEOF"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    first = next(iter(yaml.safe_load_all(filled)))
    if client == "kyverno":
        keyless = first["spec"]["rules"][0]["verifyImages"][0]["attestors"][0]["entries"][0]["keyless"]
        assert keyless["roots"].strip() == (remote.home.keys / "fulcio_chain.pem").read_text().strip()
        assert keyless["rekor"]["pubkey"].strip() == (remote.home.keys / "rekor.pub").read_text().strip()
    else:
        assert "\n" not in first["spec"]["remote"]["root"]
        assert first["spec"]["remote"]["mirror"] == remote.mirror


def test_the_own_tls_authority_is_named_as_a_file_that_the_user_brings(stack):
    home, settings = stack
    home.tls_ca.write_text("a certificate")
    try:
        remote = Remote(home, replace(settings, url="https://sig.example"))
        assert remote.enroll.endswith(" --ca-file tls_ca.pem")
        assert 'export SSL_CERT_FILE="$PWD/tls_ca.pem"' in lines_for("cosign", remote)
        assert "--cacert tls_ca.pem" in remote.fetch
    finally:
        home.tls_ca.unlink()


def test_the_keys_that_enroll_writes_are_those_that_the_stack_publishes(remote):
    files = key_files(parse_trusted_root(remote.home.trusted_root.read_bytes()))
    assert set(files) == {"fulcio_v1.crt.pem", "fulcio_chain.pem", "ctfe.pub", "rekor.pub"}
    for name, pem in files.items():
        assert pem == (remote.home.keys / name).read_bytes(), name


def test_a_trusted_root_without_keys_for_them_is_refused():
    with pytest.raises(Malformed, match="no certificate authority"):
        key_files(TrustedRoot())


def test_the_fingerprint_in_the_lines_is_that_of_the_first_root(remote):
    digest = hashlib.sha256(remote.home.tuf_root.read_bytes()).hexdigest()
    assert f"--fingerprint sha256:{digest}" in remote.enroll
    assert f"'{digest}  root.json'" in remote.fetch
