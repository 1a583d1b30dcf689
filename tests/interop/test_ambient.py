# SPDX-License-Identifier: Apache-2.0
"""The official clients find their tokens by themselves, as in CI: told who they are by nothing but what a job has around it.

Who they turn out to be is what the source's issuer says in the world; and the certificate is of the right kind for it.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from oidc_dev.signing import SigningKey
from stack.bootstrap import load_oidc_key
from stack.config import Home
from stack.personas import load_shipped
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


def test_cosign_ends_when_the_source_refuses(cosign_v3: Cosign, place: Place):
    """It looks at no status; a refusal in JSON would make it wait for a person to log in."""
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


# --- a stack that stays: machines with a secret, and jobs with the token of their own CI system -----------------------
GITLAB, JOB, MACHINE = (
    "https://gitlab.corp.example",
    "https://ci.corp.example/group/app",
    "https://ci.corp.example/release",
)
KEY = ec.generate_private_key(ec.SECP256R1())
BROKERED = f"""\
[[brokered]]
issuer = "{GITLAB}"
audience = "our stack"
jwks = "gitlab.jwks"

[[brokered.jobs]]
claims = {{ project_path = "group/app", ref_protected = "true" }}
subject = "https://ci.corp.example/{{{{ .project_path }}}}"
"""


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("durable")
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "a"}
    (folder / "gitlab.jwks").write_text(json.dumps({"keys": [jwk]}))
    (folder / "sigbox.toml").write_text(BROKERED)
    with running_stack(folder, "--data", folder / "data", "--config", folder / "sigbox.toml") as running:
        yield running


def gitlab_token(**claims: object) -> str:
    now = int(time.time())
    said = {"iss": GITLAB, "aud": "our stack", "sub": "job", "iat": now, "exp": now + 300, "ref_protected": "true"}
    return jwt.encode({**said, "project_path": "group/app", **claims}, KEY, "ES256", {"kid": "a"})


def requesting(stack: RunningStack, secret: str) -> dict[str, str]:
    """The two variables that a job is given; any CI system can."""
    url = f"{stack.oidc_issuer}/ambient?api-version=2.0"
    request = {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": secret}
    return {"CI": "true", "GITHUB_ACTIONS": "true", **request}


@pytest.mark.parametrize("who", ["machine", "job"])
def test_every_client_signs_as_a_machine_of_a_stack_that_stays(
    cosign_v3: Cosign, sigstore_js: SigstoreJs, durable: RunningStack, tmp_path: Path, who: str
):
    """No secret of the stack is in the job's hands but its own, or none at all: its CI system's token is the proof."""
    place, url = Place(durable, tmp_path), durable.url
    identity, secret = JOB, gitlab_token()
    if who == "machine":
        done = sigbox("client", "add", "release", "--subject", MACHINE, "--data", durable.data)
        assert done.returncode == 0, done.stderr
        identity, secret = MACHINE, done.stdout.strip()
    environment = requesting(durable, secret)
    policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", durable.oidc_issuer)
    trust = ("--trust-config", durable.trust_config)
    artifact, statement = place.artifact(), place.statement(place.artifact())
    bundles = [tmp_path / f"{name}.json" for name in ("cosign", "python", "sigbox")]

    cosign_v3.trust(place)
    succeed(cosign_v3.run(place, "sign-blob", "--yes", "--bundle", bundles[0], artifact, **environment))
    succeed(PYTHON.run(place, *trust, "sign", "--bundle", bundles[1], artifact, **environment))
    succeed(sigbox("sign-blob", artifact, "--bundle", bundles[2], *trust, **environment))
    for bundle in bundles:
        succeed(cosign_v3.run(place, "verify-blob", "--bundle", bundle, *policy, artifact))

    where = ("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", durable.oidc_issuer, "--timeout", "30")
    attested = tmp_path / "js.json"
    succeed(sigstore_js.command(place, "attest", statement, *where, "--output-file", attested, **environment))
    names = ("--certificate-identity-uri", re.escape(identity), "--certificate-issuer", durable.oidc_issuer)
    succeed(sigstore_js.command(place, "verify", attested, *names, *sigstore_js.tuf(place)))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"project_path": "group/other"}, "no job that is known here has the claims"),
        ({"ref_protected": "false"}, "no job that is known here has the claims"),
        ({"aud": "sigstore"}, "expected 'our stack'"),
        ({"iss": "https://gitlab.com"}, "is not accepted here"),
    ],
)
def test_a_job_that_is_not_listed_gets_nothing_and_is_told_why(durable: RunningStack, tmp_path: Path, claims, why):
    artifact = Place(durable, tmp_path).artifact()
    environment = requesting(durable, gitlab_token(**claims))
    refuse(sigbox("sign-blob", artifact, "--trust-config", durable.trust_config, **environment), because=why)


def test_a_stack_that_stays_speaks_as_nobody_else(durable: RunningStack, tmp_path: Path):
    """Personas are for tests: it mints none; and a token that is signed with its own key, in GitHub's name, buys nothing."""
    refuse(
        sigbox("token", "--persona", "github-workflow", "--data", durable.data), because="which this stack never does"
    )
    refuse(sigbox("env", "ambient", "github", "--data", durable.data), because="has no control API")
    now, key = int(time.time()), load_oidc_key(Home(durable.data))
    persona = load_shipped("github-workflow")
    said = {"iss": IDENTITIES["github"][1], "sub": persona.subject, "aud": "sigstore", "iat": now, "exp": now + 300}
    forged = jwt.encode({**said, **persona.claims}, key, "RS256", {"kid": SigningKey.of(key).id})
    artifact = Place(durable, tmp_path).artifact()
    done = sigbox("sign-blob", artifact, "--identity-token", forged, "--trust-config", durable.trust_config)
    refuse(done, because="is not accepted here")


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
