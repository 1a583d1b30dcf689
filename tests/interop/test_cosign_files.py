# SPDX-License-Identifier: Apache-2.0
"""Files between cosign and our commands: its TUF cache, its old bundle and detached parts; our trusted roots and bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.interop.places import ALICE, Done, Place, refuse, succeed
from tests.interop.tools import Cosign
from tests.stack_process import sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

FROM = "start-time=2020-01-01T00:00:00Z"


def ours(place: Place, *arguments: str | Path) -> Done:
    """``sigbox`` in the home that cosign has in this place."""
    home = {name: str(place.folder / name) for name in ("HOME", "XDG_CACHE_HOME")}
    return sigbox(*arguments, cwd=place.folder, **home)


def policy(place: Place) -> tuple[str, ...]:
    return ("--certificate-identity", ALICE, "--certificate-oidc-issuer", place.stack.oidc_issuer)


def token(place: Place) -> tuple[str, str]:
    return ("--identity-token", place.stack.token(ALICE))


def classic(cosign: Cosign, place: Place, artifact: Path, *options: str | Path) -> None:
    """cosign 2's old bundle, signature and certificate beside each other."""
    url = place.stack.url
    services = ("--fulcio-url", url, "--rekor-url", url, "--oidc-issuer", place.stack.oidc_issuer)
    outputs = ("--bundle", "old.json", "--output-signature", "sig", "--output-certificate", "crt")
    cosign.trust(place)
    succeed(cosign.run(place, "sign-blob", "--yes", *services, *token(place), *outputs, *options, artifact))


def test_what_cosign_was_told_to_trust_we_trust(cosign_v3: Cosign, place: Place):
    artifact, bundle = place.artifact(), place.folder / "bundle.json"
    check = ("verify-blob", artifact, "--bundle", bundle, *policy(place))
    succeed(cosign_v3.initialize(place))
    succeed(cosign_v3.run(place, "sign-blob", "--yes", *token(place), "--bundle", bundle, artifact))
    succeed(ours(place, *check))
    artifact.write_bytes(b"changed")
    refuse(ours(place, *check))


def test_the_old_bundle_verifies_and_is_upgraded_to_one_that_cosign_3_takes(
    cosign_v2: Cosign, cosign_v3: Cosign, place: Place
):
    artifact = place.artifact()
    classic(cosign_v2, place, artifact)
    trust = ("--trusted-root", place.stack.trusted_root)
    succeed(ours(place, "verify-blob", artifact, "--bundle", "old.json", *policy(place), *trust))
    succeed(ours(place, "bundle", "inspect", "old.json"))
    succeed(ours(place, "bundle", "upgrade", "old.json", "--rekor-url", place.stack.url, "--out", "new.json"))
    for check in (ours, cosign_v3.run):
        succeed(check(place, "verify-blob", "--bundle", "new.json", *policy(place), *trust, artifact))


@pytest.mark.parametrize("what", ["blob", "blob-attestation"])
def test_the_old_bundle_of_a_key_is_read_and_upgraded_too(
    cosign_v2: Cosign, cosign_v3: Cosign, place: Place, what: str
):
    """cosign 2 leaves the key out of it."""
    artifact, predicate = place.artifact(), place.folder / "predicate.json"
    predicate.write_text("{}")
    cosign_v2.trust(place)
    secret = {"COSIGN_PASSWORD": "of no use to anybody"}
    succeed(cosign_v2.run(place, "generate-key-pair", **secret))
    sign = ("sign-blob",) if what == "blob" else ("attest-blob", "--predicate", predicate, "--type", "custom")
    sign += ("--yes", "--key", "cosign.key", "--rekor-url", place.stack.url, "--bundle", "old.json")
    succeed(cosign_v2.run(place, *sign, artifact, **secret))
    assert "cert" not in json.loads((place.folder / "old.json").read_bytes())
    key, trust = ("--key", "cosign.pub"), ("--trusted-root", place.stack.trusted_root)
    succeed(ours(place, f"verify-{what}", artifact, "--bundle", "old.json", *key, *trust))
    refuse(ours(place, f"verify-{what}", artifact, "--bundle", "old.json", *policy(place), *trust))
    succeed(ours(place, "bundle", "upgrade", "old.json", "--rekor-url", place.stack.url, "--out", "new.json"))
    succeed(cosign_v3.run(place, f"verify-{what}", "--bundle", "new.json", *key, *trust, artifact))


