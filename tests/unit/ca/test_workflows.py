# SPDX-License-Identifier: Apache-2.0
"""Claims -> name and extensions, for every kind of issuer."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from ca.issuers import BUILT_IN, CHALLENGE_CLAIMS, Issuer
from ca.principal import make_principal
from ca.token import Claims
from ca.workflows import make_workflow
from sigcore.errors import Malformed, Refused, SigError
from sigcore.general_name import Email, OtherName, Uri
from sigcore.strict import Fields

GITHUB_ISSUER = "https://token.actions.githubusercontent.com"
GITHUB = {
    "sub": "repo:org/app:ref:refs/heads/main",
    "job_workflow_ref": "org/shared/.github/workflows/build.yml@refs/tags/v1",
    "job_workflow_sha": "a" * 40,
    "workflow": "Release",
    "workflow_ref": "org/app/.github/workflows/release.yml@refs/heads/main",
    "workflow_sha": "b" * 40,
    "sha": "c" * 40,
    "ref": "refs/heads/main",
    "event_name": "push",
    "repository": "org/app",
    "repository_id": "1234",
    "repository_owner": "org",
    "repository_owner_id": "56",
    "repository_visibility": "private",
    "runner_environment": "github-hosted",
    "run_id": "789",
    "run_attempt": "2",
}
GITHUB_EXTENSIONS = {
    "github_workflow_trigger": "push",
    "github_workflow_sha": "c" * 40,
    "github_workflow_name": "Release",
    "github_workflow_repository": "org/app",
    "github_workflow_ref": "refs/heads/main",
    "build_signer_uri": "https://github.com/org/shared/.github/workflows/build.yml@refs/tags/v1",
    "build_signer_digest": "a" * 40,
    "runner_environment": "github-hosted",
    "source_repository_uri": "https://github.com/org/app",
    "source_repository_digest": "c" * 40,
    "source_repository_ref": "refs/heads/main",
    "source_repository_identifier": "1234",
    "source_repository_owner_uri": "https://github.com/org",
    "source_repository_owner_identifier": "56",
    "build_config_uri": "https://github.com/org/app/.github/workflows/release.yml@refs/heads/main",
    "build_config_digest": "b" * 40,
    "build_trigger": "push",
    "run_invocation_uri": "https://github.com/org/app/actions/runs/789/attempts/2",
    "source_repository_visibility_at_signing": "private",
}
GITLAB = {
    "sub": "project_path:group/app:ref_type:branch:ref:main",
    "ci_config_ref_uri": "gitlab.corp.example/group/app//.gitlab-ci.yml@refs/heads/main",
    "ci_config_sha": "d" * 40,
    "project_path": "group/app",
    "project_id": "42",
    "project_visibility": "internal",
    "namespace_path": "group",
    "namespace_id": "7",
    "pipeline_id": "100",
    "pipeline_source": "push",
    "job_id": "2001",
    "ref": "main",
    "ref_type": "branch",
    "sha": "e" * 40,
    "runner_id": 12,
    "runner_environment": "self-hosted",
    "environment": "production",
}
GITLAB_EXTENSIONS = {
    "build_signer_uri": "https://gitlab.corp.example/group/app//.gitlab-ci.yml@refs/heads/main",
    "build_signer_digest": "d" * 40,
    "runner_environment": "self-hosted",
    "source_repository_uri": "https://gitlab.corp.example/group/app",
    "source_repository_digest": "e" * 40,
    "source_repository_ref": "refs/heads/main",
    "source_repository_identifier": "42",
    "source_repository_owner_uri": "https://gitlab.corp.example/group",
    "source_repository_owner_identifier": "7",
    "build_config_uri": "https://gitlab.corp.example/group/app//.gitlab-ci.yml@refs/heads/main",
    "build_config_digest": "d" * 40,
    "build_trigger": "push",
    "run_invocation_uri": "https://gitlab.corp.example/group/app/-/jobs/2001",
    "source_repository_visibility_at_signing": "internal",
    "deployment_environment": "production",
}
CODEFRESH = {
    "sub": "account:1:pipeline:2",
    "account_id": "1",
    "account_name": "acme",
    "pipeline_id": "2",
    "pipeline_name": "project/build",
    "workflow_id": "3",
    "scm_repo_url": "https://git.example/acme/app",
    "scm_ref": "main",
    "runner_environment": "hybrid",
}
TEMPLATES = make_workflow(
    "{{ .url }}/job/{{ .job }}",
    {
        "build_trigger": "cause",
        "run_invocation_uri": '{{ .url }}/run/{{ (index . "ci.example/run") }}#{{ index . "ci.example/step" }}',
        "runner_environment": '{{if eq (index . "ci.example/ssh") "true"}}ssh{{ else }}plain{{end}}',
        "source_repository_digest": "commit",
    },
    {"url": "https://jenkins.example", "cause": "timer", "commit": ""},
)
K8S = {"namespace": "build", "serviceaccount": {"name": "signer", "uid": "1"}, "pod": {"name": "p", "uid": "2"}}

# kind: (row, claims, name, what else the certificate says, what the proof signs)
ROWS = {
    "email": (
        {"url": "https://idp.example"},
        {"sub": "u1", "email": "a@b.example", "email_verified": True},
        Email("a@b.example"),
        {},
        "a@b.example",
    ),
    "uri": (
        {"url": "https://id.example.com", "subject_domain": "https://ci.example.com"},
        {"sub": "https://ci.example.com/job/7"},
        Uri("https://ci.example.com/job/7"),
        {},
        "https://ci.example.com/job/7",
    ),
    "username": (
        {"url": "https://names.example.com", "subject_domain": "example.com"},
        {"sub": "build-7"},
        OtherName("build-7!example.com"),
        {},
        "build-7",
    ),
    "spiffe": (
        {"url": "https://spire.example", "trust_domain": "prod.example"},
        {"sub": "spiffe://prod.example/ns/build/sa/signer"},
        Uri("spiffe://prod.example/ns/build/sa/signer"),
        {},
        "spiffe://prod.example/ns/build/sa/signer",
    ),
    "kubernetes": (
        {"url": "https://kubernetes.default.svc"},
        {"sub": "system:serviceaccount:build:signer", "kubernetes.io": K8S},
        Uri("https://kubernetes.io/namespaces/build/serviceaccounts/signer"),
        {},
        "system:serviceaccount:build:signer",
    ),
    "github-workflow": (
        {"url": GITHUB_ISSUER},
        GITHUB,
        Uri("https://github.com/org/shared/.github/workflows/build.yml@refs/tags/v1"),
        GITHUB_EXTENSIONS,
        GITHUB["sub"],
    ),
    "gitlab-pipeline": (
        {"url": "https://gitlab.corp.example"},
        GITLAB,
        Uri("https://gitlab.corp.example/group/app//.gitlab-ci.yml@refs/heads/main"),
        GITLAB_EXTENSIONS,
        GITLAB["sub"],
    ),
    "buildkite-job": (
        {"url": "https://agent.buildkite.com"},
        {"sub": "organization:acme:pipeline:app", "organization_slug": "acme", "pipeline_slug": "app"},
        Uri("https://buildkite.com/acme/app"),
        {},
        "organization:acme:pipeline:app",
    ),
    "codefresh-workflow": (
        {"url": "https://oidc.codefresh.io"},
        CODEFRESH,
        Uri("https://g.codefresh.io/acme/project/build:1/2"),
        {
            "build_signer_uri": "https://g.codefresh.io/build/3",
            "runner_environment": "hybrid",
            "source_repository_uri": "https://git.example/acme/app",
            "source_repository_ref": "main",
            "build_config_uri": "https://g.codefresh.io/api/pipelines/2",
            "run_invocation_uri": "https://g.codefresh.io/build/3",
        },
        CODEFRESH["sub"],
    ),
    "chainguard-identity": (
        {"url": "https://issuer.enforce.dev"},
        {"sub": "0123abcd/4567"},
        Uri("https://issuer.enforce.dev/0123abcd/4567"),
        {},
        "0123abcd/4567",
    ),
    "ci-provider": (
        {"url": "https://jenkins.example/oidc", "workflow": TEMPLATES},
        {"sub": "jenkins", "job": "app/main", "ci.example/run": 17, "ci.example/ssh": True},
        Uri("https://jenkins.example/job/app/main"),
        {
            "build_trigger": "timer",
            "run_invocation_uri": "https://jenkins.example/run/17#",
            "runner_environment": "ssh",
        },
        "jenkins",
    ),
}


def principal(kind, row=None, **changes):
    own_row, claims, *_ = ROWS[kind]
    claims = {name: value for name, value in (claims | changes).items() if value is not ...}
    issuer = Issuer(kind=kind, **(own_row | (row or {})))
    return make_principal(Claims(issuer, claims["sub"], Fields(claims, "token")))


def said(made):
    """What the certificate says beside issuer and subject."""
    return {
        name: text for name, text in asdict(made.extensions).items() if text and name not in ("issuer", "token_subject")
    }


@pytest.mark.parametrize("kind", ROWS)
def test_claims_of_every_kind_make_this_name_and_these_extensions(kind):
    row, claims, name, extensions_, signs = ROWS[kind]
    made = principal(kind)
    assert (made.san, said(made), made.subject) == (name, extensions_, signs)
    assert (made.extensions.issuer, made.extensions.token_subject) == (row["url"], claims["sub"])


def test_no_kind_is_left_out():
    assert set(ROWS) == set(CHALLENGE_CLAIMS)


# --- GitHub, GitLab ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_claim_that_the_kind_needs_may_not_be_missing_or_empty(kind):
    optional = {"sub", "ci_config_sha", "project_visibility", "environment", "scm_repo_url", "scm_ref"}
    optional |= {"runner_environment"} if kind == "codefresh-workflow" else set()
    for name in set(ROWS[kind][1]) - optional:
        for value in (..., ""):
            with pytest.raises(Refused, match=f"no claim '{name}'"):
                principal(kind, **{name: value})
    for name in optional & set(ROWS[kind][1]) - {"sub"}:
        principal(kind, **{name: ...})


def test_github_environments_and_self_hosted_github():
    made = principal("github-workflow", environment="prod")
    assert made.extensions.deployment_environment == "prod"
    enterprise = principal("github-workflow", {"url": f"{GITHUB_ISSUER}/acme"})
    assert enterprise.san.value.startswith("https://github.com/org/shared")
    own = principal("github-workflow", {"url": "https://ghes.corp.example/_services/token"})
    assert own.san == Uri("https://ghes.corp.example/org/shared/.github/workflows/build.yml@refs/tags/v1")
    assert own.extensions.run_invocation_uri == "https://ghes.corp.example/org/app/actions/runs/789/attempts/2"
    residency = principal("github-workflow", {"url": "https://token.actions.acme.ghe.com"})
    assert residency.extensions.source_repository_uri == "https://acme.ghe.com/org/app"
    set_by_hand = principal(
        "github-workflow", {"url": "https://x.example", "values": (("url", "https://git.example"),)}
    )
    assert set_by_hand.extensions.source_repository_uri == "https://git.example/org/app"


@pytest.mark.parametrize(
    "host",
    ["token.actions.githubusercontent.com.evil.example", "token.actions.acme.ghe.com.evil.example", "acme.ghe.com"],
)
def test_an_issuer_that_only_looks_like_github_is_not_on_github(host):
    assert principal("github-workflow", {"url": f"https://{host}"}).san.value.startswith(f"https://{host}/")


def test_gitlab_below_a_path():
    made = principal("gitlab-pipeline", {"url": "https://corp.example/gitlab/"})
    assert made.extensions.source_repository_uri == "https://corp.example/gitlab/group/app"


def test_gitlab_tags_and_types_that_do_not_exist():
    assert principal("gitlab-pipeline", ref_type="tag", ref="v1").extensions.source_repository_ref == "refs/tags/v1"
    for value in ("merge_request", "", "Branch"):
        with pytest.raises(Refused, match="ref_type"):
            principal("gitlab-pipeline", ref_type=value)


@pytest.mark.parametrize("kind", ["github-workflow", "gitlab-pipeline", "buildkite-job"])
def test_a_claim_named_url_does_not_move_the_name(kind):
    assert principal(kind, url="https://evil.example").san == ROWS[kind][2]


def test_a_claim_wins_over_a_default_and_a_value_of_the_row_over_both():
    assert principal("ci-provider", url="https://other.example").san == Uri("https://other.example/job/app/main")
    fixed = {"values": (("url", "https://fixed.example"),)}
    assert principal("ci-provider", fixed, url="https://other.example").san == Uri("https://fixed.example/job/app/main")


# --- values -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (2**60, str(2**60)), (True, "true"), (False, "false"), (1.0, "1"), (0.5, "0.5"), (1e20, "1" + "0" * 20)],
)
def test_numbers_and_booleans_are_written_as_go_writes_them(value, text):
    assert principal("ci-provider", commit=value).extensions.source_repository_digest == text


@pytest.mark.parametrize("value", [None, [], ["x"], {}, {"a": "b"}])
def test_what_is_no_text_is_not_made_one(value):
    with pytest.raises(Malformed, match=r"token\.(commit|job) is"):
        principal("ci-provider", commit=value)
    with pytest.raises(Malformed, match=r"token\.job is"):
        principal("ci-provider", job=value)


def test_claims_that_no_template_looks_at_may_be_anything():
    principal("ci-provider", groups=["a"], nothing=None, more={"x": 1})


# --- A05, A06: nothing of a claim becomes structure ------------------------------------------------------------
HOSTILE = ["a\nb", "a\r\nX: y", "a\x00b", "a\u202eb", "a\u2028b", "\x0c\x05https", "a" * 5000, "\x7f", "a\u200bb"]
"""Line breaks, NUL, text direction, DER, too long."""


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("claim", ["workflow", "ref", "job_workflow_ref", "environment"])
def test_what_could_forge_a_report_stands_in_no_certificate(claim, value):
    with pytest.raises(SigError):
        principal("github-workflow", **{claim: value})


@pytest.mark.parametrize(
    "value",
    [
        "../../evil/app/.github/workflows/x.yml@refs/heads/main",
        "org/./app",
        "org/app/..",
        "org/a%2e%2e/x",
        "org/app?x=\x01",
        "org/app?x y",
        "org/app%",
    ],
)
def test_a_name_that_a_reader_could_resolve_to_another_one_is_refused(value):
    with pytest.raises(Refused):
        principal("github-workflow", job_workflow_ref=value)


@pytest.mark.parametrize(
    "host", ["gitlab.com@evil.example/x", "gitlab.com:443@evil.example/x", "", "/x", "[::1]/x", "a b/x"]
)
def test_a_name_has_an_origin(host):
    with pytest.raises(Refused):
        principal("gitlab-pipeline", ci_config_ref_uri=host)


@pytest.mark.parametrize(
    ("branch", "written"),
    [
        ("fix#123", "fix#123"),
        ("a#b#c", "a#b%23c"),
        ("my branch", "my%20branch"),
        ("caf\u00e9", "caf%C3%A9"),
        ("\u30ea\u30ea\u30fc\u30b9", "%E3%83%AA%E3%83%AA%E3%83%BC%E3%82%B9"),
        ('a"b', "a%22b"),
        ("a<b>", "a%3Cb%3E"),
        ("a(b)", "a(b)"),
        ("a (b)", "a%20%28b%29"),
        ("a'b", "a'b"),
        ("a#b'c", "a#b'c"),
        ("a#b<(c)", "a#b%3C(c)"),
        ("feature/x+y@z,w", "feature/x+y@z,w"),
    ],
)
def test_branches_are_written_as_go_writes_them(branch, written):
    """The right column is what Go's ``(*url.URL).String`` gives, which Fulcio certifies."""
    made = principal("github-workflow", job_workflow_ref=f"org/app/w.yml@refs/heads/{branch}")
    assert made.san == Uri(f"https://github.com/org/app/w.yml@refs/heads/{written}")
    assert made.extensions.build_signer_uri.endswith(branch)


