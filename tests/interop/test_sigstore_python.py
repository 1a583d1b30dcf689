# SPDX-License-Identifier: Apache-2.0
"""The official Python client, unmodified, with what it is told and how: a trust config file, or TUF and its first root.

What every reader must refuse is in ``test_matrix.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.places import (
    ALICE,
    CONTENT,
    MALLORY,
    PREDICATE_TYPE,
    Kind,
    Place,
    Signed,
    Tool,
    make_signed,
    refuse,
    succeed,
)
from tests.interop.tools import PYTHON, SIGBOX
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

KINDS = pytest.mark.parametrize(
    "kind", [kind for kind in Kind if kind is not Kind.INTOTO_V1], ids=lambda kind: kind.label
)
VERSIONS = pytest.mark.parametrize("kind", [Kind.MESSAGE_V1, Kind.MESSAGE_V2], ids=lambda kind: kind.label)


# --- either log ------------------------------------------------------------------------------------------
@KINDS
def test_it_signs_and_attests_on_either_log(place: Place, kind: Kind):
    signed = make_signed(PYTHON, place, kind)
    assert ("dsseEnvelope" in signed.content()) == kind.dsse
    promise = signed.entry().get("inclusionPromise") or {}
    assert bool(promise.get("signedEntryTimestamp")) == (kind.version == 1)
    succeed(PYTHON.verify(signed, ALICE, place.stack.oidc_issuer))
    refuse(PYTHON.verify(signed, MALLORY, place.stack.oidc_issuer))
    signed.artifact.write_bytes(CONTENT + b".")
    refuse(PYTHON.verify(signed, ALICE, place.stack.oidc_issuer))


@pytest.mark.parametrize("kind", [Kind.DSSE_V1, Kind.DSSE_V2], ids=lambda kind: kind.label)
def test_our_client_attests_with_a_predicate_and_the_short_name_of_its_type(place: Place, kind: Kind):
    signed = Signed(place, place.artifact(), place.folder / "bundle.json", kind)
    what = ("--predicate", place.predicate(), "--type", "slsaprovenance1", "--rekor-version", str(kind.version))
    options = ("--trust-config", place.stack.trust_config, "--identity-token", place.stack.token(ALICE))
    succeed(sigbox("attest-blob", signed.artifact, *what, *options, "--bundle", signed.bundle, cwd=place.folder))
    signed.entry()
    for reader in (PYTHON, SIGBOX):
        succeed(reader.verify(signed, ALICE, place.stack.oidc_issuer))
        refuse(reader.verify(signed, MALLORY, place.stack.oidc_issuer))


@pytest.mark.parametrize("tool", [PYTHON, SIGBOX], ids=lambda tool: tool.name)
def test_without_being_told_a_client_signs_on_v2(place: Place, tool: Tool):
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    trust, token = ("--trust-config", place.stack.trust_config), ("--identity-token", place.stack.token(ALICE))
    if tool is PYTHON:
        succeed(PYTHON.run(place, *trust, "sign", *token, "--bundle", bundle, artifact))
    else:
        succeed(sigbox("sign-blob", artifact, *trust, *token, "--bundle", bundle, cwd=place.folder))
    Signed(place, artifact, bundle, Kind.MESSAGE_V2).entry()


@VERSIONS
@pytest.mark.parametrize("tool", [PYTHON, SIGBOX], ids=lambda tool: tool.name)
def test_the_very_first_user_entry_of_a_fresh_log(tmp_path: Path, tool: Tool, kind: Kind):
    """Index 0 and an empty proof are dropped by some writers of JSON and then missed by some readers: wire.md 5.7."""
    with running_stack(tmp_path, "--ephemeral") as fresh:
        signed = make_signed(tool, Place(fresh, tmp_path), kind)
        entry = signed.entry()
        assert entry["logIndex"] == entry["inclusionProof"]["logIndex"] == "1"
        assert len(entry["inclusionProof"]["hashes"]) == 1
        for reader in (PYTHON, SIGBOX):
            succeed(reader.verify(signed, ALICE, fresh.oidc_issuer))


# --- trust by TUF --------------------------------------------------------------------------------------------
def test_trust_comes_by_tuf_from_the_first_root_alone(place: Place):
    instance = ("--instance", place.stack.tuf_mirror)
    succeed(PYTHON.run(place, *instance, "trust-instance", place.stack.tuf_root))
    artifact = place.artifact()
    token = ("--identity-token", place.stack.token(ALICE))
    succeed(PYTHON.run(place, *instance, "sign", *token, artifact))

    check = (*instance, "verify", "identity", "--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    succeed(PYTHON.run(place, *check, artifact))
    succeed(PYTHON.run(place, *check, "--offline", artifact))
    artifact.write_bytes(CONTENT + b".")
    refuse(PYTHON.run(place, *check, artifact))


def test_an_attestation_over_tuf(place: Place):
    instance = ("--instance", place.stack.tuf_mirror)
    succeed(PYTHON.run(place, *instance, "trust-instance", place.stack.tuf_root))
    artifact = place.artifact()
    what = ("--predicate", place.predicate(), "--predicate-type", PREDICATE_TYPE)
    succeed(PYTHON.run(place, *instance, "attest", *what, "--identity-token", place.stack.token(ALICE), artifact))
    check = (*instance, "verify", "identity", "--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    succeed(PYTHON.run(place, *check, artifact))


def test_an_instance_that_was_not_trusted_is_refused(place: Place):
    artifact = place.artifact()
    refuse(PYTHON.run(place, "--instance", place.stack.tuf_mirror, "sign", "--identity-token", "x", artifact))
    assert not artifact.with_name("release.txt.sigstore.json").exists()


def test_the_root_of_another_stack_does_not_open_this_mirror(place: Place, stranger: RunningStack):
    instance = ("--instance", place.stack.tuf_mirror)
    refuse(PYTHON.run(place, *instance, "trust-instance", stranger.tuf_root), because="Failed to refresh TUF metadata")


# --- the edges -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("defect", ["audience", "signature"])
def test_a_token_that_is_not_ours_gets_no_certificate(place: Place, defect: str):
    audience = "sigstore" if defect == "signature" else "other"
    token = sigbox("token", "--data", place.stack.data, "--email", ALICE, "--audience", audience).stdout.strip()
    if defect == "signature":
        signed, _, signature = token.rpartition(".")
        token = f"{signed}.{signature[::-1]}"
    artifact = place.artifact()
    refuse(PYTHON.run(place, "--trust-config", place.stack.trust_config, "sign", "--identity-token", token, artifact))
    assert not artifact.with_name("release.txt.sigstore.json").exists()
