# SPDX-License-Identifier: Apache-2.0
"""Names of images: what they mean, and what is none. (G04)"""

from __future__ import annotations

import pytest

from client.oci.digests import digest_of, verify_digest
from client.oci.reference import Reference, host_of, parse_reference, parse_registry, parse_repository, referrers_tag
from sigcore.errors import Malformed, Refused

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("alpine", "index.docker.io/library/alpine:latest"),
        ("alpine:3", "index.docker.io/library/alpine:3"),
        ("team/app", "index.docker.io/team/app:latest"),
        ("docker.io/alpine", "index.docker.io/library/alpine:latest"),
        ("index.docker.io/team/app", "index.docker.io/team/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("reg.example/app", "reg.example/app:latest"),
        ("REG.Example:443/app", "reg.example:443/app:latest"),
        ("127.0.0.1:5000/a/b/c:t", "127.0.0.1:5000/a/b/c:t"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[fd00::1]/app", "[fd00::1]/app:latest"),
        (f"reg.example/app@{DIGEST}", f"reg.example/app@{DIGEST}"),
        (f"reg.example/app:1@{DIGEST}", f"reg.example/app:1@{DIGEST}"),
        (f"reg.example/app@sha512:{HEX * 2}", f"reg.example/app@sha512:{HEX * 2}"),
        ("reg.example/a.b_c__d-e---f/g:_T.a-g", "reg.example/a.b_c__d-e---f/g:_T.a-g"),
    ],
)
def test_a_name_is_read_as_docker_and_cosign_read_it(text, whole):
    ref = parse_reference(text)
    assert str(ref) == whole
    assert parse_reference(whole) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        ":1",
        "@",
        "app:",
        "app@",
        f"@{DIGEST}",
        "reg.example/",
        "reg.example/app:",
        "reg.example:/app",
        "reg.example:0/app",
        "reg.example:65536/app",
        "reg.example:x/app",
        "-reg.example/app",
        "reg..example/app",
        "user@reg.example/app",
        "user:pw@reg.example/app",
        "https://reg.example/app",
        "reg.example/App",
        "Registry/app",
        "reg.example/app..x",
        "reg.example/../app",
        "reg.example/a//b",
        "reg.example/app/",
        "reg.example/app:.x",
        "reg.example/app:a/b@c",
        f"reg.example/app:{'a' * 129}",
        f"reg.example/{'a' * 255}",
        "reg.example/app@sha256:../../x",
        f"reg.example/app@sha256:{HEX.upper()}",
        f"reg.example/app@SHA256:{HEX}",
        f"reg.example/app@sha256:{HEX[:-1]}",
        f"reg.example/app@sha256:{HEX}0",
        f"reg.example/app@md5:{HEX[:32]}",
        f"reg.example/app@sha512:{HEX}",
        f"reg.example/app@{DIGEST}@{DIGEST}",
        f"reg.example/app@{DIGEST}\n",
        "reg.example/app?x",
        "reg.example/app#x",
        "reg.example/app%2fx",
        "reg.example/äpp",
        "[::1/app",
        "[::g]/app",
        "[127.0.0.1]/app",
        "reg example/app",
    ],
)
def test_g04_what_is_no_name_is_refused(text):
    with pytest.raises(Malformed):
        parse_reference(text)


@pytest.mark.parametrize("part", [{"registry": "a/b"}, {"repository": "../x"}, {"tag": "a/b"}, {"digest": "sha256:x"}])
def test_g04_no_reference_can_be_made_of_other_parts(part):
    with pytest.raises(Malformed):
        Reference(**{"registry": "reg.example", "repository": "app", "tag": "1", **part})


def test_other_manifests_of_the_same_repository():
    ref = parse_reference("reg.example/app:1")
    assert str(ref.at_digest(DIGEST)) == f"reg.example/app@{DIGEST}"
    assert str(ref.at_digest(DIGEST).at_tag("2")) == "reg.example/app:2"
    assert (ref.identifier, ref.at_digest(DIGEST).identifier) == ("1", DIGEST)


def test_a_repository_alone_names_no_manifest():
    repository = parse_repository("reg.example/app")
    assert str(repository) == "reg.example/app"
    with pytest.raises(Malformed, match="is a repository, expected an image in it"):
        _ = repository.identifier


def test_the_fallback_tag_is_cut_as_the_specification_shows():
    assert referrers_tag(DIGEST) == f"sha256-{HEX}"
    assert referrers_tag(f"sha512:{HEX * 2}") == f"sha512-{HEX}"


@pytest.mark.parametrize(
    ("registry", "host"),
    [("reg.example", "reg.example"), ("reg.example:5000", "reg.example"), ("[::1]:5000", "::1"), ("[::1]", "::1")],
)
def test_the_host_of_a_registry(registry, host):
    assert host_of(parse_registry(registry)) == host


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_g01_bytes_have_their_digest_or_are_refused(algorithm):
    digest = digest_of(b"content", algorithm)
    assert verify_digest(b"content", digest, what="it") == b"content"
    with pytest.raises(Refused, match=f"it has the digest {algorithm}:"):
        verify_digest(b"Content", digest, what="it")
