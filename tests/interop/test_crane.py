# SPDX-License-Identifier: Apache-2.0
"""What our registry client stores crane takes as valid, and what crane stores we read: with passwords, over TLS, in two registries."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from base64 import b64encode
from pathlib import Path

import pytest

from client.oci.digests import digest_of
from client.oci.http import HttpRegistry
from client.oci.manifest import parse_manifest
from client.oci.options import RegistryOptions
from tests.interop.clients import CRANE, Missing
from tests.registries import (
    PASSWORD,
    USER,
    RunningRegistry,
    certified,
    docker_registry,
    go_registry,
    htpasswd,
    missing,
)
from tests.registry_images import image_parts

pytestmark = pytest.mark.interop


class Crane:
    """``crane`` with a home of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        try:
            self.program = CRANE.installed()
        except Missing as reason:
            missing(str(reason))
        self.environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", **environment}

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.program), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["docker-registry", "go-containerregistry"])
def place(request, tmp_path):
    """A registry, the environment that crane needs for it, and our options."""
    if request.param == "go-containerregistry":
        with go_registry(tmp_path) as running:
            yield running, Crane(tmp_path), RegistryOptions()
        return
    tls = certified(tmp_path)
    with docker_registry(tmp_path, auth=htpasswd(tmp_path), tls=tls) as running:
        (tmp_path / ".docker").mkdir()
        entry = {"auth": b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
        (tmp_path / ".docker/config.json").write_text(json.dumps({"auths": {running.address: entry}}))
        crane = Crane(tmp_path, SSL_CERT_FILE=str(tls.published))
        yield running, crane, RegistryOptions(ca_file=str(tls.published))


def tar_of(text: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return content.getvalue()


def open_registry(crane: Crane, options: RegistryOptions) -> HttpRegistry:
    return HttpRegistry(options, environment=crane.environment)


async def test_crane_takes_what_we_store(place: tuple[RunningRegistry, Crane, RegistryOptions]):
    running, crane, options = place
    ref = running.image("team/ours:1")
    unpacked = tar_of(b"ours")
    manifest, config, layer = image_parts(gzip.compress(unpacked), unpacked=unpacked)
    async with open_registry(crane, options) as registry:
        for blob in (config, layer):
            await registry.put_blob(ref, blob)
        stored = await registry.put_manifest(ref, parse_manifest(manifest).media_type, manifest)
        assert crane.run("digest", str(ref)).strip() == stored.digest
        assert crane.run("manifest", str(ref)).encode() == manifest
        assert crane.run("ls", ref.name).split() == ["1"]
        assert "PASS" in crane.run("validate", "--remote", str(ref))


async def test_we_read_what_crane_stores(place: tuple[RunningRegistry, Crane, RegistryOptions], tmp_path: Path):
    running, crane, options = place
    ref = running.image("team/theirs:1")
    (tmp_path / "layer.tar").write_bytes(tar_of(b"theirs"))
    crane.run("append", "--new_layer", str(tmp_path / "layer.tar"), "--new_tag", str(ref), "--oci-empty-base")
    crane.run("tag", str(ref), "2")
    async with open_registry(crane, options) as registry:
        descriptor, data = await registry.manifest(ref)
        assert descriptor.digest == crane.run("digest", str(ref)).strip()
        manifest = parse_manifest(data, descriptor.media_type)
        config = json.loads(await registry.blob(ref, manifest.config))
        assert config["rootfs"]["diff_ids"] == [digest_of(tar_of(b"theirs"))]
        await registry.save_blob(ref, manifest.layers[0], tmp_path / "saved")
        assert (tmp_path / "saved").stat().st_size == manifest.layers[0].size
        assert sorted(await registry.tags(ref)) == ["1", "2"]
