# SPDX-License-Identifier: Apache-2.0
"""What a continuous-integration system says of a job -> the certificate's name and extensions, by templates.

Fulcio once had code for each system and now has templates for all (``ci-provider``). Here both are templates: those of a
configuration file, and the built-in ones for the kinds that Fulcio's code knows.

Source: Fulcio ``pkg/identity/{ciprovider,github,gitlabcom,buildkite,codefresh}`` and ``config/identity/config.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Final

from ca.templates import Template, parse_template
from ca.uris import ORIGIN, workflow_uri
from sigcore.errors import Malformed, Refused
from sigcore.fulcio import FulcioExtensions
from sigcore.general_name import Uri
from sigcore.strict import JSON, shown
from sigcore.values import dataclass

EXTENSIONS: Final = tuple(f.name for f in fields(FulcioExtensions) if f.name not in ("issuer", "token_subject"))
"""What templates may fill. Issuer and subject always come from the token."""


@dataclass(frozen=True, slots=True)
class Workflow:
    """The templates of one kind of system.

    Attributes:
        san: makes the name.
        extensions: (field of :class:`~sigcore.fulcio.FulcioExtensions`, its template).
        defaults: values where the token has no claim of that name.
        demanded: claims that must be there and not be empty, whether a template needs them or not.
        choices: (claim, what it may be).
    """

    san: Template
    extensions: tuple[tuple[str, Template], ...] = ()
    defaults: tuple[tuple[str, str], ...] = ()
    demanded: tuple[str, ...] = ()
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def describe(self, claims: Mapping[str, JSON], fixed: Mapping[str, str]) -> tuple[Uri, tuple[tuple[str, str], ...]]:
        """(name, (extension field, text) for those that are not empty).

        1. Values: the defaults, over them the token's claims, over them ``fixed``, which the operator gave for this issuer. Only
           what a template looks at is read.
        2. No claim that the name is made of is empty, and none that is demanded; what has a choice is one of it.
        3. The name is a URI as :func:`~ca.uris.workflow_uri` makes it.

        Raises:
            Malformed: a claim that is looked at is no text, number or boolean. Refused: one is missing, or they make no name.
        """
        wanted = self.san.names().union(self.demanded, *(template.names() for _, template in self.extensions))
        values = {name: value for name, value in self.defaults if name in wanted}
        values |= {name: _text(name, claims[name]) for name in wanted if name in claims}
        values |= {name: value for name, value in fixed.items() if name in wanted}
        for name in (*sorted(self.san.names()), *self.demanded):
            if not values.get(name):
                raise Refused(f"the token has no claim {shown(name)}, or an empty one", "its issuer's names need it")
        for name, choice in self.choices:
            if values.get(name) not in choice:
                raise Refused(f"token.{name} is {shown(values.get(name))}, expected {' or '.join(choice)}")
        rendered = ((field, template.render(values)) for field, template in self.extensions)
        return Uri(workflow_uri(self.san.render(values))), tuple((field, text) for field, text in rendered if text)


def _text(name: str, value: JSON) -> str:
    """As Go prints it: whole numbers without exponent, ``true`` and ``false``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    raise Malformed(f"token.{name} is {shown(value)}, expected text, a number or a boolean")


def make_workflow(
    san: str,
    extensions: Mapping[str, str],
    defaults: Mapping[str, str],
    demanded: str = "",
    choices: tuple[tuple[str, tuple[str, ...]], ...] = (),
) -> Workflow:
    """A workflow out of the texts of its templates; an empty one leaves its extension out. ``demanded``: words.

    Raises:
        Malformed: a template is not understood, an extension does not exist, or there is no name.
    """
    if not san.strip():
        raise Malformed("the template of the subject alternative name is empty")
    unknown = sorted(extensions.keys() - set(EXTENSIONS))
    if unknown:
        raise Malformed(f"there is no extension {shown(unknown[0])}", f"known: {', '.join(EXTENSIONS)}")
    parsed = tuple((name, parse_template(extensions[name])) for name in EXTENSIONS if extensions.get(name, "").strip())
    return Workflow(parse_template(san), parsed, tuple(defaults.items()), tuple(demanded.split()), choices)


