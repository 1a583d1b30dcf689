# SPDX-License-Identifier: Apache-2.0
"""Personas: somebody or something that tokens are minted for, as a person of ours or as a machine of somebody else.

A persona with a ``kind`` speaks as an issuer of the world outside, such as GitHub's. Tokens like that are what tests need and
what nobody may have by accident: they count at a stack that was started with ``--ephemeral --control`` and at no other, and a
durable stack does not mint them. The shipped ones are files beside the provider, ``oidc_dev/personas/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from ca.issuers import CI_PROVIDER, Issuer
from oidc_dev.claims import Identity
from oidc_dev.provider import Provider
from sigcore.errors import Malformed, NotFound
from sigcore.strict import JSON, Fields, shown

if TYPE_CHECKING:
    from ca.workflows import Workflow
    from sigcore.general_name import Uri

AUDIENCE: Final = "sigstore"
MEMBERS: Final = ("kind", "email", "subject", "audience", "claims")


@dataclass(frozen=True, slots=True)
class Persona:
    """Whom a token speaks of. The members are those of a persona's file and of the control API's request.

    ``kind`` is a row of :data:`ISSUERS`; empty for an identity of the stack's own provider.
    """

    email: str = ""
    subject: str = ""
    audience: str = AUDIENCE
    claims: Mapping[str, JSON] = field(default_factory=dict)
    kind: str = ""

    def identity(self) -> Identity:
        """As the provider takes it."""
        return Identity(email=self.email, subject=self.subject, extra=tuple(self.claims.items()))

    def token(self, provider: Provider) -> str:
        """A token that speaks of it, by ``provider`` in its own name or in that of the kind's issuer.

        Raises:
            Malformed: it names nobody, or restates a claim that the provider sets.
        """
        return self.speaker(provider).token(self.identity(), audience=self.audience)

    def speaker(self, provider: Provider) -> Provider:
        """``provider``, or the kind's issuer with its keys."""
        return replace(provider, issuer=ISSUERS[self.kind].url) if self.kind else provider

    def document(self) -> dict[str, JSON]:
        """What :func:`parse_persona` reads as this one."""
        told = {"kind": self.kind, "email": self.email, "subject": self.subject, "audience": self.audience}
        return {**{name: text for name, text in told.items() if text}, "claims": dict(self.claims)}


@dataclass(frozen=True, slots=True)
class MachineIssuer:
    """An issuer of machines' tokens: its exact ``iss``, and the kind of identity that the authority finds in its tokens."""

    url: str
    kind: str
    trust_domain: str = ""

    def row(self, own: Issuer) -> Issuer:
        """Its row in the table of an authority that takes the keys of ``own`` for its."""
        workflow = cast("Workflow", _CircleCi()) if self.kind == CI_PROVIDER else None
        return Issuer(self.url, own.keys, kind=self.kind, trust_domain=self.trust_domain, workflow=workflow)


class _CircleCi:
    """The templates of CircleCI, parsed when the first token of theirs comes: a start is counted in milliseconds."""

    def describe(self, claims: Mapping[str, JSON], fixed: Mapping[str, str]) -> tuple[Uri, tuple[tuple[str, str], ...]]:
        """See :meth:`ca.workflows.Workflow.describe`."""
        from ca.workflows import make_workflow  # noqa: PLC0415 - see the class

        project, pipeline = (
            f'{{{{ index . "oidc.circleci.com/{name}-id" }}}}' for name in ("project", "pipeline-definition")
        )
        name = f"https://circleci.com/api/v2/projects/{project}/pipeline-definitions/{pipeline}"
        source = {"source_repository_uri": 'https://{{ index . "oidc.circleci.com/vcs-origin" }}'}
        return make_workflow(name, source, {}).describe(claims, fixed)


ISSUERS: Final[Mapping[str, MachineIssuer]] = {
    "github-workflow": MachineIssuer("https://token.actions.githubusercontent.com", "github-workflow"),
    "gitlab-pipeline": MachineIssuer("https://gitlab.com", "gitlab-pipeline"),
    "buildkite-job": MachineIssuer("https://agent.buildkite.com", "buildkite-job"),
    "circleci-job": MachineIssuer("https://oidc.circleci.com", CI_PROVIDER),
    "codefresh-workflow": MachineIssuer("https://oidc.codefresh.io", "codefresh-workflow"),
    "kubernetes": MachineIssuer("https://kubernetes.default.svc", "kubernetes"),
    "spiffe": MachineIssuer("https://spire.example.org", "spiffe", "example.org"),
    "google-account": MachineIssuer("https://accounts.google.com", "email"),
}
"""Kind of persona -> who issues its tokens."""


def issuer_rows(own: Issuer) -> tuple[Issuer, ...]:
    """The rows that make personas count, their tokens signed with the keys of ``own``."""
    return tuple(issuer.row(own) for issuer in ISSUERS.values())


def parse_persona(fields: Fields) -> Persona:
    """A persona out of its members, each of them optional.

    Raises:
        Malformed: there is another member, or no such kind.
    """
    fields.only(*MEMBERS)
    kind, claims = fields.optional_text("kind"), fields.optional_object("claims")
    if kind and kind not in ISSUERS:
        raise Malformed(f"the persona is of the kind {shown(kind)}", f"known: {', '.join(ISSUERS)}; or none, for ours")
    return Persona(
        email=fields.optional_text("email"),
        subject=fields.optional_text("subject"),
        audience=fields.optional_text("audience", AUDIENCE),
        claims=dict(claims.raw()) if claims else {},
        kind=kind,
    )


def load_shipped(name: str) -> Persona:
    """The shipped persona of that name.

    Raises:
        NotFound: there is none; names those that there are.
    """
    if name not in ISSUERS:
        raise NotFound(f"there is no persona {shown(name)}", f"give a file, or one of {', '.join(ISSUERS)}")
    from importlib import resources  # noqa: PLC0415 - for the few who ask

    file = resources.files("oidc_dev").joinpath("personas", f"{name}.toml")
    return parse_toml(file.read_bytes(), what=f"the persona {name}")


def parse_toml(data: bytes, *, what: str) -> Persona:
    """A persona in TOML.

    Raises:
        Malformed: it is no TOML, or no persona.
    """
    from stack.rows import toml_of  # noqa: PLC0415 - 4 ms that commands without a persona do without

    return parse_persona(Fields.of(toml_of(data, what), what))
