# SPDX-License-Identifier: Apache-2.0
"""The commands of compose.yaml, exactly, as processes in network namespaces: cosign, sigstore-python and sigbox sign through them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.tools import Cosign
from tests.missing import missing
from tests.network_stack import obstacle
from tests.split_stack import ROLES
from tests.stack_process import ROOT

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_the_services_of_compose_yaml_in_networks_of_their_own_sign_for_official_clients(
    cosign_v3: Cosign, tmp_path: Path
):
    if reason := obstacle():
        missing(reason)
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, "-m", "tests.network_stack", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    assert done.stdout.count("verified by 3") == 3
    assert f"signed by {cosign_v3.name}, verified by 3" in done.stdout
    assert f"{len(ROLES)} services shut in" in done.stdout