_GITHUB: Final = make_workflow(
    "{{ .url }}/{{ .job_workflow_ref }}",
    {
        "github_workflow_trigger": "event_name",
        "github_workflow_sha": "sha",
        "github_workflow_name": "workflow",
        "github_workflow_repository": "repository",
        "github_workflow_ref": "ref",
        "build_signer_uri": "{{ .url }}/{{ .job_workflow_ref }}",
        "build_signer_digest": "job_workflow_sha",
        "runner_environment": "runner_environment",
        "source_repository_uri": "{{ .url }}/{{ .repository }}",
        "source_repository_digest": "sha",
        "source_repository_ref": "ref",
        "source_repository_identifier": "repository_id",
        "source_repository_owner_uri": "{{ .url }}/{{ .repository_owner }}",
        "source_repository_owner_identifier": "repository_owner_id",
        "build_config_uri": "{{ .url }}/{{ .workflow_ref }}",
        "build_config_digest": "workflow_sha",
        "build_trigger": "event_name",
        "run_invocation_uri": "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
        "source_repository_visibility_at_signing": "repository_visibility",
        "deployment_environment": "environment",
    },
    {"environment": ""},
    (
        "job_workflow_ref sha event_name repository workflow ref job_workflow_sha runner_environment repository_id"
        " repository_owner repository_owner_id repository_visibility workflow_ref workflow_sha run_id run_attempt"
    ),
)
_GITLAB: Final = make_workflow(
    "https://{{ .ci_config_ref_uri }}",
    {
        "build_signer_uri": "https://{{ .ci_config_ref_uri }}",
        "build_signer_digest": "ci_config_sha",
        "runner_environment": "runner_environment",
        "source_repository_uri": "{{ .url }}/{{ .project_path }}",
        "source_repository_digest": "sha",
        "source_repository_ref": 'refs/{{if eq .ref_type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}',
        "source_repository_identifier": "project_id",
        "source_repository_owner_uri": "{{ .url }}/{{ .namespace_path }}",
        "source_repository_owner_identifier": "namespace_id",
        "build_config_uri": "https://{{ .ci_config_ref_uri }}",
        "build_config_digest": "ci_config_sha",
        "build_trigger": "pipeline_source",
        "run_invocation_uri": "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}",
        "source_repository_visibility_at_signing": "project_visibility",
        "deployment_environment": "environment",
    },
    {"environment": "", "ci_config_sha": "", "project_visibility": ""},
    (
        "project_path pipeline_source pipeline_id ci_config_ref_uri job_id ref ref_type namespace_path namespace_id"
        " project_id sha runner_environment runner_id"
    ),
    (("ref_type", ("branch", "tag")),),
)
_BUILDKITE: Final = make_workflow("{{ .url }}/{{ .organization_slug }}/{{ .pipeline_slug }}", {}, {})
_CODEFRESH: Final = make_workflow(
    "{{ .platform_url }}/{{ .account_name }}/{{ .pipeline_name }}:{{ .account_id }}/{{ .pipeline_id }}",
    {
        "build_signer_uri": "{{ .platform_url }}/build/{{ .workflow_id }}",
        "runner_environment": "runner_environment",
        "source_repository_uri": "scm_repo_url",
        "source_repository_ref": "scm_ref",
        "build_config_uri": "{{ .platform_url }}/api/pipelines/{{ .pipeline_id }}",
        "run_invocation_uri": "{{ .platform_url }}/build/{{ .workflow_id }}",
    },
    {"platform_url": "https://g.codefresh.io", "scm_repo_url": "", "scm_ref": "", "runner_environment": ""},
    "account_id pipeline_id workflow_id",
)
_BUILT_IN: Final[Mapping[str, Workflow]] = {
    "github-workflow": _GITHUB,
    "gitlab-pipeline": _GITLAB,
    "buildkite-job": _BUILDKITE,
    "codefresh-workflow": _CODEFRESH,
}
_SITES: Final = {
    "https://token.actions.githubusercontent.com": "https://github.com",
    "https://agent.buildkite.com": "https://buildkite.com",
}
"""Issuer -> where its repositories are, for those that have two hosts."""


_OWN_DOMAIN: Final = re.compile(r"https://token\.actions\.([a-z0-9-]+\.ghe\.com)(?=/|\Z)")
"""GitHub for enterprises with a domain of their own."""


def built_in(kind: str, issuer: str) -> tuple[Workflow, dict[str, str]]:
    """The templates of ``kind``, and the values that no claim of ``issuer`` changes: ``url``, where its repositories are.

    For self-hosted GitLab that is the issuer itself, for GitHub its host, where Fulcio's code has the public ones.
    """
    return _BUILT_IN[kind], {"url": issuer.rstrip("/") if kind == "gitlab-pipeline" else _site(issuer)}


def _site(issuer: str) -> str:
    known = next((site for at, site in _SITES.items() if issuer == at or issuer.startswith(f"{at}/")), "")
    if own := _OWN_DOMAIN.match(issuer):
        known = f"https://{own[1]}"
    origin = re.match(ORIGIN, issuer)
    return known or (origin[0] if origin else "")
