# SPDX-License-Identifier: Apache-2.0
"""Two hundred signatures on one image, in a real registry: the right one is found, and soon."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.oci.attached import Layout, home_of
from client.oci.http import HttpRegistry
from client.oci.legacy import signature_layer
from client.oci.reference import Reference
from client.oci.signing import sign_image, store
from client.oci.simplesigning import Payload, encode_payload
from client.oci.walking import Node, open_image
from client.oci.writing import add_layers
from sigcore import general_name, x509
from sigcore.trustroot import encode_trusted_root
from tests.platform_images import push_image
from tests.registries import RunningRegistry, docker_registry
from tests.stack_process import sigbox_process
from tests.unit.client.imaging import Place
from tests.unit.client.minisig import ISSUER, NOW, MiniSigstore

MANY = 200
RIGHT = "the-right-one@example.com"
LIMIT_S = 2.0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def sigstore() -> MiniSigstore:
    return MiniSigstore()


async def sign_often(registry: RunningRegistry, ref: Reference, sigstore: MiniSigstore, layout: Layout) -> Node:
    """As many signers as signatures; the right one is somewhere in the middle."""
    async with HttpRegistry(environment={}) as client:
        await push_image(client, ref)
        image = await open_image(client, ref)
        place = Place(client, sigstore)
        signers = [f"signer-{number}@example.com" for number in range(MANY - 1)]
        signers.insert(MANY // 2, RIGHT)
        if layout is Layout.TAG:  # one write: the tag's manifest would be written two hundred times
            payload = encode_payload(Payload(ref.name, image.ref.digest))
            bundles = [sigstore.sign_v1(payload) if who != RIGHT else None for who in signers]
            layers = [signature_layer(bundle, payload, ()) for bundle in bundles if bundle is not None]
            await add_layers(client, home_of(image.ref), "sig", layers[: MANY // 2])
            made = await sign_image(place.signing(email=RIGHT), image, layouts=(layout,), now=NOW)
            await store(client, home_of(image.ref), image.descriptor, made, NOW)
            await add_layers(client, home_of(image.ref), "sig", layers[MANY // 2 :])
            return image
        for who in signers:
            made = await sign_image(place.signing(email=who), image, layouts=(layout,), now=NOW)
            await store(client, home_of(image.ref), image.descriptor, made, NOW)
        return image


@pytest.mark.parametrize("layout", list(Layout), ids=lambda one: one.value)
async def test_the_right_one_of_two_hundred_is_found_within_two_seconds(
    registry: RunningRegistry, sigstore: MiniSigstore, layout: Layout, tmp_path: Path
):
    """The bound is on the command's own processor time: what else a machine does at that moment is not ours.

    The registry's work is not in it; the wall time is printed.
    """
    image = await sign_often(registry, registry.image(f"many-{layout.value}:1"), sigstore, layout)
    (tmp_path / "root.json").write_bytes(encode_trusted_root(sigstore.root))
    who = ("--certificate-identity", RIGHT, "--certificate-oidc-issuer", ISSUER)
    took = []
    for _ in range(3):
        began, spent = time.monotonic(), processor_time()
        done = sigbox_process("verify", str(image.ref), *who, "--trusted-root", "root.json", cwd=tmp_path)
        took.append((processor_time() - spent, time.monotonic() - began))
        assert done.returncode == 0, done.stderr
        (claims,) = json.loads(done.stdout)
        assert claims["optional"]["Subject"] == RIGHT
    print(f"{MANY} signatures, {layout.value}: {', '.join(f'{cpu:.2f} s of {wall:.2f} s' for cpu, wall in took)}")
    assert min(took)[0] < LIMIT_S, took


def processor_time() -> float:
    """Of all child processes that have ended, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_certificates_are_of_different_signers(sigstore: MiniSigstore):
    """What the test above rests on: the signers that it makes at a tag have one name, and it is another one."""
    certificate = sigstore.sign_v1().certificate
    assert certificate is not None
    assert general_name.parse_san(x509.parse_certificate(certificate)).value != RIGHT
