# SPDX-License-Identifier: Apache-2.0
"""The official clients find their tokens by themselves, as in CI: told who they are by nothing but what a job has around it.

Who they turn out to be is what the source's issuer says in the world; and the certificate is of the right kind for it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.places import Done, Kind, Place, Signed, refuse, succeed
from tests.interop.tools import PYTHON, Cosign, SigstoreJs
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

GITHUB = "https://github.com/octo-org/octo-app/.github/workflows/release.yml@refs/heads/main"
CIRCLECI = (
    "https://circleci.com/api/v2/projects/1c2d3e4f-aaaa-4bbb-8ccc-0d0e0f101112"
    "/pipeline-definitions/5d6e7f80-9999-4888-8777-666655554444"
)
IDENTITIES = {
    "github": (GITHUB, "https://token.actions.githubusercontent.com"),
    "gitlab": ("https://gitlab.com/octo-group/octo-app//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com"),
    "buildkite": ("https://buildkite.com/octo-org/octo-app", "https://agent.buildkite.com"),
    "circleci": (
        CIRCLECI,
        "https://oidc.circleci.com",
    ),
    "variable": (GITHUB, "https://token.actions.githubusercontent.com"),
    "file": (
        "https://kubernetes.io/namespaces/build/serviceaccounts/signer",
        "https://kubernetes.default.svc",
    ),
    "spiffe": ("spiffe://example.org/ns/build/sa/signer", "https://spire.example.org"),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", "--control") as running:
        yield running


def around(place: Place, source: str, *options: str | Path) -> dict[str, str]:
    """What ``sigbox env ambient`` prints for a job there; its programs come first on the path."""
    programs = place.folder / "bin"
    done = sigbox("env", "ambient", source, "--url", place.stack.url, "--bin", programs, "--json", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for path, content in found["files"].items():
        (place.folder / Path(path).name).write_text(content)
    return {**found["environment"], "PATH": f"{programs}:{os.environ['PATH']}"}


def verify(signed: Signed, source: str) -> None:
    """Our client verifies that the bundle is of the source's identity, and that it is of no other."""
    identity, issuer = IDENTITIES[source]
    trust = ("--trusted-root", signed.place.stack.trusted_root)

    def verified(identity: str) -> Done:
        policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
        return sigbox("verify-blob", signed.artifact, "--bundle", signed.bundle, *policy, *trust)

    succeed(verified(identity))
    refuse(verified(f"{identity}x"))


def files_of(place: Place, kind: Kind) -> Signed:
    return Signed(place, place.artifact(), place.folder / "bundle.json", kind)


# --- cosign -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["github", "gitlab", "buildkite", "variable"])
def test_cosign_finds(cosign_v3: Cosign, place: Place, source: str):
    cosign_v3.trust(place)
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, source)
    what = ("--bundle", signed.bundle, signed.artifact)
    succeed(cosign_v3.run(place, "sign-blob", "--yes", *what, **environment))
    identity, issuer = IDENTITIES[source]
    policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
    succeed(cosign_v3.run(place, "verify-blob", *policy, *what))
    verify(signed, source)


@pytest.mark.parametrize("source", ["github", "buildkite"])
def test_cosign_2_finds(cosign_v2: Cosign, place: Place, source: str):
    cosign_v2.trust(place)
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, source)
    what = ("--use-signing-config", "--bundle", signed.bundle, signed.artifact)
    succeed(cosign_v2.run(place, "sign-blob", "--yes", *what, **environment))
    verify(signed, source)


