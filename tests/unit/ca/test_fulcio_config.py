# SPDX-License-Identifier: Apache-2.0
"""Fulcio's configuration file, in both of its spellings, with every construct that the shipped one has."""

from __future__ import annotations

import json

import pytest

from ca.fulcio_config import parse_fulcio_config
from ca.issuers import Issuer, Pattern
from ca.principal import make_principal
from ca.token import Claims
from client.policy.yaml_form import parse_yaml
from sigcore.errors import Malformed
from sigcore.general_name import Uri
from sigcore.strict import Fields
from tests.unit.ca.test_transport import AUTHORITY

YAML = """
# anchors at the top, and aliases as values and as names
define:
  - &forge "forge-job"
  - &ship ship-run
oidc-issuers:
  https://accounts.example.com:
    issuer-url: https://accounts.example.com
    client-id: sigstore
    type: email
    contact: ops@example.com
    description: "people, with their own provider"
    environment: production
  https://dex.example.com:
    client-id: sigstore
    type: email
    issuer-claim: $.federated_claims.connector_id
    skip-email-verification: true
    challenge-claim: email
  https://forge.example:
    client-id: forge
    type: ci-provider
    ci-provider: *forge
  https://users.example.com:
    client-id: sigstore
    type: username
    subject-domain: example.com
  https://spire.example.com:
    client-id: sigstore
    type: spiffe
    spiffe-trust-domain: prod.example
meta-issuers:
  https://*.clusters.example/id/*:
    client-id: sigstore
    type: kubernetes
  https://ship.example/org/*:
    client-id: sigstore
    type: ci-provider
    ci-provider: *ship
ci-issuer-metadata:
  *forge:
    default-template-values:
      url: "https://forge.example"
      # optional
      environment: ""
    extension-templates:
      github-workflow-sha: "sha"
      build-signer-uri: "{{ .url }}/{{ .workflow }}"
      source-repository-ref: refs/{{if eq .ref_type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}
      deployment-environment: "environment"
    subject-alternative-name-template: "{{ .url }}/{{ .workflow }}"
  *ship:
    extension-templates:
      run-invocation-uri: 'https://ship.example/{{(index . "ship.example/run-id")}}'
      runner-environment: '{{if eq (index . "ship.example/ssh") "true"}}ssh{{ else }}""{{end}}'
    subject-alternative-name-template: 'https://ship.example/{{index . "ship.example/job"}}'
"""
ROWS = {
    row.issuer.url: row
    for row in parse_fulcio_config(parse_yaml(YAML.encode(), what="the file", anchored_words=True), what="the file")
}


def principal(url, **claims):
    issuer = ROWS[url].issuer
    return make_principal(Claims(issuer, claims["sub"], Fields(claims, "token")))


def test_every_issuer_and_every_pattern_is_a_row():
    assert {url: (row.issuer.kind, row.pattern) for url, row in ROWS.items()} == {
        "https://accounts.example.com": ("email", False),
        "https://dex.example.com": ("email", False),
        "https://forge.example": ("ci-provider", False),
        "https://users.example.com": ("username", False),
        "https://spire.example.com": ("spiffe", False),
        "https://*.clusters.example/id/*": ("kubernetes", True),
        "https://ship.example/org/*": ("ci-provider", True),
    }
    dex, forge = ROWS["https://dex.example.com"].issuer, ROWS["https://forge.example"].issuer
    assert (dex.issuer_claim, dex.skip_email_verification, dex.challenge("email")) == (
        "$.federated_claims.connector_id",
        True,
        "email",
    )
    assert (forge.audience, forge.challenge("ci-provider")) == ("forge", "sub")
    assert ROWS["https://users.example.com"].issuer.subject_domain == "example.com"
    assert ROWS["https://spire.example.com"].issuer.trust_domain == "prod.example"


def test_templates_of_the_file_make_names_and_extensions():
    made = principal(
        "https://forge.example",
        sub="s",
        sha="abc",
        workflow="a/b.yml@main",
        ref="v1",
        ref_type="tag",
        environment="prod",
    )
    assert made.san == Uri("https://forge.example/a/b.yml@main")
    assert made.extensions.github_workflow_sha == "abc"
    assert made.extensions.source_repository_ref == "refs/tags/v1"
    assert made.extensions.deployment_environment == "prod"
    ship = principal("https://ship.example/org/*", sub="s", **{"ship.example/job": "7", "ship.example/ssh": False})
    assert ship.san == Uri("https://ship.example/7")
    assert ship.extensions.runner_environment == '""'
    assert ship.extensions.run_invocation_uri == "https://ship.example/"


