# SPDX-License-Identifier: Apache-2.0
"""Tokens of every kind of issuer, in the hands of the official clients: what cosign signs with them, all readers name alike."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from sigcore import keys
from tests.interop.places import Kind, Place, Signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX, Cosign
from tests.stack_process import RunningStack, running_stack
from tests.unit.ca.test_workflows import ROWS

pytestmark = [pytest.mark.interop, pytest.mark.slow]

KEY = keys.generate_p256()
SPELT = {"subject_domain": "subject-domain", "trust_domain": "spiffe-trust-domain"}
TEMPLATES = {
    "default-template-values": {"url": "https://jenkins.example", "cause": "timer"},
    "extension-templates": {"build-trigger": "cause"},
    "subject-alternative-name-template": "{{ .url }}/job/{{ .job }}",
}


def configuration() -> dict[str, object]:
    """Fulcio's form, in JSON: one issuer of each kind, its keys in a file."""
    rows = {}
    for kind, (row, *_) in ROWS.items():
        rest = {SPELT[name]: value for name, value in row.items() if name in SPELT}
        if kind == "ci-provider":
            rest["ci-provider"] = "jenkins"
        rows[row["url"]] = {"type": kind, "client-id": "sigstore", "jwks": "keys.jwks", **rest}
    return {"oidc-issuers": rows, "ci-issuer-metadata": {"jenkins": TEMPLATES}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One that accepts them all."""
    folder = tmp_path_factory.mktemp("kinds")
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "k"}
    (folder / "keys.jwks").write_text(json.dumps({"keys": [jwk]}))
    (folder / "fulcio.json").write_text(json.dumps(configuration()))
    with running_stack(folder, "--ephemeral", "--config", folder / "fulcio.json") as running:
        yield running


def token(kind: str) -> str:
    row, claims, *_ = ROWS[kind]
    now = int(time.time())
    return jwt.encode(
        claims | {"iss": row["url"], "aud": "sigstore", "iat": now, "exp": now + 300}, KEY, "ES256", {"kid": "k"}
    )


def signed_by(cosign: Cosign, place: Place, kind: str, *options: str | Path) -> Signed:
    signed = Signed(place, place.artifact(), place.folder / "bundle.json", Kind.MESSAGE_V2)
    cosign.trust(place)
    file = place.folder / "token"  # cosign takes an ES256 token on the command line for the name of a file
    file.write_text(token(kind))
    given = ("--identity-token", file, "--bundle", signed.bundle)
    succeed(cosign.run(place, "sign-blob", "--yes", *given, *options, signed.artifact))
    return signed


@pytest.mark.parametrize("kind", ROWS)
def test_cosign_signs_with_a_token_of_every_kind(cosign_v3: Cosign, place: Place, kind: str):
    signed = signed_by(cosign_v3, place, kind)
    row, _, name, *_ = ROWS[kind]
    # sigstore-python holds the name against the undecoded bytes of an otherName, so it can match none.
    readers = (cosign_v3, SIGBOX) if kind == "username" else (cosign_v3, SIGBOX, PYTHON)
    for reader in readers:
        succeed(reader.verify(signed, name.value, row["url"]))
    refuse(cosign_v3.verify(signed, f"{name.value}x", row["url"]))
    refuse(cosign_v3.verify(signed, name.value, "https://other.example"))


@pytest.mark.parametrize(
    ("option", "value", "other"),
    [
        ("trigger", "push", "schedule"),
        ("sha", "c" * 40, "d" * 40),
        ("name", "Release", "Build"),
        ("repository", "org/app", "org/other"),
        ("ref", "refs/heads/main", "refs/heads/dev"),
    ],
)
def test_cosign_reads_what_the_workflow_was(cosign_v3: Cosign, place: Place, option: str, value: str, other: str):
    signed = signed_by(cosign_v3, place, "github-workflow")
    row, _, name, *_ = ROWS["github-workflow"]
    who = ("--certificate-identity", name.value, "--certificate-oidc-issuer", row["url"])
    check = ("verify-blob", "--bundle", signed.bundle, *who, signed.artifact)
    succeed(cosign_v3.run(place, *check, f"--certificate-github-workflow-{option}", value))
    refuse(cosign_v3.run(place, *check, f"--certificate-github-workflow-{option}", other))
