# SPDX-License-Identifier: Apache-2.0
"""What is installed from a wheel is what stands in the checkout: templates, style sheets and type markers too."""

from __future__ import annotations

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from tests.architecture_rules import PACKAGES

ROOT = Path(__file__).resolve().parent.parent


def test_a_wheel_holds_every_file_of_the_packages():
    included = {Path(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    files = {path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    files = {path for path in files if "__pycache__" not in path.parts}
    assert {Path("oidc_dev/templates/login.html"), Path("oidc_dev/templates/style.css")} <= files
    assert files - included == set()


def test_its_entry_points_are_modules_that_it_holds():
    builder = WheelBuilder(str(ROOT))
    included = {file.distribution_path for file in builder.recurse_included_files()}
    tables = (builder.metadata.core.scripts, *builder.metadata.core.entry_points.values())
    modules = [point.partition(":")[0].replace(".", "/") for table in tables for point in table.values()]
    assert modules == ["stack/cli", "stack/kms/plugin", "stack/testing/plugin"]
    assert [module for module in modules if not {f"{module}.py", f"{module}/__init__.py"} & included] == []