def test_the_json_spelling_says_the_same():
    value = {
        "OIDCIssuers": {
            "https://accounts.example.com": {
                "IssuerURL": "https://accounts.example.com",
                "ClientID": "sigstore",
                "Type": "email",
                "ChallengeClaim": "email",
                "SkipEmailVerification": True,
                "CACert": AUTHORITY.pem,
            },
            "https://forge.example": {"ClientID": "forge", "Type": "ci-provider", "CIProvider": "forge-job"},
        },
        "MetaIssuers": {"https://*.clusters.example/id/*": {"ClientID": "sigstore", "Type": "kubernetes"}},
        "CIIssuerMetadata": {
            "forge-job": {
                "DefaultTemplateValues": {"url": "https://forge.example"},
                "ExtensionTemplates": {
                    "Issuer": "ignored",
                    "Subject": "ignored",
                    "GithubWorkflowSHA": "sha",
                    "BuildSignerURI": "{{ .url }}/{{ .workflow }}",
                },
                "SubjectAlternativeNameTemplate": "{{ .url }}/{{ .workflow }}",
            }
        },
    }
    people, forge, clusters = parse_fulcio_config(json.loads(json.dumps(value)), what="the file")
    assert (people.issuer.skip_email_verification, people.source.ca) == (True, AUTHORITY.pem)
    assert [name for name, _ in forge.issuer.workflow.extensions] == ["github_workflow_sha", "build_signer_uri"]
    assert clusters.pattern


def row(**members):
    return {"oidc-issuers": {"https://a.example": {"client-id": "sigstore", "type": "email"} | members}}


def ci(**metadata):
    return {"ci-issuer-metadata": {"x": {"subject-alternative-name-template": "{{ .a }}"} | metadata}}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected names with their values"),
        ({"oidc-isuers": {}}, "unknown member 'oidc-isuers'"),
        ({"oidc-issuers": [], "meta-issuers": {}}, "expected names"),
        ({"oidc-issuers": {}, "OIDCIssuers": {}}, "twice, in two spellings"),
        (row(clientid="a"), "twice, in two spellings"),
        (row(alow=["x"]), "unknown member 'alow'"),
        (row(**{"client-id": ""}), "no audience"),
        (row(**{"client-id": None}), "client-id is missing"),
        (row(type=None), "type is missing"),
        (row(type="saml"), "kind 'saml'"),
        (row(**{"issuer-url": "https://b.example"}), "expected the name of the row"),
        (row(**{"ci-provider": "x"}), "goes with the type ci-provider only"),
        (row(type="ci-provider"), "ci-provider is missing"),
        (row(**{"type": "ci-provider", "ci-provider": "x"}), "not described"),
        (row(type="uri"), "has no subject domain"),
        (row(**{"type": "uri", "subject-domain": "a.example"}), "expected https://host"),
        (row(type="username"), "has no subject domain"),
        (row(**{"type": "username", "subject-domain": "https://a.example"}), "a host without scheme"),
        (row(**{"type": "username", "subject-domain": "b.org"}), "cannot answer for"),
        (row(type="spiffe"), "has no trust domain"),
        (row(**{"type": "spiffe", "spiffe-trust-domain": "A b"}), "trust domain is"),
        (row(**{"type": "kubernetes", "issuer-claim": "$.a"}), "goes with the kind email only"),
        (row(**{"type": "kubernetes", "skip-email-verification": True}), "goes with the kind email only"),
        (row(**{"issuer-claim": "federated_claims"}), "expected the form"),
        (row(**{"issuer-claim": "$..a"}), "expected the form"),
        (row(**{"issuer-claim": "$.a[0]"}), "expected the form"),
        (row(**{"skip-email-verification": "true"}), "expected true or false"),
        (row(**{"challenge-claim": "name"}), "expected email or sub"),
        (row(**{"jwks": "a", "jwks-uri": "https://b"}), "jwks_uri is for nothing"),
        (row(**{"jwks": "a", "ca-cert": "x"}), "ca is for nothing"),
        (row(**{"ca-cert": "a", "ca-file": "b"}), "both given"),
        (row(allow="x"), "expected an array"),
        (row(allow=[7]), "expected a string"),
        (row(values={"a": "b"}), "goes with the kind"),
        ({"oidc-issuers": {"https://*.a.example": {"client-id": "s", "type": "email"}}}, "patterns are meta-issuers"),
        ({"oidc-issuers": {"ftp://a.example": {"client-id": "s", "type": "email"}}}, "expected an http"),
        ({"meta-issuers": {"https://a.example": {"client-id": "s", "type": "email"}}}, r"a \* for each part"),
        ({"meta-issuers": {"http://*.example": {"client-id": "s", "type": "email"}}}, "expected https"),
        (
            {"meta-issuers": {"https://*.x": {"client-id": "s", "type": "spiffe", "spiffe-trust-domain": "a"}}},
            "kind spiffe",
        ),
        (ci(**{"subject-alternative-name-template": " "}), "is empty"),
        (ci(**{"subject-alternative-name-template": "{{ .a"}), "does not end"),
        (ci(**{"subject-alternative-name-template": None}), "is missing"),
        (ci(**{"extension-templates": {"build-sgner-uri": "a"}}), "no extension 'build-sgner-uri'"),
        (ci(**{"extension-templates": {"build-signer-uri": "{{ range . }}"}}), "understood is"),
        (ci(**{"extension-templates": {"build-signer-uri": 7}}), "expected text"),
        (ci(**{"default-template-values": {"a": True}}), "expected text"),
        (ci(templates={}), "unknown member 'templates'"),
        ({"oidc-issuers": {f"https://a{n}.example": {} for n in range(257)}}, "more than 256"),
    ],
)
def test_what_could_not_be_meant_is_refused_with_its_place(value, message):
    with pytest.raises(Malformed, match=message) as caught:
        parse_fulcio_config(value, what="the file")
    assert caught.value.message.startswith("the file")


