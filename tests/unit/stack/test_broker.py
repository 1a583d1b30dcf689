# SPDX-License-Identifier: Apache-2.0
"""``[[brokered]]``: whose tokens are exchanged, under which conditions, and for what name."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from oidc_dev.claims import Identity
from sigcore.errors import Malformed, NotFound, Refused, SigError
from stack.broker import JobBroker, load_brokered
from stack.elsewhere import load_elsewhere

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GITLAB, OURS = "https://gitlab.corp.example", "https://sigstore.corp.example"
KEY, OTHER_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
ROW = f'[[brokered]]\nissuer = "{GITLAB}"\naudience = "{OURS}"\njwks = "gitlab.jwks"\n'
JOBS = """
[[brokered.jobs]]
claims = { project_path = "group/app", ref_protected = "true", ref = ["main", "release-*"] }
subject = "https://gitlab.corp.example/{{ .project_path }}"

[[brokered.jobs]]
claims = { "kubernetes.io" = { namespace = "build", serviceaccount = { name = "signer" } } }
email = "signer@corp.example"

[[brokered.jobs]]
claims = { sub = "nightly" }
subject = "https://gitlab.corp.example/nightly"
"""
CLAIMS = {"project_path": "group/app", "ref_protected": "true", "ref": "main"}


@pytest.fixture
def config(tmp_path):
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "a"}
    (tmp_path / "gitlab.jwks").write_text(json.dumps({"keys": [jwk]}))

    def write(text: str):
        (tmp_path / "sigbox.toml").write_text(text)
        return tmp_path / "sigbox.toml"

    return write


@pytest.fixture
def broker(config):
    return JobBroker(load_brokered(config(ROW + JOBS)))


def token(key=KEY, **claims: object) -> str:
    moment = int(NOW.timestamp())
    said = {"iss": GITLAB, "aud": OURS, "sub": "job", "iat": moment, "exp": moment + 60} | claims
    return jwt.encode({name: value for name, value in said.items() if value is not None}, key, "ES256", {"kid": "a"})


@pytest.mark.parametrize(
    ("claims", "identity"),
    [
        (CLAIMS, Identity(subject=f"{GITLAB}/group/app")),
        (CLAIMS | {"ref": "release-1.2"}, Identity(subject=f"{GITLAB}/group/app")),
        (
            {"kubernetes.io": {"namespace": "build", "serviceaccount": {"name": "signer"}}},
            Identity(email="signer@corp.example"),
        ),
        ({"sub": "nightly"}, Identity(subject=f"{GITLAB}/nightly")),
        (CLAIMS | {"sub": "nightly"}, Identity(subject=f"{GITLAB}/group/app")),
    ],
)
async def test_the_first_job_whose_claims_hold_says_who_it_is(broker, claims, identity):
    assert await broker.identify(token(**claims), now=NOW) == identity


@pytest.mark.parametrize(
    "changed",
    [
        {"project_path": "group/other"},
        {"project_path": "group/app/"},
        {"project_path": "GROUP/app"},
        {"project_path": "group/app\n"},
        {"project_path": ["group/app"]},
        {"ref_protected": "false"},
        {"ref_protected": True},
        {"ref_protected": None},
        {"ref": "feature"},
        {"ref": "release-1/../../main"},
        {"ref": "main2"},
    ],
)
async def test_a_claim_that_is_not_what_is_wanted_makes_it_nobody(broker, changed):
    with pytest.raises(Refused, match="no job that is known here has the claims"):
        await broker.identify(token(**(CLAIMS | changed)), now=NOW)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"aud": "sigstore"}, f"'sigstore', expected '{OURS}'"),
        ({"aud": [OURS, "other"]}, "audience"),
        ({"iss": "https://gitlab.com"}, "not accepted here"),
        ({"iss": f"{GITLAB}/"}, "not accepted here"),
        ({"exp": int(NOW.timestamp()) - 60}, "has expired"),
        ({"exp": None}, "exp"),
    ],
)
async def test_a_token_that_is_not_for_us_and_now_is_refused_with_the_reason(broker, changed, why):
    with pytest.raises(SigError, match=why):
        await broker.identify(token(**(CLAIMS | changed)), now=NOW)


async def test_a_token_signed_by_somebody_else_is_refused(broker):
    with pytest.raises(Refused, match="signature does not verify"):
        await broker.identify(token(OTHER_KEY, **CLAIMS), now=NOW)


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "x" * 20000])
async def test_what_is_no_token_is_malformed(broker, text):
    with pytest.raises(SigError):
        await broker.identify(text, now=NOW)


@pytest.mark.parametrize("path", ["../other", "a/../b", "a%2fb", "a b?x#y\n", "", "a\u0000b"])
async def test_a_claim_cannot_climb_out_of_its_place_in_the_name(config, path):
    row = ROW + '[[brokered.jobs]]\nclaims = { sub = "job" }\nsubject = "https://gitlab.corp.example/x/{{ .path }}/y"\n'
    broker = JobBroker(load_brokered(config(row)))
    with pytest.raises(SigError):
        await broker.identify(token(path=path), now=NOW)


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ("[brokered]\n", Malformed, r"write \[\[brokered\]\]"),
        ("brokered = [1]\n", Malformed, "brokered 1: 1 is no table"),
        (ROW, Malformed, "it has no jobs"),
        (ROW + "jobs = []\n", Malformed, "it has no jobs"),
        (ROW + "jobs = [{}]\n", Malformed, "claims"),
        (ROW + 'jobs = [{claims = {}, email = "a@b.c"}]\n', Malformed, "no conditions"),
        (ROW + 'jobs = [{claims = {sub = 7}, email = "a@b.c"}]\n', Malformed, "expected a text"),
        (ROW + 'jobs = [{claims = {sub = []}, email = "a@b.c"}]\n', Malformed, "expected a text"),
        (ROW + 'jobs = [{claims = {sub = "a"}}]\n', Malformed, "subject"),
        (ROW + 'jobs = [{claims = {sub = "a"}, email = "nobody"}]\n', Malformed, "mailbox"),
        (ROW + 'jobs = [{claims = {sub = "a"}, subject = "{{ .iss }}/x"}]\n', Malformed, "expected https://HOST/"),
        (
            ROW + 'jobs = [{claims = {sub = "a"}, subject = "https://{{ .a }}.example/x"}]\n',
            Malformed,
            "expected https",
        ),
        (ROW + 'jobs = [{claims = {sub = "a"}, subject = "https://a.example"}]\n', Malformed, "expected https://HOST/"),
        (ROW.replace("gitlab.jwks", "absent") + JOBS, NotFound, "absent"),
        (ROW + "spelt_wrong = 1\n" + JOBS, Malformed, "spelt_wrong"),
        (ROW.replace(f'audience = "{OURS}"\n', "") + JOBS, Malformed, "audience"),
        (ROW + JOBS + ROW + JOBS, Malformed, "one issuer twice"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused_with_its_place(config, text, error, why):
    with pytest.raises(error, match=why):
        load_elsewhere([config(text)])


def test_most_stacks_have_none(config):
    elsewhere = load_elsewhere([config('url = "http://localhost"\n')])
    assert (elsewhere.broker, elsewhere.upstreams, elsewhere.federation("http://localhost/auth")) == (None, (), None)
