# SPDX-License-Identifier: Apache-2.0
"""Whose tokens buy a certificate, on a running stack: its own provider's, for people and machines, and configured issuers'."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.stack_process import RunningStack, running_stack, sigbox

CI = "https://ci.example.com"
JOB = f"{CI}/job/7"
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("issuers")
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "ci"}
    (folder / "ci.jwks").write_text(json.dumps({"keys": [jwk]}))
    config = folder / "issuers.toml"
    config.write_text(f'[[issuers]]\nurl = "{CI}"\njwks = "ci.jwks"\nkind = "uri"\nsubject_domain = "{CI}"\n')
    with running_stack(folder, "--ephemeral", "--config", config) as running:
        yield running


def signed_and_verified(stack: RunningStack, folder: Path, token: str, identity: str, issuer: str) -> None:
    artifact = folder / "artifact"
    artifact.write_text("hello")
    done = sigbox("sign-blob", artifact, "--identity-token", token, "--trust-config", stack.trust_config)
    assert done.returncode == 0, done.stderr
    who = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
    done = sigbox("verify-blob", artifact, *who, "--trusted-root", stack.trusted_root)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("option", "identity"), [("--email", "alice@example.com"), ("--subject", JOB)])
def test_our_own_provider_answers_for_people_and_machines(stack, tmp_path, option, identity):
    token = sigbox("token", "--data", stack.data, option, identity).stdout.strip()
    signed_and_verified(stack, tmp_path, token, identity, stack.oidc_issuer)


def ci_token(subject: str) -> str:
    now = int(time.time())
    claims = {"iss": CI, "sub": subject, "aud": "sigstore", "iat": now, "exp": now + 300}
    return jwt.encode(claims, KEY, "ES256", {"kid": "ci"})


def test_a_configured_issuer_answers_for_its_own_machines(stack, tmp_path):
    signed_and_verified(stack, tmp_path, ci_token(JOB), JOB, CI)


def test_a_configured_issuer_answers_for_nobody_else(stack, tmp_path):
    artifact = tmp_path / "artifact"
    artifact.write_text("hello")
    token = ci_token("https://other.example/job/7")
    done = sigbox("sign-blob", artifact, "--identity-token", token, "--trust-config", stack.trust_config)
    assert done.returncode == 3
    assert f"is not a URI below {CI}" in done.stderr


def test_a_configuration_that_cannot_be_used_stops_the_start(tmp_path):
    config = tmp_path / "issuers.toml"
    config.write_text('[[issuers]]\nurl = "https://ci.example.com"\njwks = "absent.jwks"\n')
    done = sigbox("up", "--ephemeral", "--listen", "127.0.0.1:0", "--config", config)
    assert done.returncode == 2
    assert "issuer 1: the issuer's key set" in done.stderr
    assert "absent.jwks does not exist" in done.stderr
    assert "Traceback" not in done.stderr
