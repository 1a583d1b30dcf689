# SPDX-License-Identifier: Apache-2.0
"""``[[brokered]]``: CI systems whose own tokens are exchanged for ours, without a secret between us (RFC 8693).

For systems that the authority cannot take directly: whose tokens have another audience, or subjects that no certificate names.

Members of each table:
    issuer: the exact ``iss`` of its tokens.
    audience: the exact ``aud``; such as this stack's URL.
    jwks, jwks_uri, jwks_host, ca_file, bearer_file: where its keys are, as in ``[[issuers]]``; without them they are discovered.
    jobs: tables; the first one whose ``claims`` all hold says who the bearer is here.

Members of each job:
    claims: claim -> the text that it must be, or a list of such texts; ``*`` stands for a run of characters without ``/`` and ``:``.
        A table stands for a claim that is an object. There is at least one.
    subject: what our token says: a URI with ``{{ .claim }}`` in its path; or
    email: a fixed mailbox.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ca.issuers import Issuer, IssuerTable
from ca.templates import Template, Text, parse_template
from ca.token import verify_token
from ca.uris import ORIGIN, workflow_uri
from oidc_dev.claims import Identity
from oidc_dev.mailbox import parse_email
from sigcore.automaton import Automaton
from sigcore.automaton_making import make_automaton
from sigcore.errors import Malformed, Refused
from sigcore.strict import JSON, Fields, shown
from stack.issuers import keyed_issuer
from stack.rows import load_rows

TABLE: Final = "brokered"
_KEYS: Final = ("jwks", "jwks_uri", "jwks_host", "ca_file", "bearer_file")
_MEMBERS: Final = ("issuer", "audience", "jobs", *_KEYS)
_JOBS: Final = 1000
_FIXED: Final = re.compile(rf"{ORIGIN}/")
"""The host of a subject is the operator's word; no claim has a part in it."""

_log = logging.getLogger("sigbox.broker")


@dataclass(frozen=True, slots=True)
class Condition:
    """The claim at ``path`` is one of ``texts``."""

    path: tuple[str, ...]
    texts: tuple[Automaton, ...]

    def holds(self, claims: Mapping[str, JSON]) -> bool:
        """Whether it does. Numbers and booleans are no texts; a claim that is missing is none either."""
        found: JSON = dict(claims)
        for name in self.path:
            found = found.get(name) if isinstance(found, dict) else None
        return isinstance(found, str) and any(text.fullmatch(found) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Job:
    """Whoever meets all ``conditions`` is ``email``, or what ``subject`` makes of the claims."""

    conditions: tuple[Condition, ...]
    subject: Template | None = None
    email: str = ""

    def identity(self, claims: Mapping[str, JSON]) -> Identity:
        """As our token says it; nothing of the claims is in it but the name.

        Raises:
            Malformed, Refused: the claims make no name.
        """
        if self.subject is None:
            return Identity(email=self.email)
        values = {}
        for name in self.subject.names():
            value = claims.get(name)
            if not isinstance(value, str) or not value:
                raise Refused(f"the token's {name} is {shown(value)}, expected a text that the name can be made of")
            values[name] = value
        return Identity(subject=workflow_uri(self.subject.render(values)))


@dataclass(frozen=True, slots=True)
class Brokered:
    """One row: an issuer with its keys, and its jobs."""

    issuer: Issuer
    jobs: tuple[Job, ...]


class JobBroker:
    """A :class:`oidc_dev.ports.Broker` over the rows of the configuration."""

    def __init__(self, rows: tuple[Brokered, ...]) -> None:
        self._table = IssuerTable(row.issuer for row in rows)
        self._jobs = {row.issuer.url: row.jobs for row in rows}

    async def identify(self, token: str, *, now: datetime) -> Identity:
        """As the Protocol says.

        1. The token verifies, with the keys of its issuer's row, for the row's audience, at ``now``.
        2. The first job of the row whose conditions all hold is taken.
        3. Its name is made. What is exchanged for what is logged.
        """
        claims = await verify_token(token, self._table, now=now)  # 1
        issuer, raw = claims.issuer.url, claims.fields.raw()
        job = next((job for job in self._jobs[issuer] if all(c.holds(raw) for c in job.conditions)), None)  # 2
        if job is None:
            raise Refused(
                f"no job that is known here has the claims of this token of {issuer}",
                "its subject is "
                + shown(claims.subject, 200)
                + "; whoever runs this stack lists the jobs: [[brokered]]",
            )
        identity = job.identity(raw)  # 3
        who = identity.email or identity.subject
        _log.info("a token of %s about %s is exchanged for one about %s", issuer, ascii(claims.subject), who)
        return identity


# --- rows ------------------------------------------------------------------------------------------------------
def load_brokered(file: Path) -> tuple[Brokered, ...]:
    """The rows of one TOML file; none where it has no such table.

    Raises:
        NotFound, Malformed, Refused: the file or one that it names cannot be read, or a row is not one that could be meant.
    """
    return load_rows(file, TABLE, _row)


def _row(fields: Fields, folder: Path) -> Brokered:
    fields.only(*_MEMBERS)
    if not fields.raw().get("jobs"):
        raise Malformed("it has no jobs", f"write [[{TABLE}.jobs]] with claims, and subject or email")
    keys = {name: fields.raw()[name] for name in _KEYS if name in fields}
    issuer = keyed_issuer(fields.text("issuer"), fields.text("audience"), keys, folder)
    return Brokered(issuer, tuple(_job(job) for job in fields.objects("jobs", limit=_JOBS)))


def _job(fields: Fields) -> Job:
    fields.only("claims", "subject", "email")
    conditions = tuple(_conditions(fields.object("claims").raw(), ()))
    if not conditions:
        raise Malformed("a job has no conditions in claims", "else every token of this issuer would be that job")
    if fields.one_of("subject", "email") == "email":
        return Job(conditions, email=parse_email(fields.text("email")))
    subject = fields.text("subject")
    if not _FIXED.match(subject) or "{{" in subject.split("/")[2]:
        raise Malformed(f"the subject is {shown(subject)}", "expected https://HOST/ and then what the job is")
    return Job(conditions, subject=parse_template(subject) if "{{" in subject else Template(subject, (Text(subject),)))


def _conditions(claims: Mapping[str, JSON], path: tuple[str, ...]) -> Iterator[Condition]:
    for name, wanted in claims.items():
        place = (*path, name)
        if isinstance(wanted, dict):
            yield from _conditions(wanted, place)
            continue
        texts = wanted if isinstance(wanted, list) else [wanted]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise Malformed(
                f"the claim {'.'.join(place)} is wanted as {shown(wanted)}", "expected a text, or a list of texts"
            )
        yield Condition(place, tuple(_glob(str(text)) for text in texts))


def _glob(text: str) -> Automaton:
    """The claims that it is held against are a stranger's."""
    return make_automaton(re.escape(text).replace(r"\*", "[^/:]*"))