def test_cosign_finds_the_token_of_a_pod_in_its_file(cosign_v3: Cosign, place: Place):
    """The file's place is fixed: a /run of its own shows it to this one process."""
    cosign_v3.trust(place)
    signed = files_of(place, Kind.MESSAGE_V2)
    around(place, "kubernetes")
    script = (
        "mount -t tmpfs none /run && mkdir -p /run/sigstore/cosign && "
        'cp oidc-token /var/run/sigstore/cosign/oidc-token && exec "$@"'
    )
    command = (cosign_v3.client.installed(), "sign-blob", "--yes", "--bundle", signed.bundle, signed.artifact)
    succeed(place.run("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *command))
    verify(signed, "file")


def test_cosign_says_why_when_the_source_refuses(cosign_v3: Cosign, place: Place):
    cosign_v3.trust(place)
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, "github")
    environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "0" * 64
    done = cosign_v3.run(place, "sign-blob", "--yes", "--bundle", signed.bundle, signed.artifact, **environment)
    refuse(done)
    assert not signed.bundle.exists()


def test_cosign_signs_as_the_persona_that_the_job_was_given(cosign_v3: Cosign, place: Place):
    cosign_v3.trust(place)
    persona = place.folder / "job.toml"
    shipped = Path("oidc_dev/personas/github-workflow.toml").read_text("utf-8")
    persona.write_text(shipped.replace("octo-org/octo-app", "acme/rocket"))
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, "github", "--persona", persona)
    what = ("--bundle", signed.bundle, signed.artifact)
    succeed(cosign_v3.run(place, "sign-blob", "--yes", *what, **environment))
    identity = GITHUB.replace("octo-org/octo-app", "acme/rocket")
    policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", IDENTITIES["github"][1])
    workflow = ("--certificate-github-workflow-repository", "acme/rocket")
    succeed(cosign_v3.run(place, "verify-blob", *policy, *workflow, *what))


# --- sigstore-python --------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["github", "gitlab", "buildkite", "circleci"])
def test_sigstore_python_finds(place: Place, source: str):
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, source)
    trust = ("--trust-config", place.stack.trust_config)
    done = PYTHON.run(place, *trust, "sign", "--bundle", signed.bundle, signed.artifact, **environment)
    succeed(done)
    succeed(PYTHON.verify(signed, *IDENTITIES[source]))
    verify(signed, source)


def test_sigstore_python_checks_the_claims_of_a_github_workflow(place: Place):
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, "github")
    trust = ("--trust-config", place.stack.trust_config)
    succeed(PYTHON.run(place, *trust, "sign", "--bundle", signed.bundle, signed.artifact, **environment))
    github = ("verify", "github", "--bundle", signed.bundle, "--cert-identity", GITHUB)
    claims = ("--trigger", "push", "--repository", "octo-org/octo-app", "--ref", "refs/heads/main", "--name", "release")
    succeed(PYTHON.run(place, *trust, *github, *claims, signed.artifact))
    refuse(PYTHON.run(place, *trust, *github, "--repository", "octo-org/other", signed.artifact))


# --- sigstore-js ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["github", "gitlab", "buildkite", "variable"])
def test_sigstore_js_finds(sigstore_js: SigstoreJs, place: Place, source: str):
    signed, environment = files_of(place, Kind.INTOTO_V1), around(place, source)
    url = place.stack.url
    where = ("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", place.stack.oidc_issuer, "--timeout", "30")
    what = ("attest", place.statement(signed.artifact), *where, "--output-file", signed.bundle)
    succeed(sigstore_js.command(place, *what, **({"CI": "true"} | environment)))
    identity, issuer = IDENTITIES[source]
    policy = ("--certificate-identity-uri", re.escape(identity), "--certificate-issuer", issuer)
    succeed(sigstore_js.command(place, "verify", signed.bundle, *policy, *sigstore_js.tuf(place)))


# --- our own client ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("source", ["github", "gitlab", "buildkite", "circleci", "variable", "spiffe"])
def test_our_client_finds(place: Place, source: str):
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, source)
    if source == "spiffe":
        environment["SIGBOX_SPIFFE_JWT_FILE"] = str(place.folder / Path(environment["SIGBOX_SPIFFE_JWT_FILE"]).name)
    what = ("sign-blob", signed.artifact, "--bundle", signed.bundle, "--trust-config", place.stack.trust_config)
    succeed(sigbox(*what, cwd=place.folder, **environment))
    verify(signed, source)


def test_our_client_does_not_look_around_when_it_is_told_not_to(place: Place):
    signed, environment = files_of(place, Kind.MESSAGE_V2), around(place, "github")
    what = ("sign-blob", signed.artifact, "--bundle", signed.bundle, "--trust-config", place.stack.trust_config)
    home = {"HOME": str(place.folder), "XDG_RUNTIME_DIR": "", "XDG_CACHE_HOME": ""}
    refuse(
        sigbox(*what, "--oidc-disable-ambient-providers", **environment, **home), because="there is no identity token"
    )
