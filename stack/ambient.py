# SPDX-License-Identifier: Apache-2.0
"""The token sources that official clients find by themselves, imitated: what a job sees of GitHub Actions, or a Buildkite agent.

Only on a stack with the control API. A source is made by ``POST /_ctl/ambient`` for one persona; whoever has its secret gets
fresh tokens of that persona, in the form that the source has in the world:

    GET  /_ctl/ambient/ID/github?api-version=2.0&audience=A      Authorization: bearer SECRET  ->  {"count", "value"}
    POST /_ctl/ambient/ID/jobs/JOB/oidc/tokens  {"audience"}     Authorization: Token SECRET   ->  {"token"}

Sources: GitHub's "OpenID Connect reference"; buildkite/agent ``api/oidc.go``; cosign ``pkg/providers``.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final

from aiohttp import web

from oidc_dev.provider import Provider
from sigcore import limits
from sigcore.errors import NotFound, Refused, SigError
from sigcore.strict import JSON, Fields
from stack.personas import AUDIENCE, Persona

MOST: Final = 1000
"""Sources of one stack; beyond it the oldest are dropped."""
JOB: Final = "0190e6a5-2222-4444-8888-aaaabbbbcccc"
"""Of the shipped persona; whichever job asks, the persona answers."""


@dataclass(frozen=True, slots=True)
class Source:
    """One job's way to its tokens."""

    persona: Persona
    secret: str = field(repr=False)


class Sources:
    """The sources of one stack, in memory."""

    def __init__(self, provider: Provider, url: str) -> None:
        self._provider = provider
        self._url = url
        self._sources: OrderedDict[str, Source] = OrderedDict()

    def add(self, kind: str, persona: Persona) -> dict[str, JSON]:
        """A new source of the ``kind`` ``github`` or ``buildkite``; the answer is the environment of its job.

        Raises:
            NotFound: there is no such kind. Malformed: the persona makes no token.
        """
        persona.token(self._provider)
        if kind not in _ENVIRONMENTS:
            raise NotFound(f"there is no source {kind}", f"known: {', '.join(_ENVIRONMENTS)}")
        name, secret = secrets.token_hex(16), secrets.token_hex(32)
        self._sources[name] = Source(persona, secret)
        while len(self._sources) > MOST:
            self._sources.popitem(last=False)
        values = {"URL": f"{self._url}/_ctl/ambient/{name}", "SECRET": secret}
        told = _told(persona) if kind == "github" else {}
        return {variable: text.format(**values) for variable, text in _ENVIRONMENTS[kind].items()} | told

    def token(self, name: str, secret: str, audience: str) -> str:
        """A fresh token for ``audience`` from the source ``name``.

        Raises:
            NotFound: there is no such source. Refused: the secret is not its own.
        """
        source = self._sources.get(name)
        if source is None:
            raise NotFound("there is no such source of tokens", "it belongs to another start of the stack")
        if not hmac.compare_digest(source.secret.encode(), secret.encode("utf-8", "replace")):
            raise Refused("the request token is not that of this source")
        return replace(source.persona, audience=audience).token(self._provider)


_ENVIRONMENTS: Final[dict[str, dict[str, str]]] = {
    "github": {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        # cosign appends "&audience=..." as text, so there is a query already.
        "ACTIONS_ID_TOKEN_REQUEST_URL": "{URL}/github?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "{SECRET}",
    },
    "buildkite": {
        "CI": "true",
        "BUILDKITE": "true",
        "BUILDKITE_AGENT_ENDPOINT": "{URL}",
        "BUILDKITE_AGENT_ACCESS_TOKEN": "{SECRET}",
        "BUILDKITE_JOB_ID": JOB,
    },
}


_CLAIMS: Final = (
    *("actor", "base_ref", "event_name", "head_ref", "ref", "ref_type", "repository", "repository_id"),
    *("repository_owner", "repository_owner_id", "run_attempt", "run_id", "run_number", "sha", "workflow"),
    *("workflow_ref", "workflow_sha"),
)
"""Of GitHub's tokens those that a job finds as variables, too: ``run_id`` is ``GITHUB_RUN_ID``."""


def _told(persona: Persona) -> dict[str, JSON]:
    """What a job is told of itself beside its token: whoever makes a provenance reads it there."""
    found = {f"GITHUB_{name.upper()}": persona.claims[name] for name in _CLAIMS if name in persona.claims}
    if "runner_environment" in persona.claims:
        found["RUNNER_ENVIRONMENT"] = persona.claims["runner_environment"]
    texts: dict[str, JSON] = {name: text for name, text in found.items() if isinstance(text, str)}
    return {"GITHUB_SERVER_URL": "https://github.com", **texts} if texts else texts


def make_routes(sources: Sources) -> list[web.RouteDef]:
    """The routes that the clients ask."""

    async def github(request: web.Request) -> web.Response:
        try:
            found = sources.token(request.match_info["name"], _secret(request, "bearer"), _audience(request))
        except SigError as error:
            return _refusal(error)
        return web.json_response({"count": len(found), "value": found}, headers=_PRIVATE)

    async def buildkite(request: web.Request) -> web.Response:
        try:
            fields = Fields.parse(await request.read(), what="the request", limit=limits.TEXT)
            audience = fields.optional_text("audience", AUDIENCE)
            found = sources.token(request.match_info["name"], _secret(request, "token"), audience)
        except SigError as error:
            return _refusal(error)
        return web.json_response({"token": found}, headers=_PRIVATE)

    return [
        web.get("/_ctl/ambient/{name}/github", github),
        web.post("/_ctl/ambient/{name}/jobs/{job}/oidc/tokens", buildkite),
    ]


_PRIVATE: Final = {"Cache-Control": "no-store"}


def _secret(request: web.Request, scheme: str) -> str:
    found, _, secret = request.headers.get("Authorization", "").partition(" ")
    if found.lower() != scheme:
        raise Refused(f"the request has no Authorization header of the scheme {scheme}")
    return secret


def _audience(request: web.Request) -> str:
    found = request.query.getall("audience", [AUDIENCE])
    if len(found) > 1:
        raise Refused("the request names more than one audience")
    return found[0]


def _refusal(error: SigError) -> web.Response:
    """In plain text: cosign reads any JSON object whatever the status, finds no token in it, and waits for a person to log in."""
    status = 404 if isinstance(error, NotFound) else 401 if isinstance(error, Refused) else 400
    return web.Response(text=f"{error}\n", status=status, headers=_PRIVATE)
