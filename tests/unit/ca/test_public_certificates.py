# SPDX-License-Identifier: Apache-2.0
"""The public Fulcio as oracle: from the claims that each of its certificates must have come from, ours come out the same.

Every certificate of the public instance that stands anywhere in the third-party vectors is compared, whichever kind of issuer it is
of. The kinds that have none are listed, each with what its rows in ``test_workflows.py`` follow instead.
"""

from __future__ import annotations

from collections import Counter

from ca.issuers import CHALLENGE_CLAIMS, Issuer
from ca.lint import lint
from ca.principal import make_principal
from ca.profile import Profile
from ca.token import Claims
from sigcore import certify, extensions, fulcio, general_name, x509
from sigcore.general_name import Email
from sigcore.strict import Fields
from tests.unit.ca import fakes
from tests.unit.ca.public_leaves import public_leaves
from tests.unit.ca.tokens import NOW

GITHUB, GOOGLE = "https://token.actions.githubusercontent.com", "https://accounts.google.com"
THROUGH_DEX = "https://github.com/login/oauth"
CODE = "the principal of this kind in Fulcio's source: the public instance has no issuer of it"
TEMPLATES = "the public instance's own configuration (config/identity/config.yaml), whose templates say the same"
WITHOUT = {
    "uri": CODE,
    "username": CODE,
    "spiffe": CODE,
    "kubernetes": "the principal of this kind in Fulcio's source: clusters of three clouds have rows of it",
    "chainguard-identity": "the principal of this kind in Fulcio's source: issuer.enforce.dev has a row of it",
    "buildkite-job": "the principal of this kind in Fulcio's source; the public row is a ci-provider that adds four extensions",
    "gitlab-pipeline": TEMPLATES,
    "codefresh-workflow": TEMPLATES,
    "ci-provider": "the templates that the configuration brings: test_templates.py holds them against text/template's rules",
}
"""Kind -> what its row follows, for no certificate of it stands in the vectors."""


def github_claims(values, san):
    """The claims that GitHub must have stated for such a certificate."""
    site = "https://github.com/"
    run, attempt = values.run_invocation_uri.removeprefix(f"{values.source_repository_uri}/actions/runs/").split(
        "/attempts/"
    )
    return {
        "sub": values.token_subject or "repo:x",
        "job_workflow_ref": san.value.removeprefix(site),
        "job_workflow_sha": values.build_signer_digest,
        "workflow": values.github_workflow_name,
        "workflow_ref": values.build_config_uri.removeprefix(site),
        "workflow_sha": values.build_config_digest,
        "sha": values.source_repository_digest,
        "ref": values.source_repository_ref,
        "event_name": values.build_trigger,
        "repository": values.source_repository_uri.removeprefix(site),
        "repository_id": values.source_repository_identifier,
        "repository_owner": values.source_repository_owner_uri.removeprefix(site),
        "repository_owner_id": values.source_repository_owner_identifier,
        "repository_visibility": values.source_repository_visibility_at_signing or "public",
        "runner_environment": values.runner_environment,
        "run_id": run,
        "run_attempt": attempt,
    }


def sources(values, san):
    """(kind, issuer, claims), for each issuer of the public instance that such a certificate can have come from."""
    if values.issuer == GITHUB:
        yield "github-workflow", Issuer(GITHUB, kind="github-workflow"), github_claims(values, san)
        return
    claims = {"sub": values.token_subject or "CgYx", "email": san.value, "email_verified": True}
    federated = {"federated_claims": {"connector_id": values.issuer, "user_id": "1"}}
    dex = Issuer("https://oauth2.sigstore.dev/auth", issuer_claim="$.federated_claims.connector_id")
    yield "email", dex, claims | federated
    if values.issuer == GOOGLE:  # a service account needs no Dex
        yield "email", Issuer(GOOGLE), claims


def reissued(leaf, issuer, claims):
    """(our certificate's SAN and Fulcio extensions, theirs), as bytes; what theirs does not have yet is left out, and named."""
    made = make_principal(Claims(issuer, claims["sub"], Fields(claims, "token")))
    chain = fakes.make_chain()
    tbs = Profile(chain.issuer).draft(made, leaf.spki, NOW).encode(certify.encode_extension(extensions.poison()))
    ours = lint(tbs, issuer=chain.issuer, principal=made, spki=leaf.spki, now=NOW)
    theirs = {e.oid for e in leaf.extensions}

    def compared(certificate):
        wanted = (x509.SUBJECT_ALTERNATIVE_NAME, fulcio.ARC)
        return [e for e in certificate.extensions if e.oid.startswith(wanted) and e.oid in theirs]

    return compared(ours), compared(leaf), {e.oid for e in ours.extensions if e.oid.startswith(fulcio.ARC)} - theirs


def test_what_the_public_fulcio_issued_comes_out_of_the_same_claims(vectors):
    arcs, issuers, kinds = set(), Counter(), Counter()
    younger = ("token_subject", "source_repository_visibility_at_signing")  # than some of these certificates
    for leaf in public_leaves(vectors):
        san, values = general_name.parse_san(leaf), fulcio.parse_extensions(leaf)
        issuers[values.issuer] += 1
        for kind, issuer, claims in sources(values, san):
            ours, theirs, added = reissued(leaf, issuer, claims)
            assert ours == theirs, (kind, issuer.url, san)
            assert added <= set(map(fulcio.oid_of, younger))
            arcs |= {e.oid for e in ours}
            kinds[kind, issuer.url] += 1
    assert issuers == {GITHUB: 18, THROUGH_DEX: 3, GOOGLE: 3}, "the vectors have others: their issuers need a row above"
    assert len(kinds) == 3
    assert len(arcs) >= 21


def test_every_kind_is_compared_or_says_what_it_follows():
    assert set(WITHOUT) | {"github-workflow", "email"} == set(CHALLENGE_CLAIMS)
    assert not set(WITHOUT) & {"github-workflow", "email"}


def test_a_comparison_with_another_claim_fails(vectors):
    """The oracle is one: whatever claim of GitHub's is another one, the certificate is too."""
    leaf = next(found for found in public_leaves(vectors) if not isinstance(general_name.parse_san(found), Email))
    values, san = fulcio.parse_extensions(leaf), general_name.parse_san(leaf)
    ((_, issuer, claims),) = sources(values, san)
    for name in set(claims) - {"sub", "repository_visibility"}:
        ours, theirs, _ = reissued(leaf, issuer, claims | {name: f"{claims[name]}1"})
        assert ours != theirs, name
