# SPDX-License-Identifier: Apache-2.0
"""gitsign, unmodified, with the lines of `sigbox env gitsign`: commits signed by each source of tokens that it has, and verified.

Its sources are those of cosign's ``pkg/providers``, and the browser (``tests/browser/test_gitsign.py``). Each is found by itself, or
named in ``GITSIGN_TOKEN_PROVIDER``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.interop.clients import GITSIGN, SPIFFE_AGENT
from tests.interop.conftest import needed
from tests.interop.google import Cloud, google_cloud
from tests.interop.places import ALICE, MALLORY, Place, refuse, succeed
from tests.interop.repository import Repository
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

GITHUB = (
    "https://github.com/octo-org/octo-app/.github/workflows/release.yml@refs/heads/main",
    "https://token.actions.githubusercontent.com",
)
WORKLOAD = "spiffe://example.org/ns/build/sa/signer"
ACCOUNT, GOOGLE = "signer@octo-app.iam.gserviceaccount.com", "https://accounts.google.com"


@pytest.fixture(scope="module")
def gitsign() -> Path:
    with needed():
        return GITSIGN.installed()


@pytest.fixture(scope="module")
def tests_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", "--control") as running:
        yield running


def test_a_commit_by_the_token_of_the_environment(gitsign: Path, place: Place):
    repository, issuer = Repository(place, gitsign), place.stack.oidc_issuer
    repository.commit(SIGSTORE_ID_TOKEN=place.stack.token(ALICE))
    done = repository.verify(ALICE, issuer)
    succeed(done)
    assert "Validated Rekor entry: true" in done.stdout + done.stderr
    succeed(repository.run("git", "verify-commit", "HEAD"))
    refuse(repository.verify(MALLORY, issuer))
    refuse(repository.verify(ALICE, f"{issuer}x"))


def test_a_commit_that_was_changed_is_refused(gitsign: Path, place: Place):
    repository = Repository(place, gitsign)
    repository.commit(SIGSTORE_ID_TOKEN=place.stack.token(ALICE))
    text = repository.run("git", "cat-file", "commit", "HEAD").stdout.replace("a change", "A change")
    (place.folder / "changed").write_text(text)
    changed = repository.run("git", "hash-object", "-t", "commit", "-w", "changed").stdout.strip()
    refuse(repository.verify(ALICE, place.stack.oidc_issuer, changed))


def test_a_signed_commit_is_found_by_its_name_in_the_console(gitsign: Path, place: Place):
    repository = Repository(place, gitsign)
    repository.commit(SIGSTORE_ID_TOKEN=place.stack.token(ALICE))
    name = repository.run("git", "rev-parse", "HEAD").stdout.strip()
    with urlopen(f"{place.stack.url}/search.json?q={name}") as answer:
        (entry,) = json.load(answer)["entries"]
    assert entry["identity"] == ALICE
    assert entry["digest"] == hashlib.sha256(name.encode()).hexdigest()


# --- in a job: each source is found by itself, and when it is named -----------------------------------------
@pytest.fixture
def job(gitsign: Path, tests_stack: RunningStack, tmp_path: Path) -> Repository:
    return Repository(Place(tests_stack, tmp_path), gitsign)


def around(job: Repository, source: str) -> dict[str, str]:
    """What a job of ``source`` finds around it; its files are put into the job's folder."""
    done = sigbox("env", "ambient", source, "--url", job.place.stack.url, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for path, content in found["files"].items():
        (job.place.folder / Path(path).name).write_text(content)
    environment: dict[str, str] = found["environment"]
    return environment


def named(provider: str) -> dict[str, str]:
    return {"GITSIGN_TOKEN_PROVIDER": provider} if provider else {}


def signed_as(job: Repository, identity: str, issuer: str) -> None:
    """The commit is of this identity, and of no other."""
    succeed(job.verify(identity, issuer))
    refuse(job.verify(f"{identity}x", issuer))


@pytest.mark.parametrize("provider", ["", "envvar"])
def test_a_token_in_the_environment_of_a_job_of_gitlab(job: Repository, provider: str):
    job.commit(SIGSTORE_ID_TOKEN=around(job, "gitlab")["SIGSTORE_ID_TOKEN"], **named(provider))
    signed_as(job, "https://gitlab.com/octo-group/octo-app//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com")


@pytest.mark.parametrize("provider", ["", "github-actions"])
def test_a_job_of_github_actions(job: Repository, provider: str):
    job.commit(**around(job, "github"), **named(provider))
    signed_as(job, *GITHUB)


@pytest.mark.parametrize("provider", ["", "buildkite-agent"])
def test_a_job_of_buildkite(job: Repository, provider: str):
    job.commit(**around(job, "buildkite"), **named(provider))
    signed_as(job, "https://buildkite.com/octo-org/octo-app", "https://agent.buildkite.com")


@pytest.mark.parametrize("provider", ["", "filesystem"])
def test_a_pod_with_its_token_in_the_file(job: Repository, provider: str):
    """The file's place is fixed: a /run of its own shows it to this one process."""
    around(job, "kubernetes")
    job.stage()
    script = (
        "mount -t tmpfs none /run && mkdir -p /run/sigstore/cosign && "
        "cp oidc-token /var/run/sigstore/cosign/oidc-token && git commit --quiet -m 'a change'"
    )
    succeed(job.run("unshare", "--map-root-user", "--mount", "sh", "-ec", script, **named(provider)))
    signed_as(job, "https://kubernetes.io/namespaces/build/serviceaccounts/signer", "https://kubernetes.default.svc")


@pytest.fixture
def agent(job: Repository) -> Iterator[Path]:
    """The socket of a SPIFFE agent that knows the job as a workload."""
    file, socket = job.place.folder / "svid", job.place.folder / "agent.sock"
    done = sigbox("token", "--persona", "spiffe", "--url", job.place.stack.url)
    assert done.returncode == 0, done.stderr
    file.write_text(f"{WORKLOAD}\n{done.stdout}")
    command = [GITSIGN.installed().with_name(SPIFFE_AGENT), socket, file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == str(socket)
            yield socket
        finally:
            process.kill()


@pytest.mark.parametrize("provider", ["", "spiffe"])
def test_a_workload_of_spiffe_whose_agent_hands_out_its_token(job: Repository, agent: Path, provider: str):
    job.commit(SPIFFE_ENDPOINT_SOCKET=str(agent), **named(provider))
    signed_as(job, WORKLOAD, "https://spire.example.org")


@pytest.fixture
def cloud(job: Repository) -> Iterator[Cloud]:
    """Google's, where a machine is the shipped service account."""
    done = sigbox("token", "--persona", "google-account", "--url", job.place.stack.url)
    assert done.returncode == 0, done.stderr
    with google_cloud(job.place.folder / "cloud", done.stdout.strip()) as running:
        yield running


def test_a_machine_of_google_by_its_metadata_server(job: Repository, cloud: Cloud):
    """By name only: to find out by itself that it is in that cloud it reads the product's name in /sys, of this very machine."""
    job.commit(**cloud.environment, **named("google-workload-identity"))
    signed_as(job, ACCOUNT, GOOGLE)
    assert any("identity?audience=sigstore&" in path for _, path, _ in cloud.asked)


@pytest.mark.parametrize("provider", ["", "google-impersonate"])
def test_a_machine_of_google_that_may_speak_for_another_account(job: Repository, cloud: Cloud, provider: str):
    job.commit(**cloud.environment, GOOGLE_SERVICE_ACCOUNT_NAME=ACCOUNT, **named(provider))
    signed_as(job, ACCOUNT, GOOGLE)
    (asked,) = [json.loads(body) for method, path, body in cloud.asked if method == "POST" and ACCOUNT in path]
    assert asked == {"audience": "sigstore", "includeEmail": True}


def test_a_name_of_no_source_is_refused(job: Repository):
    job.stage()
    log = job.place.folder / "gitsign.log"  # git keeps what its signer says to itself
    refuse(job.run("git", "commit", "-m", "a change", GITSIGN_TOKEN_PROVIDER="sundial", GITSIGN_LOG=str(log)))
    assert "sundial is not a valid provider" in log.read_text("utf-8")