def test_detached_parts_become_a_bundle(cosign_v2: Cosign, cosign_v3: Cosign, place: Place):
    artifact = place.artifact()
    stamp = ("--timestamp-server-url", f"{place.stack.url}/api/v1/timestamp", "--rfc3161-timestamp", "time.json")
    classic(cosign_v2, place, artifact, *stamp)
    parts = ("--artifact", artifact, "--signature", "sig", "--certificate", "crt", "--rfc3161-timestamp", "time.json")
    succeed(ours(place, "bundle", "create", *parts, "--bundle", "old.json", "--out", "made.json"))
    trust = ("--trusted-root", place.stack.trusted_root)
    succeed(ours(place, "verify-blob", artifact, "--bundle", "made.json", *policy(place), *trust))
    succeed(ours(place, "bundle", "upgrade", "made.json", "--rekor-url", place.stack.url, "--out", "new.json"))
    succeed(cosign_v3.run(place, "verify-blob", "--bundle", "new.json", *policy(place), *trust, artifact))


def test_cosign_signs_and_verifies_with_documents_of_our_creators(cosign_v3: Cosign, place: Place):
    """The parts are taken out of the stack's own documents and put together again by our commands."""
    root = json.loads(place.stack.trusted_root.read_text())
    given: list[str] = []
    for member, option in (("tlogs", "rekor"), ("ctlogs", "ctfe")):
        for number, log in enumerate(root[member]):
            name = f"{option}{number}.pub"
            pem("PUBLIC KEY", [log["publicKey"]["rawBytes"]], place.folder / name)
            given += [f"--{option}", f"url={log['baseUrl']},public-key={name},{FROM}"]
    for member, option in (("certificateAuthorities", "fulcio"), ("timestampAuthorities", "tsa")):
        for number, authority in enumerate(root[member]):
            name = f"{option}{number}.pem"
            pem("CERTIFICATE", [one["rawBytes"] for one in authority["certChain"]["certificates"]], place.folder / name)
            given += [f"--{option}", f"url={authority['uri']},certificate-chain={name},{FROM}"]
    succeed(ours(place, "trusted-root", "create", *given, "--out", "root.json"))
    url = place.stack.url
    service = f"api-version=1,{FROM},operator=corp"
    services = ("--fulcio", f"url={url},{service}", "--oidc-provider", f"url={place.stack.oidc_issuer},{service}")
    logs = (
        "--rekor",
        f"url={url},api-version=2,{FROM},operator=corp",
        "--tsa",
        f"url={url}/api/v1/timestamp,{service}",
    )
    succeed(ours(place, "signing-config", "create", *services, *logs, "--out", "config.json"))
    artifact, trust = place.artifact(), ("--trusted-root", "root.json")
    sign = ("sign-blob", "--yes", "--signing-config", "config.json", *trust, *token(place), "--bundle", "b.json")
    succeed(cosign_v3.run(place, *sign, artifact))
    succeed(cosign_v3.run(place, "verify-blob", "--bundle", "b.json", *policy(place), *trust, artifact))
    succeed(ours(place, "verify-blob", artifact, "--bundle", "b.json", *policy(place), *trust))


def pem(label: str, blocks: list[str], path: Path) -> None:
    path.write_text("".join(f"-----BEGIN {label}-----\n{block}\n-----END {label}-----\n" for block in blocks))
