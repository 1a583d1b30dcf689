# SPDX-License-Identifier: Apache-2.0
"""Expressions that are compiled late: as the standard library's to their users, and all of them right."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import ca
import client
import oidc_dev
import sigcore
import stack
import tlog
import tsa
from sigcore import patterns
from sigcore.patterns import pattern

PACKAGES = (ca, client, oidc_dev, sigcore, stack, tlog, tsa)


def test_it_is_compiled_when_it_is_first_used_and_then_stays():
    late = pattern(r"a(b+)\Z", re.ASCII)
    assert "fullmatch" not in vars(late)
    found = late.fullmatch("abb")
    assert found is not None
    assert found[1] == "bb"
    assert late.fullmatch("ac") is None
    assert vars(late)["fullmatch"] is late.fullmatch
    assert (late.pattern, late.flags) == (r"a(b+)\Z", re.compile(r"a(b+)\Z", re.ASCII).flags)


def test_bytes_as_well():
    assert pattern(rb"\d+").findall(b"1 22") == [b"1", b"22"]


def test_what_is_wrong_is_said_at_the_first_use():
    late = pattern("(")
    with pytest.raises(re.error):
        late.match("")
    with pytest.raises(AttributeError):
        _ = pattern("a").nothing  # type: ignore[attr-defined]  # that is the test


def test_every_expression_of_ours_can_be_compiled():
    """Those of modules that use it: an import tells nothing any more."""
    users = 0
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            source = Path(package.__path__[0], *module.name.split(".")[1:]).with_suffix(".py")
            if not source.exists() or "import pattern\n" not in source.read_text():
                continue
            late = [one for one in vars(importlib.import_module(module.name)).values() if type(one) is patterns.pattern]
            assert late, module.name
            users += 1
            for one in late:
                assert re.compile(one.pattern, one.flags & ~re.UNICODE).pattern == one.pattern
    assert users >= 15
