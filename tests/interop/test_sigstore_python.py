# SPDX-License-Identifier: Apache-2.0
"""The official Python client, unmodified, against a stack: what either client signs, both verify, and neither is fooled.

It runs as a user runs it: a process with a home directory of its own, told where the trust root is and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack_process import RunningStack, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ALICE, MALLORY = "alice@example.com", "mallory@example.com"
CONTENT = b"the content that its author meant\n"


@dataclass(frozen=True, slots=True)
class Place:
    """A stack, and a directory that a client works in."""

    stack: RunningStack
    folder: Path

    def sigstore(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """``sigstore`` with a home of its own and no environment of ours."""
        home = {
            name: str(self.folder / name) for name in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        }
        return subprocess.run(
            [sys.executable, "-P", "-m", "sigstore", *map(str, arguments)],
            cwd=self.folder,
            env={
                **home,
                "PATH": os.environ["PATH"],
                "NO_PROXY": "localhost,127.0.0.1",
                "NO_COLOR": "1",
                "COLUMNS": "200",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@dataclass(frozen=True, slots=True)
class Signed:
    """An artifact and the bundle that a client made for it."""

    place: Place
    artifact: Path
    bundle: Path

    def content(self) -> dict[str, dict[str, list[dict[str, object]]]]:
        """The bundle's JSON."""
        return json.loads(self.bundle.read_bytes())


