# SPDX-License-Identifier: Apache-2.0
"""gitsign, unmodified, with the lines of `sigbox env gitsign`: commits signed by each source of tokens that it finds, and verified."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.interop.clients import GITSIGN
from tests.interop.conftest import needed
from tests.interop.places import ALICE, MALLORY, Done, Place, refuse, succeed
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

GITHUB = (
    "https://github.com/octo-org/octo-app/.github/workflows/release.yml@refs/heads/main",
    "https://token.actions.githubusercontent.com",
)
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Alice"), ("EMAIL", ALICE))
}


@pytest.fixture(scope="module")
def gitsign() -> Path:
    with needed():
        return GITSIGN.installed()


@pytest.fixture(scope="module")
def tests_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", "--control") as running:
        yield running


class Repository:
    """A repository set up as the guide says, and a home with the stack's root."""

    def __init__(self, place: Place, gitsign: Path) -> None:
        self.place = place
        guide = json.loads(sigbox("env", "gitsign", "--data", place.stack.data, "--json").stdout)
        self.path = {"PATH": f"{gitsign.parent}:{os.environ['PATH']}"}
        self.environment = guide["environment"] | AUTHOR | self.path
        succeed(self.run("git", "init", "--quiet"))
        for step in guide["steps"]:
            if step["purpose"] == "trust":
                succeed(self.run("sh", "-ec", step["command"]))

    def run(self, *command: str, **more: str) -> Done:
        return self.place.run(*command, **(self.environment | more))

    def commit(self, **token: str) -> None:
        (self.place.folder / "file").write_text(os.urandom(8).hex())
        succeed(self.run("git", "add", "file"))
        succeed(self.run("git", "commit", "--quiet", "-m", "a change", **token))

    def verify(self, identity: str, issuer: str, commit: str = "HEAD") -> Done:
        who = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
        return self.run("gitsign", "verify", *who, commit)


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


def test_a_commit_in_a_job_of_github_actions(gitsign: Path, tests_stack: RunningStack, tmp_path: Path):
    repository = Repository(Place(tests_stack, tmp_path), gitsign)
    done = sigbox("env", "ambient", "github", "--url", tests_stack.url, "--json")
    repository.commit(**json.loads(done.stdout)["environment"])
    succeed(repository.verify(*GITHUB))
    refuse(repository.verify(ALICE, GITHUB[1]))
