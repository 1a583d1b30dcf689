# SPDX-License-Identifier: Apache-2.0
"""The lines of `sigbox env` are true: typed one after the other, they trust, sign and verify, and refuse a changed file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client_lines import Shell, follow
from tests.interop.clients import GITSIGN
from tests.interop.conftest import needed
from tests.stack_process import RunningStack, running_stack
from tests.test_readme import block_after

pytestmark = [pytest.mark.interop, pytest.mark.slow]


@pytest.fixture(scope="module", params=[(), ("--tls", "auto")], ids=["http", "https"])
def stack(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("stack"), "--ephemeral", *request.param) as running:
        yield running


def test_the_lines_for_our_own_client(stack, tmp_path):
    assert len(follow(stack, "sigbox", Shell(tmp_path))) == 5


def test_the_lines_for_sigstore_python(stack, tmp_path):
    shell = Shell(tmp_path, Path(sys.executable).parent, NO_COLOR="1")
    lines = follow(stack, "sigstore-python", shell)
    assert any("trust-instance" in line for line in lines)
    assert any("--rekor-version 1" in line for line in lines)


def test_the_lines_for_cosign(stack, tmp_path, cosign_v3):
    lines = follow(stack, "cosign", Shell(tmp_path, cosign_v3.client.installed().parent))
    assert any(f"initialize --mirror {stack.tuf_mirror}" in line for line in lines)
    assert any("signing_config_v1.json" in line for line in lines)


def test_the_lines_for_cosign_2(stack, tmp_path, cosign_v2):
    lines = follow(stack, "cosign", Shell(tmp_path, cosign_v2.client.installed().parent), version="2")
    assert any("--fulcio-url" in line for line in lines)


def test_the_lines_for_sigstore_js(stack, tmp_path, sigstore_js):
    assert len(follow(stack, "sigstore-js", Shell(tmp_path, sigstore_js.node.parent))) == 2


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that stays, as the README starts it."""
    folder = tmp_path_factory.mktemp("plain")
    with running_stack(folder, "--data", folder / "data") as running:
        yield running


@pytest.mark.parametrize("client", ["sigbox", "cosign", "sigstore-python", "sigstore-js"])
def test_the_lines_of_the_readme(plain, tmp_path, client: str, request: pytest.FixtureRequest):
    """As a newcomer types them, in one shell; only the address and the data directory are those of the test."""
    tools = [Path(sys.executable).parent]
    if client == "cosign":
        tools = [request.getfixturevalue("cosign_v3").client.installed().parent]
    if client == "sigstore-js":
        tools = [request.getfixturevalue("sigstore_js").node.parent]
    shell = Shell(tmp_path, *tools, NO_COLOR="1", SIGBOX_DATA=str(plain.data))
    blocks = [block_after("In another terminal"), block_after(f"\n**{client}**")]
    lines = [line for block in blocks for line in block if "export PATH" not in line]
    script = "\n".join(lines).replace("http://localhost:7780", plain.url).replace("sigbox-data", str(plain.data))
    printed = shell.succeed(script)
    assert VERIFIED[client] in printed


VERIFIED = {
    "sigbox": "Verified OK release.txt: alice@example.com",
    "cosign": "Verified OK",
    "sigstore-python": "OK: release.txt",
    "sigstore-js": "Verification succeeded",
}


def test_the_lines_of_the_readme_for_gitsign(plain, tmp_path):
    """From the folder of the stack on, which is not the repository."""
    with needed():
        tools = GITSIGN.installed().parent
    repository = tmp_path / "repository"
    shell = Shell(tmp_path, tools)
    shell.succeed(
        "git init --quiet repository && cd repository && git config user.email a@example.com && git config user.name A"
    )
    (repository / "file").write_text("x")
    shell.succeed("cd repository && git add file")
    script = "\n".join([*block_after("In another terminal")[1:], *block_after("\n**gitsign**")])
    script = script.replace("sigbox token", f"sigbox token --data {plain.data}").replace(
        "http://localhost:7780", plain.url
    )
    script = script.replace("$PWD/sigbox-data", str(plain.data)).replace("cd REPOSITORY", f"cd {repository}")
    assert "Validated Certificate claims: true" in shell.succeed(script)
