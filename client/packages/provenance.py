# SPDX-License-Identifier: Apache-2.0
"""The SLSA provenance that a job of a CI system can say about what it builds.

Source: SLSA provenance v1; slsa-framework/github-actions-buildtypes, workflow v1; GitHub's documentation of its default variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sigcore.errors import NotFound
from sigcore.strict import JSON

WORKFLOW: Final = "https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1"
NEEDED: Final = (
    "GITHUB_WORKFLOW_REF",
    "GITHUB_REPOSITORY",
    "GITHUB_SERVER_URL",
    "GITHUB_SHA",
    "GITHUB_REF",
    "GITHUB_RUN_ID",
)


def github_provenance(environ: Mapping[str, str]) -> dict[str, JSON]:
    """The predicate that a job of GitHub Actions can say about what it builds, from the variables that GitHub sets.

    Raises:
        NotFound: they are not there.
    """
    missing = [name for name in NEEDED if not environ.get(name)]
    if missing:
        raise NotFound(
            f"nothing says how it was built: no --predicate is given, and {missing[0]} is not set, as in GitHub Actions",
            "give --predicate FILE: an SLSA provenance of version 1, the JSON object without the statement around it",
        )
    server, repository, reference = (environ[name] for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REF"))
    path, _, workflow_reference = environ["GITHUB_WORKFLOW_REF"].removeprefix(f"{repository}/").partition("@")
    attempt = environ.get("GITHUB_RUN_ATTEMPT", "1")
    return {
        "buildDefinition": {
            "buildType": WORKFLOW,
            "externalParameters": {
                "workflow": {"ref": workflow_reference, "repository": f"{server}/{repository}", "path": path}
            },
            "internalParameters": {
                "github": {
                    "event_name": environ.get("GITHUB_EVENT_NAME", ""),
                    "repository_id": environ.get("GITHUB_REPOSITORY_ID", ""),
                    "repository_owner_id": environ.get("GITHUB_REPOSITORY_OWNER_ID", ""),
                }
            },
            "resolvedDependencies": [
                {"uri": f"git+{server}/{repository}@{reference}", "digest": {"gitCommit": environ["GITHUB_SHA"]}}
            ],
        },
        "runDetails": {
            "builder": {
                "id": f"https://github.com/actions/runner/{environ.get('RUNNER_ENVIRONMENT', 'github-hosted')}"
            },
            "metadata": {
                "invocationId": f"{server}/{repository}/actions/runs/{environ['GITHUB_RUN_ID']}/attempts/{attempt}"
            },
        },
    }
