# SPDX-License-Identifier: Apache-2.0
"""The real npm against a registry of the test's own: it publishes with our provenance, and audits it, by the trust root of our stack.

npm has no option for that; `sigbox npm shim` prints what Node loads before it. What npm itself checks is npm's.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.places import ALICE, MALLORY, Place, refuse, succeed
from tests.missing import missing
from tests.npm_registry import ATTESTATIONS, NpmRegistry, npm_registry
from tests.stack_process import ROOT, RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]
NAME = "@acme/demo"
GITHUB = "https://github.com/octo-org/octo-app/.github/workflows/release.yml@refs/heads/main"
JOB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "octo-org/octo-app",
    "GITHUB_REPOSITORY_ID": "74",
    "GITHUB_REPOSITORY_OWNER_ID": "65",
    "GITHUB_REF": "refs/heads/main",
    "GITHUB_SHA": "8d0ac8ab2ac1f2aeb9ef6d4e8ae1f3ee7ed5bf0f",
    "GITHUB_WORKFLOW_REF": "octo-org/octo-app/.github/workflows/release.yml@refs/heads/main",
    "GITHUB_EVENT_NAME": "push",
    "GITHUB_RUN_ID": "17",
    "GITHUB_RUN_ATTEMPT": "2",
    "RUNNER_ENVIRONMENT": "github-hosted",
}
"""What GitHub sets for a job, beside its token."""
GITHUB_ISSUER = "https://token.actions.githubusercontent.com"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", "--control") as running:
        yield running


@pytest.fixture
def registry() -> Iterator[NpmRegistry]:
    with npm_registry() as running:
        yield running


class Npm:
    """A home and a package in it; npm trusts ``trusted``."""

    def __init__(self, place: Place, registry: NpmRegistry, trusted: RunningStack) -> None:
        self.place, self.registry = place, registry
        self.package, self.user = place.folder / "demo", place.folder / "user"
        for folder, manifest in ((self.package, {"name": NAME, "version": "1.0.0"}), (self.user, {"name": "user"})):
            folder.mkdir()
            (folder / "package.json").write_text(json.dumps(manifest))
        (self.package / "index.js").write_text("module.exports = 1\n")
        registry.settings(place.folder)
        (place.folder / "npm-trust.cjs").write_text(sigbox("npm", "shim").stdout)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place.folder),
            "NO_PROXY": "localhost,127.0.0.1",
            "NODE_OPTIONS": f"--require {place.folder / 'npm-trust.cjs'}",
            "TUF_MIRROR": trusted.tuf_mirror,
            "TUF_ROOT_JSON": str(trusted.tuf_root),
            "SIGSTORE_FULCIO_URL": trusted.url,
            "SIGSTORE_REKOR_URL": trusted.url,
        }

    def run(self, folder: Path, *words: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["npm", *map(str, words)], cwd=folder, env={**self.environment, **extra}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def attested(self) -> tuple[Path, Path]:
        """The tarball, and the bundle that our client makes of it."""
        succeed(self.run(self.package, "pack", "--silent"))
        (self.place.folder / "provenance.json").write_text('{"buildDefinition": {"buildType": "https://example.com"}}')
        tarball = self.package / "acme-demo-1.0.0.tgz"
        who = ("--identity-token", self.place.stack.token(ALICE), "--trust-config", self.place.stack.trust_config)
        what = ("--predicate", self.place.folder / "provenance.json")
        succeed(sigbox("npm", "attest", tarball, *what, *who))
        return tarball, tarball.with_name(f"{tarball.name}.sigstore.json")

    def publish(self, *words: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.package, "publish", "--access", "public", *words, **extra)

    def audit(self) -> subprocess.CompletedProcess[str]:
        """As a user who has just installed it."""
        succeed(self.run(self.user, "install", f"{NAME}@1.0.0"))
        return self.run(self.user, "audit", "signatures")


@pytest.fixture
def npm(place: Place, registry: NpmRegistry) -> Npm:
    if shutil.which("npm") is None:
        missing("npm is absent")
    return Npm(place, registry, place.stack)


def verify(npm: Npm, tarball: Path, identity: str, issuer: str) -> subprocess.CompletedProcess[str]:
    """By our client, from what the registry hands out."""
    (npm.place.folder / "document.json").write_bytes(npm.registry.attestations(f"{NAME}@1.0.0"))
    who = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
    trust = ("--trusted-root", npm.place.stack.trusted_root)
    return sigbox("npm", "verify", tarball, "--attestations", npm.place.folder / "document.json", *who, *trust)


def test_npm_publishes_with_our_provenance_and_audits_it(npm: Npm):
    tarball, bundle = npm.attested()
    succeed(npm.publish(tarball, "--provenance-file", bundle))
    done = npm.audit()
    succeed(done)
    assert "1 package has a verified attestation" in done.stdout
    succeed(verify(npm, tarball, ALICE, npm.place.stack.oidc_issuer))
    refuse(verify(npm, tarball, MALLORY, npm.place.stack.oidc_issuer))


def test_npm_refuses_provenance_that_was_changed_on_the_registry(npm: Npm):
    tarball, bundle = npm.attested()
    succeed(npm.publish(tarball, "--provenance-file", bundle))
    path = f"{ATTESTATIONS}{NAME}@1.0.0"
    document = json.loads(npm.registry.files[path])
    envelope = document["attestations"][0]["bundle"]["dsseEnvelope"]
    statement = base64.b64decode(envelope["payload"]).replace(b"https://example.com", b"https://example.org")
    envelope["payload"] = base64.b64encode(statement).decode()
    npm.registry.files[path] = json.dumps(document).encode()
    # Of a registry without keys, npm counts nothing where no attestation holds, and says that there was nothing to audit.
    npm.registry.files["/-/npm/v1/keys"] = json.dumps({"keys": [{"keyid": "unused", "key": "AA=="}]}).encode()
    done = npm.audit()
    assert done.returncode == 1
    assert "1 package has an invalid attestation" in done.stdout, done.stderr
    refuse(verify(npm, tarball, ALICE, npm.place.stack.oidc_issuer))


def test_npm_refuses_provenance_of_other_bytes_before_it_publishes(npm: Npm):
    _, bundle = npm.attested()
    (npm.package / "index.js").write_text("module.exports = 2\n")
    done = npm.publish("--provenance-file", bundle)
    refuse(done, because="Provenance subject digest does not match the package")
    assert npm.registry.files == {}


def test_npm_refuses_provenance_of_another_stack(place: Place, registry: NpmRegistry, npm: Npm, stranger: RunningStack):
    tarball, bundle = npm.attested()
    elsewhere = {"TUF_MIRROR": stranger.tuf_mirror, "TUF_ROOT_JSON": str(stranger.tuf_root)}
    refuse(npm.publish(tarball, "--provenance-file", bundle, **elsewhere))
    assert registry.files == {}


def test_npm_itself_signs_in_a_job_and_says_what_we_say(npm: Npm):
    """`npm publish --provenance`, in an imitated job of GitHub Actions: npm makes the statement, the stack certifies the job."""
    programs = npm.place.folder / "bin"
    ambient = sigbox("env", "ambient", "github", "--url", npm.place.stack.url, "--bin", programs, "--json")
    job = {**json.loads(ambient.stdout)["environment"], **JOB}
    succeed(npm.publish("--provenance", **job))
    succeed(npm.run(npm.package, "pack", "--silent"))
    tarball = npm.package / "acme-demo-1.0.0.tgz"
    succeed(verify(npm, tarball, GITHUB, GITHUB_ISSUER))
    refuse(verify(npm, tarball, f"{GITHUB}x", GITHUB_ISSUER))
    assert "1 package has a verified attestation" in npm.audit().stdout

    succeed(sigbox("npm", "attest", tarball, "--trust-config", npm.place.stack.trust_config, **job))
    theirs = json.loads(npm.registry.attestations(f"{NAME}@1.0.0"))["attestations"][0]["bundle"]
    ours = json.loads(tarball.with_name(f"{tarball.name}.sigstore.json").read_bytes())
    assert statement(ours) == statement(theirs)


def statement(bundle: dict) -> dict:
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def test_the_shim_without_its_variables_says_so(npm: Npm):
    done = npm.run(npm.user, "--version", TUF_MIRROR="")
    assert done.returncode != 0
    assert "TUF_MIRROR and TUF_ROOT_JSON must say whom npm shall trust" in done.stderr
    done = npm.publish(
        "--provenance", SIGSTORE_REKOR_URL="", **JOB, GITHUB_ACTIONS="true", ACTIONS_ID_TOKEN_REQUEST_URL="x"
    )
    refuse(done, because="must say where npm shall sign")
    assert npm.registry.files == {}


def test_the_lines_of_env(npm: Npm):
    """As they are pasted into a shell, in the folder of the package."""
    shutil.copy(npm.package / "package.json", npm.place.folder)
    guide = json.loads(sigbox("env", "npm", "--data", npm.place.stack.data, "--json").stdout)
    assert {step["purpose"] for step in guide["steps"]} == {"trust", "sign", "verify"}
    programs = npm.place.folder / "programs"
    programs.mkdir()
    (programs / "sigbox").write_text(f'#!/bin/sh\nNODE_OPTIONS= exec {sys.executable} -P -m stack.cli "$@"\n')
    (programs / "sigbox").chmod(0o755)
    (npm.place.folder / "PREDICATE.json").write_text('{"buildDefinition": {"buildType": "https://example.com"}}')
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(npm.place.folder),
        "NO_PROXY": "localhost,127.0.0.1",
        **guide["environment"],
    }
    lines = [step["command"].replace("PACKAGE.tgz", "acme-demo-1.0.0.tgz") for step in guide["steps"]]
    audit = lines.pop()
    assert audit == "npm audit signatures"
    script = "\n".join((*lines, "npm uninstall --silent @acme/demo", "cd user", f"npm install {NAME}@1.0.0", audit))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=npm.place.folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    succeed(done)
    assert done.stderr.count("Verified OK acme-demo-1.0.0.tgz: alice@example.com") == 2
    assert "1 package has a verified attestation" in done.stdout
