# SPDX-License-Identifier: Apache-2.0
"""A stack in which something has happened: people, machines and bare keys have signed, in every log; an account can log in.

Whatever a page of the console can show is there once: the tests of all pages and the screenshots have one stack in common.
"""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.browser.test_login import add_account
from tests.stack_process import RunningStack, running_stack, sigbox
from tests.unit.oidc_dev.visitor import ALICE, PASSWORD

ARTIFACT, BUNDLE, KEY_BUNDLE, STATEMENT_BUNDLE = "artifact", "bundle.json", "key.json", "statement.json"
WAIT_S = 60
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def furnished(folder: Path) -> Iterator[RunningStack]:
    """The stack; the files that were signed and their bundles lie in ``folder``, under the names above."""
    with running_stack(folder, "--ephemeral", "--control") as stack:
        add_account(stack, ALICE, PASSWORD)
        (folder / ARTIFACT).write_text("the content that its author meant\n")
        _run("generate-key-pair", "--output-key-prefix", folder / "cosign", COSIGN_PASSWORD="")
        builder = _run("token", "--url", stack.url, "--persona", "github-workflow")
        for version in ("1", "2"):
            _sign(stack, "--identity-token", stack.token(ALICE), "--rekor-version", version)
        _sign(stack, "--key", folder / "cosign.key", bundle=KEY_BUNDLE)
        predicate = folder / "predicate.json"
        predicate.write_text(json.dumps(PROVENANCE))
        said = ("--predicate", predicate, "--type", "slsaprovenance1")
        _sign(stack, "--identity-token", builder, *said, command="attest-blob", bundle=STATEMENT_BUNDLE)
        yield stack


PROVENANCE = {
    "buildDefinition": {
        "buildType": "https://actions.github.io/buildtypes/workflow/v1",
        "externalParameters": {
            "workflow": {
                "ref": "refs/heads/main",
                "repository": "https://github.com/octo-org/octo-repo",
                "path": ".github/workflows/release.yml",
            }
        },
    },
    "runDetails": {"builder": {"id": "https://github.com/actions/runner/github-hosted"}},
}


def _sign(stack: RunningStack, *options: str | Path, command: str = "sign-blob", bundle: str = BUNDLE) -> None:
    folder = stack.log.parent
    trust = ("--trust-config", stack.trust_config, "--bundle", folder / bundle)
    _run(command, folder / ARTIFACT, *trust, *options, COSIGN_PASSWORD="")


def _run(*arguments: str | Path, **environment: str) -> str:
    done = sigbox(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def send(url: str, fields: Mapping[str, str]) -> str:
    """Send a form as a page of ours does; the answer is the address where that leads."""
    with _OPENER.open(url, urllib.parse.urlencode(fields).encode(), timeout=WAIT_S) as answer:
        return str(answer.url)
