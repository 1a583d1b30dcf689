# SPDX-License-Identifier: Apache-2.0
"""pypi-attestations, the implementation that PyPI and twine use, reads our attestations of PEP 740, and we read its.

Its command line verifies by the public Sigstore alone; its library asks sigstore-python for a verifier, which is given here for our
stack. Everything else of both is as it is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pypi_attestations import (
    Attestation,
    AttestationBundle,
    AttestationType,
    Distribution,
    GitHubPublisher,
    Provenance,
    VerificationError,
)
from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from tests.interop.places import ALICE, MALLORY, Place, refuse, succeed
from tests.stack_process import sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]
NAMES = ("demo_app-1.0-py3-none-any.whl", "demo_app-1.0.tar.gz")


@pytest.fixture
def trust(place: Place) -> ClientTrustConfig:
    return ClientTrustConfig.from_json(place.stack.trust_config.read_text())


@pytest.fixture
def reader(trust: ClientTrustConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks sigstore-python for the verifier of the public instance is given ours."""
    monkeypatch.setattr(Verifier, "production", lambda **_offline: Verifier(trusted_root=trust.trusted_root))


def files(place: Place) -> list[Path]:
    for name in NAMES:
        (place.folder / name).write_text(f"the content of {name}\n")
    return [place.folder / name for name in NAMES]


def attested(place: Place, *options: str | Path) -> list[Path]:
    """The attestations that we write."""
    given = files(place)
    who = ("--trust-config", place.stack.trust_config, "--identity-token", place.stack.token(ALICE))
    succeed(sigbox("pypi", "attest", *given, *who, *options, cwd=place.folder))
    kind = "slsa" if options else "publish"
    return [file.with_name(f"{file.name}.{kind}.attestation") for file in given]


def read(path: Path) -> Attestation:
    return Attestation.model_validate_json(path.read_bytes())


def test_it_verifies_what_we_write(place: Place, reader: None):
    for file, path in zip(files(place), attested(place), strict=True):
        ours, what = read(path), Distribution.from_file(file)
        found = ours.verify(Identity(identity=ALICE, issuer=place.stack.oidc_issuer), what)
        assert found == (AttestationType.PYPI_PUBLISH_V1.value, None)
        with pytest.raises(VerificationError):
            ours.verify(Identity(identity=MALLORY, issuer=place.stack.oidc_issuer), what)
        with pytest.raises(VerificationError):
            ours.verify(Identity(identity=ALICE), Distribution(name=what.name, digest="00" * 32))


def test_it_verifies_provenance_that_we_write(place: Place, reader: None):
    (place.folder / "provenance.json").write_text('{"buildDefinition": {"buildType": "https://example.com/b"}}')
    options = ("--predicate", place.folder / "provenance.json", "--type", "slsaprovenance1")
    for file, path in zip(files(place), attested(place, *options), strict=True):
        kind, predicate = read(path).verify(Identity(identity=ALICE), Distribution.from_file(file))
        assert kind == "https://slsa.dev/provenance/v1"
        assert predicate == {"buildDefinition": {"buildType": "https://example.com/b"}}


def test_its_command_line_shows_and_converts_what_we_write(place: Place):
    path = attested(place)[0]
    its = (sys.executable, "-m", "pypi_attestations")
    shown = subprocess.run([*its, "inspect", path], capture_output=True, text=True, timeout=120, check=True).stderr
    assert NAMES[0] in shown
    assert ALICE in shown
    bundle = place.folder / "bundle.json"
    succeed(sigbox("pypi", "convert", path, "--out", bundle))
    command = [*its, "convert", bundle, "--output-file", place.folder / "again"]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert read(place.folder / "again") == read(path)


def test_we_verify_the_provenance_that_an_index_of_its_making_hands_out(place: Place):
    path = attested(place)[0]
    publisher = GitHubPublisher(repository="acme/demo", workflow="release.yml")
    bundle = AttestationBundle(publisher=publisher, attestations=[read(path)])
    document = place.folder / "provenance.json"
    document.write_text(Provenance(attestation_bundles=[bundle]).model_dump_json())
    who = ("--certificate-oidc-issuer", place.stack.oidc_issuer, "--trusted-root", place.stack.trusted_root)
    words = ("pypi", "verify", place.folder / NAMES[0], "--provenance", document, *who)
    succeed(sigbox(*words, "--certificate-identity", ALICE))
    refuse(sigbox(*words, "--certificate-identity", MALLORY))


def test_we_verify_what_it_writes(place: Place, trust: ClientTrustConfig):
    trust.force_tlog_version = 1
    file = files(place)[0]
    with SigningContext.from_trust_config(trust).signer(IdentityToken(place.stack.token(ALICE))) as signer:
        theirs = Attestation.sign(signer, Distribution.from_file(file))
    path = file.with_name(f"{file.name}.publish.attestation")
    path.write_text(theirs.model_dump_json())
    who = ("--certificate-oidc-issuer", place.stack.oidc_issuer, "--trusted-root", place.stack.trusted_root)
    succeed(sigbox("pypi", "verify", file, "--certificate-identity", ALICE, *who))
    refuse(sigbox("pypi", "verify", file, "--certificate-identity", MALLORY, *who))
    assert theirs.statement == read(attested(place)[0]).statement
    assert json.loads(path.read_bytes())["version"] == 1
