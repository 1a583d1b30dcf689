# SPDX-License-Identifier: Apache-2.0
"""Verifying images on the command line, with a registry in memory in the place of HTTP, and offline."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from client.oci.attached import home_of
from client.oci.copying import Copying, copy_image
from client.oci.directory import ImageDirectory
from client.oci.legacy import OWN_TIMESTAMP, TIMESTAMP
from client.oci.manifest import IMAGE_MANIFEST
from sigcore.legacy_bundle import cosign_timestamp_json
from sigcore.trustroot import encode_trusted_root
from stack.cli import image_verifying, main
from tests.oci_memory import MemoryRegistry
from tests.platform_images import push_image
from tests.unit.client.imaging import APP, Place
from tests.unit.client.minisig import EMAIL, ISSUER, MiniSigstore

WHO = ("--certificate-identity", EMAIL, "--certificate-oidc-issuer", ISSUER)
TRUST = ("--trusted-root", "root.json")


@pytest.fixture
async def place(sigstore: MiniSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A signed image with an attestation; commands find its registry."""
    registry = MemoryRegistry()

    @asynccontextmanager
    async def opened(_options: object) -> AsyncIterator[MemoryRegistry]:
        yield registry

    monkeypatch.setattr(image_verifying, "open_registry", opened)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    await push_image(registry, APP)
    made = Place(registry, sigstore)
    await made.sign()
    await made.attest()
    return made


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_claims_are_on_standard_output_and_nothing_else(place: Place, capsys: pytest.CaptureFixture[str]):
    code, out, err = run(capsys, "verify", str(APP), *WHO, *TRUST)
    assert code == 0
    assert len(json.loads(out)) == 2
    assert f"Verified OK {APP}" in err
    code, out, _ = run(capsys, "verify", str(APP), *WHO, *TRUST, "--output", "text")
    assert code == 0
    assert all(json.loads(line)["critical"] for line in out.splitlines())


def test_a_refusal_says_why_and_prints_no_claim(place: Place, capsys: pytest.CaptureFixture[str]):
    code, out, err = run(capsys, "verify", str(APP), "--certificate-identity", "x@y.z", *WHO[2:], *TRUST)
    assert (code, out) == (1, "")
    assert "REFUSED" in err
    assert "expected 'x@y.z'" in err


def test_one_of_several_images_that_does_not_hold_is_a_refusal(place: Place, capsys: pytest.CaptureFixture[str]):
    code, out, _ = run(capsys, "verify-attestation", str(APP), str(APP), *WHO, *TRUST, "--type", "slsaprovenance1")
    assert code == 0
    assert len(out.splitlines()) == 2
    code, _, _ = run(capsys, "verify-attestation", str(APP), *WHO, *TRUST, "--type", "spdxjson")
    assert code == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-a", "env"), "expected KEY=VALUE"),
        (("-a", "env=a", "-a", "env=b"), "twice"),
        (("--key", "cosign.pub"), "a bare key has no identity"),
        (("--as", "oci:x"), "for a policy"),
    ],
)
def test_options_that_say_nothing_are_a_usage_error(
    place: Place, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
):
    code, _, err = run(capsys, "verify", str(APP), *WHO, *TRUST, *options)
    assert code == 2
    assert said in err


def test_policies_of_other_tools_are_named_as_such(place: Place, capsys: pytest.CaptureFixture[str]):
    code, _, err = run(capsys, "verify-attestation", str(APP), *TRUST, "--policy", "rules.rego")
    assert code == 2
    assert "a policy of another kind" in err


# --- explanations ----------------------------------------------------------------------------------------
def explained(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict]:
    found, out, _ = run(capsys, *arguments, *WHO, *TRUST, "--explain=json", "--explain-dir", "shown")
    assert found == code
    (row,) = json.loads(out)
    explanations: list[dict] = row["explanations"]
    return explanations


def repeats(explanation: dict) -> None:
    """Every line, in the folder that is named, ends with 0."""
    for step in explanation["steps"]:
        for line in step["lines"]:
            command = ["sh", "-e", "-c", line]
            done = subprocess.run(command, cwd=explanation["folder"], capture_output=True, check=False)
            assert done.returncode == 0, (line, done.stdout, done.stderr)


def test_each_signature_is_explained_and_each_line_repeats_its_check(place: Place, capsys: pytest.CaptureFixture[str]):
    at_tag, referrer = explained(capsys, "verify", str(APP))
    assert [step["name"] for step in at_tag["steps"]][-1] == "claims"
    assert "claims" not in {step["name"] for step in referrer["steps"]}
    for one in (at_tag, referrer):
        assert all(step["holds"] for step in one["steps"])
        repeats(one)


def test_a_payload_of_another_name_is_explained_up_to_its_claims(place: Place, capsys: pytest.CaptureFixture[str]):
    options = ("--format", "tag", "--signed-as", "other.example/app")
    (one,) = explained(capsys, "verify", str(APP), *options, code=1)
    assert [step["holds"] for step in one["steps"]].count(False) == 1
    assert one["steps"][-1]["name"] == "claims"
    assert "expected other.example/app" in one["steps"][-1]["found"]


async def stamp_as_cosign_2(place: Place) -> None:
    """The attestation at the tag gets a timestamp over its whole envelope."""
    image = await place.open()
    tag = home_of(image.ref).tag("att")
    document = json.loads((await place.registry.manifest(tag))[1])
    (layer,) = document["layers"]
    text = place.registry.blobs[APP.name, layer["digest"]]
    layer["annotations"].pop(OWN_TIMESTAMP)
    layer["annotations"][TIMESTAMP] = json.dumps(cosign_timestamp_json(place.sigstore.timestamp(text)))
    await place.registry.put_manifest(tag, IMAGE_MANIFEST, json.dumps(document).encode())


def test_a_timestamp_over_an_envelope_is_explained_as_that(place: Place, capsys: pytest.CaptureFixture[str]):
    asyncio.run(stamp_as_cosign_2(place))
    (one,) = explained(capsys, "verify-attestation", str(APP), "--format", "tag")
    (stamp,) = [step for step in one["steps"] if step["name"] == "timestamp"]
    assert "-data envelope.json" in stamp["lines"][0]
    repeats(one)


def test_the_text_of_an_explanation_leaves_standard_output_to_the_claims(
    place: Place, capsys: pytest.CaptureFixture[str]
):
    code, out, err = run(capsys, "verify", str(APP), *WHO, *TRUST, "--explain", "--explain-dir", "shown")
    assert code == 0
    assert len(json.loads(out)) == 2
    assert "step by step" in err


async def test_a_saved_image_is_verified_without_anything_that_opens_a_socket(place: Place, tmp_path: Path):
    """A process that has neither aiohttp nor a socket."""
    directory, image = ImageDirectory(tmp_path / "saved"), await place.open()
    await copy_image(Copying(place.registry, directory, image.ref, tell=lambda _line: None), image)
    directory.mark(image.ref.digest)
    program = (
        "import sys, socket\n"
        "sys.modules['aiohttp'] = None\n"
        "class Refusing(socket.socket):\n"
        "    def connect(self, *_): raise SystemExit('a socket is opened')\n"
        "socket.socket = Refusing\n"
        "from stack.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "verify", "--local-image", "saved", *WHO, *TRUST],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 2
