# SPDX-License-Identifier: Apache-2.0
"""cosign v3, unmodified, with what it is told and how: only a TUF mirror, only files, its own statements, a key of its own.

What every reader must refuse is in ``test_matrix.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.interop.places import (
    ALICE,
    CONTENT,
    MALLORY,
    PREDICATE_TYPE,
    Kind,
    Place,
    Signed,
    make_signed,
    refuse,
    succeed,
)
from tests.interop.tools import PYTHON, Cosign
from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

VERSIONS = pytest.mark.parametrize("version", [1, 2])
MESSAGE = {1: Kind.MESSAGE_V1, 2: Kind.MESSAGE_V2}
DSSE = {1: Kind.DSSE_V1, 2: Kind.DSSE_V2}


def policy(stack: RunningStack, identity: str = ALICE) -> tuple[str, ...]:
    return ("--certificate-identity", identity, "--certificate-oidc-issuer", stack.oidc_issuer)


def files(place: Place, version: int) -> tuple[str | Path, ...]:
    """Where to sign, and what to trust, from two files: no TUF."""
    return ("--signing-config", place.signing_config(version), "--trusted-root", place.stack.trusted_root)


# --- trust by TUF ------------------------------------------------------------------------------------
def test_the_tuf_mirror_is_all_it_needs(cosign_v3: Cosign, place: Place):
    """After ``initialize`` no URL, no key and no file is named again; the stack's signing config steers to v2."""
    succeed(cosign_v3.initialize(place))
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    token = ("--identity-token", place.stack.token(ALICE))
    succeed(cosign_v3.run(place, "sign-blob", "--yes", *token, "--bundle", bundle, artifact))
    succeed(cosign_v3.run(place, "verify-blob", "--bundle", bundle, *policy(place.stack), artifact))

    signed = Signed(place, artifact, bundle, Kind.MESSAGE_V2)
    assert "integratedTime" not in signed.entry()
    (timestamp,) = signed.content()["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    assert timestamp["signedTimestamp"]


def test_a_root_with_another_checksum_is_refused(cosign_v3: Cosign, place: Place):
    trust = ("--mirror", place.stack.tuf_mirror, "--root", place.stack.tuf_root)
    refuse(cosign_v3.run(place, "initialize", *trust, "--root-checksum", "0" * 64))


def test_without_the_first_root_a_mirror_is_refused(cosign_v3: Cosign, place: Place):
    refuse(cosign_v3.run(place, "initialize", "--mirror", place.stack.tuf_mirror))


def test_the_root_of_another_stack_does_not_open_this_mirror(cosign_v3: Cosign, place: Place, stranger: RunningStack):
    trust = ("--mirror", place.stack.tuf_mirror, "--root", stranger.tuf_root)
    refuse(cosign_v3.run(place, "initialize", *trust))


# --- trust by files ------------------------------------------------------------------------------------
@VERSIONS
def test_two_files_do_without_tuf(cosign_v3: Cosign, place: Place, version: int):
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    token = ("--identity-token", place.stack.token(ALICE))
    succeed(cosign_v3.run(place, "sign-blob", "--yes", *files(place, version), *token, "--bundle", bundle, artifact))
    entry = Signed(place, artifact, bundle, MESSAGE[version]).entry()
    assert bool((entry.get("inclusionPromise") or {}).get("signedEntryTimestamp")) == (version == 1)

    check = ("verify-blob", "--trusted-root", place.stack.trusted_root, "--bundle", bundle)
    succeed(cosign_v3.run(place, *check, *policy(place.stack), artifact))
    refuse(cosign_v3.run(place, *check, *policy(place.stack, MALLORY), artifact))
    artifact.write_bytes(CONTENT + b".")
    refuse(cosign_v3.run(place, *check, *policy(place.stack), artifact))


@VERSIONS
def test_the_trusted_root_of_another_stack_is_refused(
    cosign_v3: Cosign, place: Place, stranger: RunningStack, version: int
):
    signed = make_signed(cosign_v3, place, MESSAGE[version])
    check = ("verify-blob", "--trusted-root", stranger.trusted_root, "--bundle", signed.bundle)
    refuse(cosign_v3.run(place, *check, *policy(place.stack), signed.artifact))


@VERSIONS
def test_the_very_first_user_entry_of_a_fresh_log(cosign_v3: Cosign, tmp_path: Path, version: int):
    """Index 0 and an empty proof are dropped by its writer of JSON, and then missed by sigstore-python: wire.md 5.7."""
    with running_stack(tmp_path, "--ephemeral") as fresh:
        signed = make_signed(cosign_v3, Place(fresh, tmp_path), MESSAGE[version])
        entry = signed.entry()
        assert entry["logIndex"] == entry["inclusionProof"]["logIndex"] == "1"
        assert len(entry["inclusionProof"]["hashes"]) == 1
        for reader in (cosign_v3, PYTHON):
            succeed(reader.verify(signed, ALICE, fresh.oidc_issuer))


# --- attestations -----------------------------------------------------------------------------------------
@VERSIONS
def test_it_attests_with_a_statement_of_its_own(cosign_v3: Cosign, place: Place, version: int):
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    what = ("--predicate", place.predicate(), "--type", PREDICATE_TYPE)
    token = ("--identity-token", place.stack.token(ALICE))
    succeed(
        cosign_v3.run(
            place, "attest-blob", "--yes", *what, *files(place, version), *token, "--bundle", bundle, artifact
        )
    )
    Signed(place, artifact, bundle, DSSE[version]).entry()

    check = ("verify-blob-attestation", "--trusted-root", place.stack.trusted_root, "--bundle", bundle)
    succeed(cosign_v3.run(place, *check, "--type", PREDICATE_TYPE, *policy(place.stack), artifact))
    refuse(cosign_v3.run(place, *check, "--type", "https://example.com/other", *policy(place.stack), artifact))
    refuse(cosign_v3.run(place, *check, "--type", PREDICATE_TYPE, *policy(place.stack, MALLORY), artifact))


# --- who asks --------------------------------------------------------------------------------------------------
def test_the_token_is_taken_from_the_environment(cosign_v3: Cosign, place: Place):
    cosign_v3.trust(place)
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    ambient = {"SIGSTORE_ID_TOKEN": place.stack.token(ALICE)}
    succeed(cosign_v3.run(place, "sign-blob", "--yes", "--bundle", bundle, artifact, **ambient))
    succeed(cosign_v3.run(place, "verify-blob", "--bundle", bundle, *policy(place.stack), artifact))


def test_a_token_for_another_audience_gets_no_certificate(cosign_v3: Cosign, place: Place):
    cosign_v3.trust(place)
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    token = sigbox("token", "--data", place.stack.data, "--email", ALICE, "--audience", "other").stdout.strip()
    refuse(
        cosign_v3.run(place, "sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, artifact),
        because="400",
    )
    assert not bundle.exists()


@VERSIONS
def test_a_key_of_its_own_is_logged_too(cosign_v3: Cosign, place: Place, version: int):
    key = {"COSIGN_PASSWORD": "of no use to anybody"}
    succeed(cosign_v3.run(place, "generate-key-pair", **key))
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    sign = ("sign-blob", "--yes", "--key", "cosign.key", *files(place, version))
    succeed(cosign_v3.run(place, *sign, "--bundle", bundle, artifact, **key))
    Signed(place, artifact, bundle, MESSAGE[version]).entry()
    check = ("verify-blob", "--key", "cosign.pub", "--trusted-root", place.stack.trusted_root, "--bundle", bundle)
    succeed(cosign_v3.run(place, *check, artifact))
    artifact.write_bytes(CONTENT + b".")
    refuse(cosign_v3.run(place, *check, artifact))


# --- trust documents --------------------------------------------------------------------------------------------
def test_trust_documents_that_it_makes_from_our_endpoints_are_as_good_as_ours(cosign_v3: Cosign, place: Place):
    """What a user does who has only the keys and chains: every service's own endpoint gives them."""
    signed = make_signed(cosign_v3, place, Kind.MESSAGE_V1)
    ours = json.loads(place.stack.trusted_root.read_bytes())
    made = place.folder / "made.json"
    url, keys = place.stack.url, keys_of(place, ours)
    since = ours["ctlogs"][0]["publicKey"]["validFor"]["start"]
    succeed(
        cosign_v3.run(
            place,
            *("trusted-root", "create", "--out", made),
            *("--fulcio", f"url={url},certificate-chain={keys['fulcio']}"),
            *("--ctfe", f"url={url},public-key={keys['ct']},start-time={since}"),
            *("--rekor", f"url={url},public-key={keys['rekor']},start-time={since}"),
        )
    )
    check = ("verify-blob", "--trusted-root", made, "--bundle", signed.bundle)
    succeed(cosign_v3.run(place, *check, *policy(place.stack), signed.artifact))


def keys_of(place: Place, trusted_root: dict[str, list[dict[str, dict[str, str]]]]) -> dict[str, Path]:
    """Chain of the CA and key of the v1 log over HTTP; the key of the CT log, which no endpoint gives, from the trusted root."""
    pem = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n"
    texts = {
        "fulcio": fetched(f"{place.stack.url}/api/v1/rootCert"),
        "rekor": fetched(f"{place.stack.url}/api/v1/log/publicKey"),
        "ct": pem.format(trusted_root["ctlogs"][0]["publicKey"]["rawBytes"]),
    }
    paths = {name: place.folder / f"{name}.pem" for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name])
    return paths


def fetched(url: str) -> str:
    with build_opener(ProxyHandler({})).open(url, timeout=20) as answer:
        return str(answer.read().decode())