# --- patterns: Fulcio's own hits and misses (GHSA-59jp-pj84-45mr), and A03 -----------------------------------------
EKS, GKE = (
    "https://oidc.eks.*.amazonaws.com/id/*",
    "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*",
)
AKS, CIRCLE = "https://*.oic.prod-aks.azure.com/*/*", "https://oidc.circleci.com/org/*"
GUID = "ffffffff-eeee-dddd-cccc-bbbbbbbbbbb0"
HITS = [
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/B02C93B6A2D30341AD01E1B6D48164CB"),
    (GKE, "https://container.googleapis.com/v1/projects/p/locations/us-west1-b/clusters/c"),
    (AKS, f"https://eastus.oic.prod-aks.azure.com/{GUID}/{GUID}"),
    (AKS + "/", f"https://eastus.oic.prod-aks.azure.com/{GUID}/{GUID}/"),
    (CIRCLE, "https://oidc.circleci.com/org/my_org"),
]
MISSES = [
    (EKS, "https://oidc.eks.us.west.2.amazonaws.com/id/B02C"),
    (EKS, "https://oidc.eks.us-west/2.amazonaws.com/id/B02C"),
    (EKS, "http://localhost?issuer=https://oidc.eks.us-west-2.amazonaws.com/id/B02C"),
    (EKS, "http://localhost/redirect/https://oidc.eks.us-west-2.amazonaws.com/id/B02C"),
    (EKS, "http://oidc.eks.us-west-2.amazonaws.com/id/B02C"),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/B02C/"),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/B02C\n"),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/B02C?x"),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/B02C#x"),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/%2e%2e"),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com/id/.."),
    (EKS, "https://oidc.eks.us-west-2.amazonaws.com:8443/id/B02C"),
    (EKS, "https://oidc.eks.x@evil.example/.amazonaws.com/id/B02C"),
    (EKS, "https://oidc.eks.\u00e9.amazonaws.com/id/B02C"),
    (EKS, "https://oidc.eks.\u0661.amazonaws.com/id/B02C"),
    (EKS, "https://oidc.eks..amazonaws.com/id/B02C"),
    (EKS, "https://oidcxeks.us-west-2.amazonaws.com/id/B02C"),
    (EKS, "HTTPS://oidc.eks.us-west-2.amazonaws.com/id/B02C"),
    (EKS, " https://oidc.eks.us-west-2.amazonaws.com/id/B02C"),
    (GKE, "https://container.googleapis.com/v1/projects/p/locations/us.west1.b/clusters/c"),
    (AKS, f"https://eastus.oic.prod-aks.azure.com/{GUID}"),
    (AKS, f"https://eastus.oic.prod.aks.azure.com/{GUID}/{GUID}"),
    (AKS + "/", f"https://eastus.oic.prod-aks.azure.com/{GUID}/{GUID}"),
    (CIRCLE, "https://oidc.circleci.com/org/"),
    (CIRCLE, "https://oidc.circleci.com/org/a/b"),
    (CIRCLE, "https://oidc.circleci.com/org/a" + "a" * 10 + "\x00"),
]


@pytest.mark.parametrize(("pattern", "url"), HITS)
def test_an_issuer_of_a_pattern(pattern, url):
    assert Pattern(Issuer(pattern, kind="kubernetes")).matches(url)


@pytest.mark.parametrize(("pattern", "url"), MISSES)
def test_what_only_looks_like_one_is_none(pattern, url):
    assert not Pattern(Issuer(pattern, kind="kubernetes")).matches(url)
