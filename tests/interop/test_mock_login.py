# SPDX-License-Identifier: Apache-2.0
"""Official clients that log in by themselves at a stack for tests: what they open in a browser is fetched, and no page answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.test_clients import COSIGNS, check, signing
from tests.browser.waiting import waiting
from tests.interop.places import MALLORY, Kind, Place, Signed, refuse, succeed
from tests.interop.tools import PYTHON, Cosign
from tests.stack_process import RunningStack, running_stack

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CAROL = "carol@example.com"
FETCH = f"""#!{sys.executable}
import os, sys, urllib.request
if sys.argv[0].endswith("xdg-open") and os.fork():
    os._exit(0)
urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(sys.argv[1], timeout=60).read()
"""
"""As ``curl -sL``, which need not be on this machine. As ``xdg-open`` it returns at once, as that one does: cosign waits for it."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory) -> Iterator[RunningStack]:
    """One at which every login is Carol's."""
    with running_stack(tmp_path_factory.mktemp("mock"), "--ephemeral", "--control") as running:
        body = json.dumps({"email": CAROL}).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        asked = urllib.request.Request(f"{running.url}/_ctl/login", body, method="PUT")
        with opener.open(asked, timeout=30) as answer:
            assert answer.status == 200
        yield running


@pytest.fixture
def fetch(tmp_path: Path) -> Path:
    """A program that stands in for a browser, as clients find it: by its path, or as ``xdg-open`` in its folder."""
    program = tmp_path / "browser" / "fetch"
    program.parent.mkdir()
    program.write_text(FETCH)
    program.chmod(0o755)
    (program.parent / "xdg-open").symlink_to(program)
    return program


def test_sigstore_python_signs_when_its_url_is_fetched(place: Place, fetch: Path):
    signed = Signed(place, place.artifact(), place.folder / "bundle.json", Kind.MESSAGE_V2)
    what = ("--trust-config", place.stack.trust_config, "sign", "--bundle", signed.bundle, signed.artifact)
    succeed(PYTHON.run(place, *what, BROWSER=f"{fetch} %s"))
    succeed(PYTHON.verify(signed, CAROL, place.stack.oidc_issuer))
    refuse(PYTHON.verify(signed, MALLORY, place.stack.oidc_issuer))


@COSIGNS
def test_cosign_signs_by_the_code_flow_when_its_url_is_fetched(place: Place, fetch: Path, cosign: Cosign):
    signed, command = signing(cosign, place, "normal")
    with waiting(place, *command, browser=None, PATH=f"{fetch.parent}:{os.environ['PATH']}") as client:
        client.finish()
    check(cosign, signed, CAROL)


@COSIGNS
def test_cosign_signs_by_the_device_flow_when_its_url_is_fetched(place: Place, fetch: Path, cosign: Cosign):
    signed, command = signing(cosign, place, "device")
    with waiting(place, *command, browser=None) as client:
        url = client.said(r"in your browser at: (http://\S+user_code=\S+)\s")
        subprocess.run([fetch, url], check=True, timeout=60)
        assert "Token received!" in client.finish()
    check(cosign, signed, CAROL)