def test_two_branches_never_have_one_name():
    """A branch that anybody may push must not be able to sign as a protected one."""
    for branch in ("caf%C3%A9", "my%20branch", "%2e%2e", "100%"):
        with pytest.raises(Refused, match="without percent signs"):
            principal("github-workflow", job_workflow_ref=f"org/app/w.yml@refs/heads/{branch}")


@pytest.mark.parametrize("value", ["{{ .run_id }}", '{{ index . "sub" }}', "${sub}", "%s"])
def test_a_claim_is_no_template(value):
    assert principal("github-workflow", workflow=value).extensions.github_workflow_name == value


# --- the other kinds ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "subject", ["", "a!b", "a@b", "a@b.example", "a b", "a\n", "a\x00", "\u00e9", "x" * 255, "!", "a!example.com"]
)
def test_a_user_name_that_is_refused(subject):
    with pytest.raises(SigError):
        principal("username", sub=subject)


@pytest.mark.parametrize(
    "subject",
    [
        "spiffe://prod.example",
        "spiffe://prod.example/",
        "spiffe://other.example/x",
        "spiffe://prod.example.evil/x",
        "spiffe://prod.example@evil/x",
        "spiffe://prod.example:1/x",
        "SPIFFE://prod.example/x",
        "spiffe://prod.example/a//b",
        "spiffe://prod.example/a/../b",
        "spiffe://prod.example/a/./b",
        "spiffe://prod.example/a/",
        "spiffe://prod.example/a?b",
        "spiffe://prod.example/a#b",
        "spiffe://prod.example/a%41",
        "spiffe://prod.example/\u00e9",
        "spiffe://prod.example/a\n",
        "https://prod.example/a",
        "spiffe://prod.example/" + "a" * 2048,
    ],
)
def test_a_spiffe_id_that_is_refused(subject):
    with pytest.raises(Refused, match="not a SPIFFE ID below"):
        principal("spiffe", sub=subject)


