# SPDX-License-Identifier: Apache-2.0
"""The token that a CI job finds around it: which source counts, what is asked of it, and what happens when it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from client.ambient import SOURCES, CiJob, ambient_token, find_source
from client.transport import Response, ServiceRefused
from sigcore.errors import Malformed, NotFound, Unavailable
from sigcore.strict import encode_base64url

NOWHERE = Path("/nonexistent/file")


def token(subject: str) -> str:
    parts = ({"alg": "ES256"}, {"iss": "https://ci.example.com", "sub": subject})
    return ".".join((*(encode_base64url(json.dumps(part).encode()) for part in parts), "c2ln"))


@dataclass
class Service:
    """Answers every request the same way, and remembers what it was."""

    body: bytes = b""
    status: int = 200
    asked: list[tuple[str, str, dict[str, str], bytes | None]] = field(default_factory=list)

    async def request(self, method, url, *, headers, body, limit):
        assert len(self.body) <= limit
        self.asked.append((method, url, dict(headers), body))
        return Response(self.status, self.body)


def job(service: Service | None = None, *, token_file: Path = NOWHERE, product_file: Path = NOWHERE, **environ: str):
    return CiJob(environ, service or Service(), token_file=token_file, product_file=product_file)


GITHUB = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://pipelines.example/x?api-version=2.0",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "s",
}
BUILDKITE = {
    "BUILDKITE_AGENT_ACCESS_TOKEN": "s",
    "BUILDKITE_JOB_ID": "a/b",
    "BUILDKITE_AGENT_ENDPOINT": "https://agent.example/v3/",
}


async def test_github_is_asked_with_the_audience_and_its_secret():
    service = Service(json.dumps({"count": 1, "value": token("job")}).encode())
    found = await ambient_token(job(service, **GITHUB))
    assert found.subject == "job"
    [(method, url, headers, body)] = service.asked
    assert (method, url, body) == ("GET", "https://pipelines.example/x?api-version=2.0&audience=sigstore", None)
    assert headers["Authorization"] == "bearer s"


async def test_buildkites_agent_api_is_asked_for_the_job():
    service = Service(json.dumps({"token": token("job")}).encode())
    assert (await ambient_token(job(service, **BUILDKITE))).subject == "job"
    [(method, url, headers, body)] = service.asked
    assert (method, url) == ("POST", "https://agent.example/v3/jobs/a%2Fb/oidc/tokens")
    assert headers["Authorization"] == "Token s"
    assert json.loads(body) == {"audience": "sigstore"}


async def test_circleci_is_asked_by_its_command(tmp_path):
    program = tmp_path / "circleci"
    program.write_text(f'#!/bin/sh\ntest "$5" = \'{{"aud": "sigstore"}}\' && echo {token("job")}\n')
    program.chmod(0o755)
    assert (await ambient_token(job(CIRCLECI="true", PATH=str(tmp_path)))).subject == "job"


@pytest.mark.parametrize(
    ("script", "why"), [("echo 'no context' >&2; exit 3", "no context"), ("echo", "no identity token")]
)
async def test_a_command_that_gives_no_token_is_an_error(tmp_path, script, why):
    (tmp_path / "circleci").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "circleci").chmod(0o755)
    with pytest.raises((Unavailable, Malformed), match=why):
        await ambient_token(job(CIRCLECI="true", PATH=str(tmp_path)))


async def test_a_command_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(NotFound, match="there is no program circleci"):
        await ambient_token(job(CIRCLECI="true", PATH=str(tmp_path)))


async def test_files_are_read(tmp_path):
    (tmp_path / "token").write_text(token("pod") + "\n")
    assert (await ambient_token(job(token_file=tmp_path / "token"))).subject == "pod"
    assert (await ambient_token(job(SIGBOX_SPIFFE_JWT_FILE=str(tmp_path / "token")))).subject == "pod"
    with pytest.raises(NotFound, match="cannot be read"):
        await ambient_token(job(SIGBOX_SPIFFE_JWT_FILE=str(NOWHERE)))


@pytest.mark.parametrize("product", ["Google", "Google Compute Engine\n", None])
async def test_googles_metadata_server_is_asked_on_its_machines(tmp_path, product):
    service, environ = Service(token("account").encode()), {"GCE_METADATA_HOST": "metadata.example"}
    if product:
        (tmp_path / "product").write_text(product)
        environ = {}
    assert (await ambient_token(job(service, product_file=tmp_path / "product", **environ))).subject == "account"
    [(_, url, headers, _)] = service.asked
    host = "metadata.google.internal" if product else "metadata.example"
    path = "/computeMetadata/v1/instance/service-accounts/default/identity?audience=sigstore&format=full"
    assert url == f"http://{host}{path}"
    assert headers["Metadata-Flavor"] == "Google"


def test_nothing_is_there_on_a_common_machine(tmp_path):
    (tmp_path / "product").write_text("ThinkPad")
    assert find_source(job(product_file=tmp_path / "product", HOME="/root", CI="true")) is None


@pytest.mark.parametrize("missing", [*GITHUB, "BUILDKITE_AGENT_ACCESS_TOKEN", "BUILDKITE_JOB_ID"])
def test_half_of_the_variables_are_no_source(missing):
    source = find_source(job(**{**GITHUB, **BUILDKITE, missing: ""}))
    assert source is not None
    assert source.name == ("Buildkite" if missing in GITHUB else "GitHub Actions")


async def test_a_runner_of_github_is_github_wherever_it_stands(tmp_path):
    (tmp_path / "token").write_text(token("pod"))
    service = Service(json.dumps({"value": token("job")}).encode())
    around = job(service, token_file=tmp_path / "token", **BUILDKITE, **GITHUB)
    assert (await ambient_token(around)).subject == "job"


@pytest.mark.parametrize(
    ("body", "status", "error", "why"),
    [
        (b'{"message": "no id-token permission"}', 403, ServiceRefused, "no id-token permission"),
        (b"", 503, Unavailable, "GitHub's token service"),
        (b"", 302, ServiceRefused, "redirects are not followed"),
        (b"<html>", 200, Malformed, "GitHub's token service"),
        (b"{}", 200, Malformed, "value"),
        (b'{"value": 7}', 200, Malformed, "value"),
        (b'{"value": "abc"}', 200, Malformed, "GitHub Actions gave is no identity token"),
    ],
)
async def test_a_source_that_is_there_and_fails_is_an_error_and_no_other_is_tried(tmp_path, body, status, error, why):
    (tmp_path / "token").write_text(token("pod"))
    with pytest.raises(error, match=why):
        await ambient_token(job(Service(body, status), token_file=tmp_path / "token", **GITHUB))


async def test_where_there_is_none_the_known_ones_are_named():
    with pytest.raises(NotFound, match=SOURCES[0].name):
        await ambient_token(job())