def succeed(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, f"{done.args}\n{done.stdout}{done.stderr}"


# --- the two clients -----------------------------------------------------------------------------------
def sign_by_sigstore(place: Place, artifact: Path, bundle: Path) -> None:
    trust, token = ("--trust-config", place.stack.trust_config), place.stack.token(ALICE)
    succeed(place.sigstore(*trust, "sign", "--identity-token", token, "--bundle", bundle, artifact))


def sign_by_sigbox(place: Place, artifact: Path, bundle: Path) -> None:
    options = ("--trust-config", place.stack.trust_config, "--identity-token", place.stack.token(ALICE))
    succeed(sigbox("sign-blob", artifact, "--bundle", bundle, *options, cwd=place.folder))


def verify_by_sigstore(signed: Signed, identity: str, issuer: str) -> subprocess.CompletedProcess[str]:
    policy = ("--cert-identity", identity, "--cert-oidc-issuer", issuer)
    trust = ("--trust-config", signed.place.stack.trust_config)
    return signed.place.sigstore(*trust, "verify", "identity", "--bundle", signed.bundle, *policy, signed.artifact)


def verify_by_sigbox(signed: Signed, identity: str, issuer: str) -> subprocess.CompletedProcess[str]:
    policy = ("--certificate-identity", identity, "--certificate-oidc-issuer", issuer)
    trust = ("--trust-config", signed.place.stack.trust_config)
    command = "verify-blob-attestation" if "dsseEnvelope" in signed.content() else "verify-blob"
    return sigbox(command, signed.artifact, "--bundle", signed.bundle, *policy, *trust, cwd=signed.place.folder)


Sign = Callable[[Place, Path, Path], None]
Verify = Callable[[Signed, str, str], subprocess.CompletedProcess[str]]
SIGNERS = {"signed-by-sigstore": sign_by_sigstore, "signed-by-sigbox": sign_by_sigbox}
VERIFIERS = {"verified-by-sigstore": verify_by_sigstore, "verified-by-sigbox": verify_by_sigbox}


def make_signed(place: Place, sign: Sign, name: str = "release.txt") -> Signed:
    signed = Signed(place, place.folder / name, place.folder / f"{name}.sigstore.json")
    signed.artifact.write_bytes(CONTENT)
    sign(place, signed.artifact, signed.bundle)
    return signed


# --- fixtures ------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral") as running:
        yield running


@pytest.fixture
def place(stack: RunningStack, tmp_path: Path) -> Place:
    return Place(stack, tmp_path)


@pytest.fixture(scope="module", params=SIGNERS.values(), ids=list(SIGNERS))
def signed(request: pytest.FixtureRequest, stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return make_signed(Place(stack, tmp_path_factory.mktemp("client")), request.param)


@pytest.fixture(params=VERIFIERS.values(), ids=list(VERIFIERS))
def verify(request: pytest.FixtureRequest) -> Verify:
    return request.param


@pytest.fixture
def changed(signed: Signed, tmp_path: Path) -> Callable[[bytes], Signed]:
    """The same bundle beside another artifact."""

    def change(content: bytes) -> Signed:
        artifact = tmp_path / "changed.txt"
        artifact.write_bytes(content)
        return Signed(signed.place, artifact, signed.bundle)

    return change


# --- each signs, each verifies -----------------------------------------------------------------------------
def test_a_bundle_verifies(signed: Signed, verify: Verify):
    succeed(verify(signed, ALICE, signed.place.stack.oidc_issuer))


@pytest.mark.parametrize("position", [0, len(CONTENT) - 1])
def test_a_changed_byte_is_refused(changed: Callable[[bytes], Signed], verify: Verify, position: int):
    content = bytearray(CONTENT)
    content[position] ^= 1
    other = changed(bytes(content))
    assert verify(other, ALICE, other.place.stack.oidc_issuer).returncode == 1


def test_an_unchanged_copy_is_not_refused(changed: Callable[[bytes], Signed], verify: Verify):
    """What the refusals above are measured against: the same path with the right bytes."""
    copy = changed(CONTENT)
    succeed(verify(copy, ALICE, copy.place.stack.oidc_issuer))


def test_another_identity_or_issuer_is_refused(signed: Signed, verify: Verify):
    issuer = signed.place.stack.oidc_issuer
    assert verify(signed, MALLORY, issuer).returncode == 1
    assert verify(signed, ALICE, f"{issuer}/").returncode == 1


def test_a_bundle_of_another_stack_is_refused(signed: Signed, verify: Verify, tmp_path: Path):
    """Same URL form, same names, other keys: trust is in the keys alone."""
    with running_stack(tmp_path, "--ephemeral") as stranger:
        there = Signed(Place(stranger, tmp_path), signed.artifact, signed.bundle)
        assert verify(there, ALICE, signed.place.stack.oidc_issuer).returncode == 1


# --- trust by TUF --------------------------------------------------------------------------------------------
def test_trust_comes_by_tuf_from_the_first_root_alone(place: Place):
    instance = ("--instance", place.stack.tuf_mirror)
    succeed(place.sigstore(*instance, "trust-instance", place.stack.tuf_root))
    artifact = place.folder / "release.txt"
    artifact.write_bytes(CONTENT)
    succeed(place.sigstore(*instance, "sign", "--identity-token", place.stack.token(ALICE), artifact))

    check = (*instance, "verify", "identity", "--cert-identity", ALICE, "--cert-oidc-issuer", place.stack.oidc_issuer)
    succeed(place.sigstore(*check, artifact))
    artifact.write_bytes(CONTENT + b".")
    assert place.sigstore(*check, artifact).returncode == 1


def test_an_instance_that_was_not_trusted_is_refused(place: Place):
    artifact = place.folder / "release.txt"
    artifact.write_bytes(CONTENT)
    done = place.sigstore("--instance", place.stack.tuf_mirror, "sign", "--identity-token", "x", artifact)
    assert done.returncode != 0
    assert not artifact.with_name("release.txt.sigstore.json").exists()


# --- the older log, and attestations -----------------------------------------------------------------------------
VERSIONS = pytest.mark.parametrize("version", ["1", "2"])
KINDS = {"1": ("hashedrekord", "0.0.1"), "2": ("hashedrekord", "0.0.2")}


def sigbox_on(version: str, *what: str) -> Sign:
    """As our client signs a file, or attests to one, when it is told which log to use."""

    def sign(place: Place, artifact: Path, bundle: Path) -> None:
        trust, token = ("--trust-config", place.stack.trust_config), place.stack.token(ALICE)
        options = ("--identity-token", token, "--rekor-version", version, "--bundle", bundle)
        (place.folder / "predicate.json").write_text(json.dumps(PREDICATE))
        succeed(sigbox(*(what or ("sign-blob",)), artifact, *options, *trust, cwd=place.folder))

    return sign


SIGBOX_ATTEST = ("attest-blob", "--predicate", "predicate.json", "--type", "slsaprovenance1")


def sign_on(version: str) -> Sign:
    """As sigstore-python signs a file when it is told which log to use."""

    def sign(place: Place, artifact: Path, bundle: Path) -> None:
        trust, token = ("--trust-config", place.stack.trust_config), place.stack.token(ALICE)
        options = ("--identity-token", token, "--rekor-version", version, "--bundle", bundle)
        succeed(place.sigstore(*trust, "sign", *options, artifact))

    return sign


def attest_on(version: str) -> Sign:
    """As it attests to one."""

    def attest(place: Place, artifact: Path, bundle: Path) -> None:
        predicate = place.folder / "predicate.json"
        predicate.write_text(json.dumps(PREDICATE))
        trust, token = ("--trust-config", place.stack.trust_config), place.stack.token(ALICE)
        what = ("--predicate", predicate, "--predicate-type", "https://slsa.dev/provenance/v1")
        options = ("--identity-token", token, "--rekor-version", version, "--bundle", bundle)
        succeed(place.sigstore(*trust, "attest", *what, *options, artifact))

    return attest


PREDICATE = {
    "buildDefinition": {"buildType": "https://example.com/build", "externalParameters": {}},
    "runDetails": {"builder": {"id": "https://example.com/builder"}},
}


def entry_of(signed: Signed) -> dict[str, object]:
    (entry,) = signed.content()["verificationMaterial"]["tlogEntries"]
    return entry


@VERSIONS
@pytest.mark.parametrize("by", [sign_on, sigbox_on], ids=["sigstore", "sigbox"])
def test_either_client_signs_on_either_log(place: Place, verify: Verify, by: Callable[[str], Sign], version: str):
    signed = make_signed(place, by(version))
    entry = entry_of(signed)
    assert tuple(entry["kindVersion"].values()) == KINDS[version]
    assert bool((entry.get("inclusionPromise") or {}).get("signedEntryTimestamp")) == (version == "1")
    only_as_it_is(signed, verify)


@VERSIONS
@pytest.mark.parametrize("by", ["sigstore", "sigbox"])
def test_either_client_attests_on_either_log(place: Place, verify: Verify, by: str, version: str):
    signed = make_signed(place, attest_on(version) if by == "sigstore" else sigbox_on(version, *SIGBOX_ATTEST))
    assert "dsseEnvelope" in signed.content()
    kind = ("dsse", "0.0.1") if version == "1" else KINDS["2"]
    assert tuple(entry_of(signed)["kindVersion"].values()) == kind
    only_as_it_is(signed, verify)


def only_as_it_is(signed: Signed, verify: Verify) -> None:
    """The bundle verifies for its signer and its file, and for no other."""
    issuer = signed.place.stack.oidc_issuer
    succeed(verify(signed, ALICE, issuer))
    assert verify(signed, MALLORY, issuer).returncode == 1
    signed.artifact.write_bytes(CONTENT + b".")
    assert verify(signed, ALICE, issuer).returncode == 1


def test_without_being_told_clients_sign_on_v2(signed: Signed):
    assert entry_of(signed)["kindVersion"] == {"kind": "hashedrekord", "version": "0.0.2"}


def test_the_very_first_user_entry_of_a_fresh_v1_log(tmp_path: Path):
    with running_stack(tmp_path, "--ephemeral") as fresh:
        signed = make_signed(Place(fresh, tmp_path), sign_on("1"))
        entry = entry_of(signed)
        assert entry["logIndex"] == entry["inclusionProof"]["logIndex"] == "1"
        assert len(entry["inclusionProof"]["hashes"]) == 1
        succeed(verify_by_sigstore(signed, ALICE, fresh.oidc_issuer))


def test_a_v1_bundle_of_another_stack_is_refused(place: Place, tmp_path: Path):
    signed = make_signed(place, sign_on("1"))
    with running_stack(tmp_path, "--ephemeral") as stranger:
        there = Signed(Place(stranger, tmp_path), signed.artifact, signed.bundle)
        assert verify_by_sigstore(there, ALICE, place.stack.oidc_issuer).returncode == 1


# --- the edges -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sign", SIGNERS.values(), ids=list(SIGNERS))
def test_the_very_first_user_entry_of_a_fresh_log(tmp_path: Path, sign: Sign):
    """Index 0 and an empty proof are dropped by some writers of JSON and then missed by some readers: wire.md 5.7."""
    with running_stack(tmp_path, "--ephemeral") as fresh:
        signed = make_signed(Place(fresh, tmp_path), sign)
        (entry,) = signed.content()["verificationMaterial"]["tlogEntries"]
        assert entry["logIndex"] == "1"
        assert len(entry["inclusionProof"]["hashes"]) == 1
        for verify in VERIFIERS.values():
            succeed(verify(signed, ALICE, fresh.oidc_issuer))


@pytest.mark.parametrize("defect", ["audience", "signature"])
def test_a_token_that_is_not_ours_gets_no_certificate(place: Place, defect: str):
    audience = "sigstore" if defect == "signature" else "other"
    token = sigbox("token", "--data", place.stack.data, "--email", ALICE, "--audience", audience).stdout.strip()
    if defect == "signature":
        signed, _, signature = token.rpartition(".")
        token = f"{signed}.{signature[::-1]}"
    artifact = place.folder / "release.txt"
    artifact.write_bytes(CONTENT)
    done = place.sigstore("--trust-config", place.stack.trust_config, "sign", "--identity-token", token, artifact)
    assert done.returncode != 0
    assert not artifact.with_name("release.txt.sigstore.json").exists()
