# SPDX-License-Identifier: Apache-2.0
"""The pins agree with pyproject.toml, have hashes, and name no place to fetch from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture_rules import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
DIRECT = {
    "run": [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]],
    "test": [
        *PROJECT["project"]["dependencies"],
        *PROJECT["build-system"]["requires"],
        *EXTRAS["test"],
        *EXTRAS["interop"],
        *EXTRAS["postgres"],
        *EXTRAS["pkcs11"],
    ],
    "postgres": EXTRAS["postgres"],
    "pkcs11": EXTRAS["pkcs11"],
    "binary": (ROOT / "requirements" / "binary.in").read_text("utf-8").splitlines()[-1:],
}
DRIVERS = ("postgres", "pkcs11")
"""Extras that whoever runs a stack may need: in the image, the wheelhouse and the single executable too."""


def lines(name: str) -> list[str]:
    return (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").replace("\\\n", "").splitlines()


def pins(requirements: list[str]) -> dict[str, str]:
    matches = (re.match(r"([\w.-]+)==([\w.!+]+)", requirement) for requirement in requirements)
    return {match[1].lower(): match[2] for match in matches if match}


@pytest.mark.parametrize("name", DIRECT)
def test_direct_dependencies_are_pinned_as_pyproject_says(name):
    wanted = pins(DIRECT[name])
    assert len(wanted) == len(DIRECT[name]), "pyproject.toml pins every direct dependency with =="
    assert wanted.items() <= pins(lines(name)).items(), "run `make requirements`"


@pytest.mark.parametrize("name", DIRECT)
def test_every_pin_has_a_hash_and_no_address(name):
    for line in lines(name):
        assert re.fullmatch(r"[\w.-]+==[\w.!+]+ *(;[^#@]*?)?( +--hash=sha256:[0-9a-f]{64})+", line), line


def test_a_test_installation_contains_the_runtime_pins():
    assert pins(lines("run")).items() <= pins(lines("test")).items()


@pytest.mark.parametrize("extra", DRIVERS)
def test_what_an_extra_needs_is_beside_the_runtime_pins_and_the_same_everywhere(extra):
    source = (ROOT / "requirements" / f"{extra}.in").read_text("utf-8").splitlines()
    assert source[-len(EXTRAS[extra]) :] == EXTRAS[extra]
    run, more, test = (pins(lines(name)) for name in ("run", extra, "test"))
    assert more.items() <= test.items()
    assert all(run.get(name, version) == version for name, version in more.items())


def test_what_makes_the_binary_agrees_with_what_is_in_it():
    run, binary = pins(lines("run")), pins(lines("binary"))
    assert all(run.get(name, version) == version for name, version in binary.items())


def test_the_wheel_and_the_image_hold_every_package():
    assert tuple(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES
    image = (ROOT / "Dockerfile").read_text("utf-8")
    assert [package for package in PACKAGES if f"COPY {package} /build/{package}\n" not in image] == []


def test_the_image_holds_the_drivers():
    image = (ROOT / "Dockerfile").read_text("utf-8")
    files = " ".join(f"-r {name}.txt" for name in ("run", *DRIVERS))
    assert f"pip install --no-cache-dir --no-deps --require-hashes {files}\n" in image
    assert f"COPY {' '.join(f'requirements/{name}.txt' for name in ('run', *DRIVERS))} /build/requirements/\n" in image


def test_the_build_backend_is_the_same_everywhere():
    build = (ROOT / "requirements" / "build.in").read_text("utf-8").splitlines()
    assert set(PROJECT["build-system"]["requires"]) <= set(build)