@pytest.mark.parametrize(
    "changes",
    [
        {"kubernetes.io": ...},
        {"kubernetes.io": {}},
        {"kubernetes.io": {"namespace": "build"}},
        {"kubernetes.io": {"namespace": "", "serviceaccount": {"name": "signer"}}},
        {"kubernetes.io": {"namespace": "build/..", "serviceaccount": {"name": "signer"}}},
        {"kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "a/b"}}},
        {"kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "signer\n"}}},
        {"kubernetes.io": {"namespace": "build", "serviceaccount": "signer"}},
        {"kubernetes.io": {"namespace": "other", "serviceaccount": {"name": "signer"}}},
        {"sub": "system:serviceaccount:other:signer"},
    ],
)
def test_a_service_account_that_is_refused(changes):
    with pytest.raises(SigError):
        principal("kubernetes", **changes)


@pytest.mark.parametrize("subject", ["", "/x", "x/", "a//b", "../x", "a/..", "a b", "a?b", "a#b", "a%41", "\u00e9"])
def test_a_chainguard_subject_that_is_refused(subject):
    with pytest.raises(SigError):
        principal("chainguard-identity", sub=subject)


def test_chainguard_signs_the_email_where_there_is_one():
    made = principal("chainguard-identity", email="a@b.example", email_verified=True)
    assert (made.subject, made.san) == ("a@b.example", ROWS["chainguard-identity"][2])
    with pytest.raises(Refused, match="not verified"):
        principal("chainguard-identity", email="a@b.example", email_verified=False)


# --- the issuer that the certificate names --------------------------------------------------------------------------
DEX = {"url": "https://dex.example", "issuer_claim": "$.federated_claims.connector_id"}


def test_the_issuer_behind_the_issuer():
    behind = {"connector_id": "https://github.com/login/oauth", "user_id": "1"}
    assert principal("email", DEX, federated_claims=behind).extensions.issuer == "https://github.com/login/oauth"
    assert principal("email", federated_claims=behind).extensions.issuer == "https://idp.example"


@pytest.mark.parametrize(
    "claims",
    [..., None, "x", {}, {"connector_id": ""}, {"connector_id": 7}, {"connector_id": "a b"}, {"connector_id": "a\n"}],
)
def test_an_issuer_claim_that_is_not_there_names_nobody(claims):
    with pytest.raises(SigError):
        principal("email", DEX, federated_claims=claims)


def test_our_own_provider_may_leave_the_issuer_behind_it_out():
    own = {"kind": "own", "issuer_claim": "$.federated_claims.connector_id", "url": "http://localhost:7780/auth"}

    def issuer(**changes):
        claims = ROWS["email"][1] | changes
        return make_principal(Claims(Issuer(**own), claims["sub"], Fields(claims, "token"))).extensions.issuer

    assert issuer() == own["url"]
    assert issuer(federated_claims={"connector_id": "local"}) == own["url"]
    assert issuer(federated_claims={"connector_id": "https://idp.example"}) == "https://idp.example"
    with pytest.raises(SigError):
        issuer(federated_claims={"connector_id": "https://idp.example\n"})


@pytest.mark.parametrize("value", [False, None, "true", 1])
def test_skipping_the_verification_is_for_claims_that_are_not_there(value):
    row = {"skip_email_verification": True}
    assert principal("email", row, email_verified=...).san == Email("a@b.example")
    with pytest.raises(Refused, match="not verified"):
        principal("email", row, email_verified=value)
    with pytest.raises(Refused, match="not verified"):
        principal("email", email_verified=...)
