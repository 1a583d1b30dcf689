# SPDX-License-Identifier: Apache-2.0
"""Whose identity a signing command would find around this process: looked at in its order, and nobody is asked.

The commonest question of a CI job is why it cannot sign; the commonest answer is that the job was not given the right to a token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from client.ambient import CiJob, find_source
from client.identity import ENVIRONMENT, parse_identity_token
from client.session import load_session, session_file
from sigcore.errors import SigError
from sigcore.strict import shown
from stack.doctor.finding import Skipped, Warned
from stack.doctor.there import There

_TOKENLESS: Final = (
    ("GITHUB_ACTIONS", "a job of GitHub Actions", "permissions: id-token: write, in the job or the workflow"),
    ("GITLAB_CI", "a job of GitLab", f"id_tokens: {ENVIRONMENT}: aud: sigstore, in the job"),
)
"""What says that a CI system runs this, and what a job writes there to get a token."""


def ambient(there: There) -> str:
    """The source whose token would be taken: the variable, a CI system or a file of it, a login.

    Raises:
        Warned: a CI system runs this and gives no token; or the variable, or the login, holds none that can be used.
        Skipped: there is none.
    """
    return _ambient(there, os.environ)


def _ambient(there: There, environ: Mapping[str, str]) -> str:
    if given := environ.get(ENVIRONMENT):
        try:
            token = parse_identity_token(given)
        except SigError as error:
            raise Warned(f"{ENVIRONMENT} is set and holds no identity token: {error.message}", error.hint) from error
        who = shown(token.possession_subject, 200)
        return f"the variable {ENVIRONMENT}: {who} of {shown(token.issuer, 200)}; it comes before every other source"
    source = find_source(CiJob(environ, there.transport))
    if source is not None:
        return f"{source.name}; its token is asked for when something is signed"
    for variable, name, fix in _TOKENLESS:
        if environ.get(variable):
            raise Warned(f"{name} runs this, and gives it no right to an identity token", f"write {fix}")
    path = session_file(environ)
    if not path.exists():
        raise Skipped(f"no {ENVIRONMENT}, no CI system and no login: name a token, or run sigbox login")
    try:
        kept = load_session(path, {service.url for service in there.trust.config.oidc}, datetime.now(UTC))
    except SigError as error:
        raise Warned(f"the login that is kept cannot be used: {error.message}", error.hint) from error
    return f"the login as {shown(kept.possession_subject, 200)} of {shown(kept.issuer, 200)}"
