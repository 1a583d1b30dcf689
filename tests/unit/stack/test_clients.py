# SPDX-License-Identifier: Apache-2.0
"""The form of what `sigbox env` prints; that it is true is shown by tests/interop."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from sigcore import x509
from sigcore.trustroot import parse_trusted_root
from stack import bootstrap
from stack.cli import main
from stack.clients.table import FIRST, GUIDES, guide
from stack.config import Home, Settings
from stack.trust.documents import save_documents
from stack.trust.publish import publish

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


def made(folder: Path, url: str) -> tuple[Home, Settings]:
    home = Home(folder)
    settings = bootstrap.prepare(home, url=url, default_url=url, ephemeral=True, now=NOW)
    save_documents(home, bootstrap.load_material(home).public, settings)
    publish(home, NOW)
    return home, settings


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Home, Settings]:
    return made(tmp_path_factory.mktemp("a data directory's"), "http://localhost:7780")


@pytest.fixture(scope="module")
def secure(tmp_path_factory) -> tuple[Home, Settings]:
    home, settings = made(tmp_path_factory.mktemp("secure"), "https://sig.example")
    home.tls_ca.write_text("a certificate")
    return home, settings


@pytest.mark.parametrize("client", GUIDES)
def test_the_lines_are_a_shell_script_whatever_the_directory_is_called(plain, client):
    text = "\n".join(guide(client, *plain).lines()) + "\n"
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not re.search(r"\bNone\b|\{\w*\}", text)


@pytest.mark.parametrize("client", GUIDES)
def test_every_file_that_is_named_exists(plain, client):
    found = guide(client, *plain)
    for _name, value in found.environment:
        assert Path(value).is_file(), value
    for step in (*found.steps, *found.more):
        for path in re.findall(r"'[^'\n]*'\"'\"'[^'\n]*/public/[^'\n]*'", step.command):
            assert Path(shlex.split(path)[0]).is_file(), path


def test_json_says_the_same(plain, capsys, monkeypatch):
    home, settings = plain
    assert main(["env", "cosign", "--data", str(home.path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    found = guide("cosign", home, settings)
    assert [step["command"] for step in document["steps"]] == [s.command for s in (*found.steps, *found.more)]
    assert [step["purpose"] for step in document["steps"] if step["needed"]] == ["trust", "sign", "verify"]
    assert main(["env", "cosign", "--data", str(home.path)]) == 0
    assert capsys.readouterr().out.splitlines() == list(found.lines())


@pytest.mark.parametrize("client", FIRST)
def test_every_first_client_signs_and_verifies(plain, client):
    purposes = {step.purpose for step in guide(client, *plain).steps}
    assert purposes >= {"sign", "verify"}


TLS = {
    "cosign": {"SSL_CERT_FILE"},
    "gitsign": {"SSL_CERT_FILE"},
    "sigstore-python": {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"},
    "sigstore-js": {"NODE_EXTRA_CA_CERTS"},
    "sigbox": {"SSL_CERT_FILE"},
}


@pytest.mark.parametrize("client", TLS)
def test_the_stacks_own_tls_authority_is_named_only_where_it_is_needed(plain, secure, client):
    assert {name for name, value in guide(client, *secure).environment if value == str(secure[0].tls_ca)} == TLS[client]
    assert not TLS[client] & {name for name, _ in guide(client, *plain).environment}


def test_files_for_podman_and_kubernetes_hold_what_they_should(plain):
    home, settings = plain
    policy = next(step.command for step in guide("podman", home, settings).steps if "policy.json <<" in step.command)
    document = json.loads(policy.split("<<'EOF'\n")[1].removesuffix("EOF"))
    [rule] = document["transports"]["docker"]["REGISTRY"]
    assert Path(rule["fulcio"]["caPath"]).is_file()
    assert Path(rule["rekorPublicKeyPath"]).is_file()
    [policy] = objects_of(guide("kyverno", home, settings).steps[-1].command)
    [entry] = policy["spec"]["rules"][0]["verifyImages"][0]["attestors"][0]["entries"]
    assert entry["keyless"]["roots"].strip() == (home.keys / "fulcio_chain.pem").read_text().strip()
    assert entry["keyless"]["rekor"]["pubkey"].strip() == (home.keys / "rekor.pub").read_text().strip()
    trust_root, image_policy = objects_of(guide("policy-controller", home, settings).steps[-1].command)
    assert base64.b64decode(trust_root["spec"]["remote"]["root"]) == home.tuf_root.read_bytes()
    assert image_policy["spec"]["authorities"][0]["keyless"]["trustRootRef"] == trust_root["metadata"]["name"]


def test_ghs_file_of_trusted_roots_is_made_anywhere_and_each_root_is_a_line_with_an_end(plain, tmp_path):
    home, settings = plain
    found = guide("gh", home, settings)
    [trust] = [step.command for step in found.steps if step.purpose == "trust"]
    assert not found.environment
    assert not [line for line in found.lines() if str(home.path) in line], "another machine has no such directory"
    for _ in range(2):
        subprocess.run(["bash", "-c", trust], cwd=tmp_path, check=True, env={"PATH": os.environ["PATH"]})
    [line] = lines_as_gh_reads_them((tmp_path / "trusted_root.jsonl").read_bytes())
    assert json.loads(line) == json.loads((home.public / "trusted_root.json").read_bytes())
    # It takes the root whose authority's organization is the issuer's of the certificate in the bundle.
    [authority] = parse_trusted_root(line).certificate_authorities
    signs = x509.parse_certificate(authority.chain[0])
    assert x509.organization(signs.issuer) == x509.organization(signs.subject) == settings.organization


def lines_as_gh_reads_them(data: bytes) -> list[bytes]:
    """Up to each line feed; what stands after the last one is nobody's line."""
    return [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]


def objects_of(command: str) -> list[dict]:
    return list(yaml.safe_load_all(command.split("<<'EOF'\n")[1].removesuffix("EOF")))


def test_the_lines_for_a_stack_that_is_no_stack_say_so(tmp_path, capsys):
    assert main(["env", "cosign", "--data", str(tmp_path)]) == 2
    assert "holds no stack" in capsys.readouterr().err
