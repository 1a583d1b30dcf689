# SPDX-License-Identifier: Apache-2.0
"""Packages of other ecosystems against a running stack, and the commands of docs/packages.md as its reader types them."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sigcore.pep740 import PUBLISH
from tests.stack_process import ROOT, RunningStack, environment, sigbox

ALICE = "alice@example.com"
PACKAGE = "demo-1.0.0.tgz"
WHEEL, SOURCE = "demo-1.0-py3-none-any.whl", "demo-1.0.tar.gz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dist").mkdir()
    for name in (WHEEL, SOURCE):
        (tmp_path / "dist" / name).write_text(f"the content of {name}\n")
    manifest = b'{"name": "demo", "version": "1.0.0"}'
    with tarfile.open(tmp_path / PACKAGE, "w:gz") as archive:
        member = tarfile.TarInfo("package/package.json")
        member.size = len(manifest)
        archive.addfile(member, io.BytesIO(manifest))
    (tmp_path / "provenance.json").write_text('{"buildDefinition": {"buildType": "https://example.com/build"}}')
    return tmp_path


def run(stack: RunningStack, folder: Path, *words: str | Path):
    return sigbox(*words, cwd=folder, SIGBOX_TRUST_CONFIG=str(stack.trust_config))


def attest(stack: RunningStack, folder: Path, *words: str | Path):
    return run(stack, folder, "pypi", "attest", *words, "--identity-token", stack.token(ALICE))


# --- PyPI ----------------------------------------------------------------------------------------------
def test_attestations_are_passed_over_when_dist_is_attested_again(stack: RunningStack, folder: Path):
    for _ in range(2):
        done = attest(stack, folder, *sorted((folder / "dist").iterdir()), "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert [Path(row["file"]).name for row in rows] == [WHEEL, SOURCE]
        assert [Path(row["attestation"]).name for row in rows] == [f"{n}.publish.attestation" for n in (WHEEL, SOURCE)]
        assert {row["logEntryKind"] for row in rows} == {"dsse 0.0.1"}
    assert len(list((folder / "dist").iterdir())) == 4


def test_a_policy_decides_who_may_publish(stack: RunningStack, folder: Path):
    assert attest(stack, folder, f"dist/{WHEEL}").returncode == 0
    for email, code in ((ALICE, 0), ("bob@example.com", 1)):
        policy = {
            "apiVersion": "policy/v1",
            "expires": "2099-12-31",
            "identities": {"publisher": {"issuer": stack.oidc_issuer, "email": email}},
            "artifacts": [
                {
                    "match": {"file": "demo-*"},
                    "attestations": [{"predicateType": PUBLISH, "by": ["publisher"]}],
                }
            ],
        }
        (folder / "policy.json").write_text(json.dumps(policy))
        done = run(stack, folder, "pypi", "verify", f"dist/{WHEEL}", "--policy", "policy.json")
        assert done.returncode == code, done.stderr


def test_without_a_log_of_v1_it_says_why_and_signs_nothing(stack: RunningStack, folder: Path):
    config = json.loads(stack.signing_config.read_bytes())
    config["rekorTlogUrls"] = [one for one in config["rekorTlogUrls"] if one["majorApiVersion"] == 2]
    (folder / "v2.json").write_text(json.dumps(config))
    trust = ("--signing-config", "v2.json", "--trusted-root", stack.trusted_root)
    done = sigbox("pypi", "attest", f"dist/{WHEEL}", *trust, "--identity-token", stack.token(ALICE), cwd=folder)
    assert done.returncode == 2
    assert "PEP 740 has no place for the timestamp that v2 needs" in done.stderr
    assert not (folder / "dist" / f"{WHEEL}.publish.attestation").exists()


@pytest.mark.parametrize(
    ("words", "because"),
    [
        (("provenance.json",), "'provenance.json' is no name of a Python distribution"),
        (("x.publish.attestation",), "every FILE is an attestation"),
        ((f"dist/{WHEEL}", "--predicate", "provenance.json"), "the type publish, which has none"),
        ((f"dist/{WHEEL}", "--timestamp-server-url", "http://localhost:1"), "no place for timestamps"),
        ((f"dist/{WHEEL}", "--type", "spdx"), "publish or slsaprovenance1 alone"),
    ],
)
def test_what_cannot_be_attested_is_said_before_anything_is_signed(stack, folder, words, because):
    done = attest(stack, folder, *words)
    assert done.returncode == 2
    assert because in done.stderr
    assert sorted(path.name for path in (folder / "dist").iterdir()) == [WHEEL, SOURCE]


@pytest.mark.parametrize(("kind", "code"), [(PUBLISH, 0), ("publish", 0), ("nonsense", 2)])
def test_a_type_may_be_named_by_its_uri_and_a_name_that_nobody_knows_is_said(stack, folder, kind, code):
    assert attest(stack, folder, f"dist/{WHEEL}").returncode == 0
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    done = run(stack, folder, "pypi", "verify", f"dist/{WHEEL}", "--type", kind, *who)
    assert done.returncode == code, done.stderr
    assert code == 0 or "--type: the predicate type is 'nonsense'" in done.stderr


def test_each_step_is_explained_and_the_one_at_which_a_renamed_file_is_refused(stack: RunningStack, folder: Path):
    done = attest(stack, folder, f"dist/{SOURCE}", "--explain=json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["steps"][0]["name"] == "token"
    renamed = "other-1.0.tar.gz"
    for suffix in ("", ".publish.attestation"):
        (folder / f"{renamed}{suffix}").write_bytes((folder / "dist" / f"{SOURCE}{suffix}").read_bytes())
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    for file, code, last in ((f"dist/{SOURCE}", 0, "signature"), (renamed, 1, "statement")):
        done = run(stack, folder, "pypi", "verify", file, "--explain=json", "--explain-dir", f"why-{code}", *who)
        assert done.returncode == code, done.stderr
        steps = json.loads(done.stdout)[0]["steps"]
        assert [step["name"] for step in steps if not step["holds"]] == ["statement"] * code
        assert steps[-1]["name"] == last
        assert (folder / f"why-{code}" / "1" / "statement.json").exists()


# --- npm -----------------------------------------------------------------------------------------------
def provenance(stack: RunningStack, folder: Path, *words: str | Path):
    who = ("--identity-token", stack.token(ALICE), "--predicate", "provenance.json")
    return run(stack, folder, "npm", "attest", PACKAGE, *who, *words)


@pytest.mark.parametrize(("words", "kind"), [((), "dsse 0.0.1"), (("--rekor-version", "2"), "hashedrekord 0.0.2")])
def test_provenance_is_logged_where_npm_reads_it_unless_told_otherwise(stack, folder, words, kind):
    done = provenance(stack, folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    assert [row["logEntryKind"] for row in json.loads(done.stdout)] == [kind]
    who = ("--certificate-identity", ALICE, "--certificate-oidc-issuer", stack.oidc_issuer)
    assert run(stack, folder, "npm", "verify", PACKAGE, *who).returncode == 0


def test_a_policy_about_a_package_name_decides(stack: RunningStack, folder: Path):
    assert provenance(stack, folder).returncode == 0
    wanted = {"predicateType": "https://slsa.dev/provenance/v1", "by": ["publisher"]}
    for where, code in (("https://example.com/*", 0), ("https://example.org/*", 1)):
        policy = {
            "apiVersion": "policy/v1",
            "expires": "2099-12-31",
            "identities": {"publisher": {"issuer": stack.oidc_issuer, "email": ALICE}},
            "artifacts": [
                {
                    "match": {"purl": "pkg:npm/demo@*"},
                    "attestations": [wanted | {"where": {"buildDefinition.buildType": where}}],
                }
            ],
        }
        (folder / "policy.json").write_text(json.dumps(policy))
        words = ("--policy", "policy.json", "--as", "pkg:npm/demo@1.0.0")
        done = run(stack, folder, "npm", "verify", PACKAGE, *words)
        assert done.returncode == code, done.stderr


# --- the page --------------------------------------------------------------------------------------------
def commands() -> list[str]:
    text = (ROOT / "docs" / "packages.md").read_text("utf-8")
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return re.findall(r"^\$ (.*)$", blocks, re.MULTILINE)


def test_every_command_of_the_page_does_what_it_says(stack: RunningStack, folder: Path):
    lines = [line.replace("http://localhost:7780/auth", stack.oidc_issuer) for line in commands()]
    assert len(lines) >= 7
    programs = folder / "bin"
    programs.mkdir()
    (programs / "sigbox").write_text(f'#!/bin/sh\nexec {sys.executable} -m stack.cli "$@"\n')
    (programs / "sigbox").chmod(0o755)
    env = environment(
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
        SIGBOX_TRUST_CONFIG=str(stack.trust_config),
        TOKEN=stack.token(ALICE),
    )
    script = "\n".join(("set -e", *lines))
    done = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "demo.sigstore.json").exists()
