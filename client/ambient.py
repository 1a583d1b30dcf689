# SPDX-License-Identifier: Apache-2.0
"""The identity token that a job finds around it: asked of the CI system, or left in a file.

1. The sources are looked at in a fixed order, without a request: the first one that is there is used.
2. Its token is fetched for the audience; a source that is there and fails is an error, and no other one is tried. Who expects
   to sign as one job must not sign as something else.
3. The token is read, not verified: the certificate authority does that.

A variable ``SIGSTORE_ID_TOKEN`` comes before all of them (:func:`client.identity.load_identity_token`); GitLab's tokens are there.

Sources: cosign ``pkg/providers``; PyPI ``id``; GitHub's "OpenID Connect reference"; buildkite/agent ``api/oidc.go``; Google Cloud's
"Verifying instance identity"; spiffe-helper's ``jwt_svid_file_name``.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

from client.answers import answering
from client.identity import IdentityToken, parse_identity_token
from client.transport import Transport, call
from sigcore import limits
from sigcore.errors import Malformed, NotFound, Unavailable
from sigcore.strict import Fields, shown

AUDIENCE: Final = "sigstore"
TOKEN_FILE: Final = Path("/var/run/sigstore/cosign/oidc-token")
"""Where cosign and gitsign look for a projected token."""
SPIFFE_FILE: Final = "SIGBOX_SPIFFE_JWT_FILE"
"""Names a file with a JWT-SVID, as spiffe-helper keeps one. Its socket speaks gRPC, which this client does not."""
PRODUCT_FILE: Final = Path("/sys/class/dmi/id/product_name")
_PRODUCTS: Final = ("Google", "Google Compute Engine")
COMMAND_S: Final = 30
"""For a CI system's command to answer."""


@dataclass(frozen=True, slots=True)
class CiJob:
    """What is around a process: its variables, two files of the system, and a way to speak HTTP."""

    environ: Mapping[str, str]
    transport: Transport
    audience: str = AUDIENCE
    token_file: Path = TOKEN_FILE
    product_file: Path = PRODUCT_FILE

    def has(self, *names: str) -> bool:
        """Whether all these variables are set, and not empty."""
        return all(self.environ.get(name) for name in names)


@dataclass(frozen=True, slots=True)
class Source:
    """One place where tokens come from: whether a job has it, and how a token is got."""

    name: str
    there: Callable[[CiJob], bool]
    fetch: Callable[[CiJob], Awaitable[str]]


def find_source(job: CiJob) -> Source | None:
    """Step 1: the first source that is there. No request is made."""
    return next((source for source in SOURCES if source.there(job)), None)


async def ambient_token(job: CiJob) -> IdentityToken:
    """Steps 2 and 3: the token of the first source that is there.

    Raises:
        NotFound: there is no source. ServiceRefused, Unavailable, Malformed: the source that is there gave no token; names it.
    """
    source = find_source(job)
    if source is None:
        raise NotFound("no source of identity tokens is there", f"known: {', '.join(known.name for known in SOURCES)}")
    text = (await source.fetch(job)).strip()
    try:
        return parse_identity_token(text)
    except Malformed as error:
        raise Malformed(f"what {source.name} gave is no identity token: {error.message}") from error


# --- GitHub ---------------------------------------------------------------------------------------------------
_GITHUB: Final = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")


async def _github(job: CiJob) -> str:
    url, secret = (job.environ[name] for name in _GITHUB)
    address = f"{url}{'&' if '?' in url else '?'}{urlencode({'audience': job.audience})}"
    return (await _asked(job, "GET", address, "GitHub's token service", f"bearer {secret}")).text(
        "value", limit=limits.IDENTITY_TOKEN
    )


# --- Buildkite ------------------------------------------------------------------------------------------------
_BUILDKITE: Final = ("BUILDKITE_AGENT_ACCESS_TOKEN", "BUILDKITE_JOB_ID")


async def _buildkite(job: CiJob) -> str:
    secret, number = (job.environ[name] for name in _BUILDKITE)
    endpoint = job.environ.get("BUILDKITE_AGENT_ENDPOINT") or "https://agent.buildkite.com/v3"
    url = f"{endpoint.rstrip('/')}/jobs/{quote(number, safe='')}/oidc/tokens"
    body = json.dumps({"audience": job.audience}).encode()
    return (await _asked(job, "POST", url, "Buildkite's agent API", f"Token {secret}", body)).text(
        "token", limit=limits.IDENTITY_TOKEN
    )


async def _asked(job: CiJob, method: str, url: str, service: str, credential: str, body: bytes | None = None) -> Fields:
    headers = {"Authorization": credential, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    answer = await call(job.transport, method, url, service=service, headers=headers, body=body, expected=(200, 201))
    with answering(service, url):
        return Fields.parse(answer, what="the answer", limit=limits.SERVICE_RESPONSE)


# --- CircleCI -------------------------------------------------------------------------------------------------
async def _circleci(job: CiJob) -> str:
    program = shutil.which("circleci", path=job.environ.get("PATH"))
    if program is None:
        raise NotFound(
            "CIRCLECI is set, but there is no program circleci", "is the job's PATH the one that CircleCI gave?"
        )
    arguments = ("run", "oidc", "get", "--claims", json.dumps({"aud": job.audience}), "--root-issuer")
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=dict(job.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            out, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise Unavailable(f"circleci gave no token within {COMMAND_S} s") from error
    if process.returncode != 0:
        raise Unavailable(
            f"circleci ended with {process.returncode}: {shown(said.decode('utf-8', 'replace').strip(), 300)}"
        )
    return out.decode("utf-8", "replace")


# --- files ----------------------------------------------------------------------------------------------------
async def _token_file(job: CiJob) -> str:
    return _read(job.token_file)


async def _spiffe_file(job: CiJob) -> str:
    return _read(Path(job.environ[SPIFFE_FILE]))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limits.IDENTITY_TOKEN + 1).decode("utf-8", "replace")
    except OSError as error:
        raise NotFound(f"the identity token file {path} cannot be read: {error.strerror}") from error


# --- Google Cloud ---------------------------------------------------------------------------------------------
def _on_google(job: CiJob) -> bool:
    if job.has("GCE_METADATA_HOST"):
        return True
    try:
        with job.product_file.open(encoding="ascii", errors="replace") as file:
            return file.read(limits.TEXT).strip() in _PRODUCTS
    except OSError:
        return False


async def _google(job: CiJob) -> str:
    host = job.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    query = urlencode({"audience": job.audience, "format": "full"})
    url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/identity?{query}"
    headers = {"Metadata-Flavor": "Google"}
    answer = await call(job.transport, "GET", url, service="Google's metadata server", headers=headers)
    return answer.decode("utf-8", "replace")


SOURCES: Final = (
    Source("GitHub Actions", lambda job: job.has(*_GITHUB), _github),
    Source("Buildkite", lambda job: job.has(*_BUILDKITE), _buildkite),
    Source("CircleCI", lambda job: job.has("CIRCLECI"), _circleci),
    Source("the token file", lambda job: job.token_file.exists(), _token_file),
    Source("the SPIFFE file", lambda job: job.has(SPIFFE_FILE), _spiffe_file),
    Source("Google Cloud", _on_google, _google),
)
"""In the order of cosign: a runner of GitHub's may stand in any of the others."""
