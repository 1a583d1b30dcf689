# SPDX-License-Identifier: Apache-2.0
"""A machine without a network takes a kit, and verifies with the lines that `sigbox trust import` prints, as they stand there."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

import pytest

from tests.interop.places import ALICE, MALLORY, Kind, Place, make_signed, refuse, succeed
from tests.interop.tools import PYTHON, SIGBOX, Cosign
from tests.stack_process import SIGBOX as COMMAND
from tests.stack_process import environment, running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def test_every_line_that_is_printed_verifies_where_no_stack_is(cosign_v3: Cosign, tmp_path: Path):
    kit = tmp_path / "kit.tar"
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        place = Place(stack, tmp_path)
        kinds = ((cosign_v3, Kind.MESSAGE_V2), (PYTHON, Kind.MESSAGE_V1), (SIGBOX, Kind.MESSAGE_V2))
        signed = [make_signed(tool, place, kind, f"file-{number}") for number, (tool, kind) in enumerate(kinds)]
        succeed(sigbox("trust", "export", kit, "--data", stack.data))
        fingerprint = hashlib.sha256(stack.tuf_root.read_bytes()).hexdigest()
        issuer = stack.oidc_issuer
    folder = tmp_path / "machine"
    folder.mkdir()
    machine = Place(stack, folder, (("PYTHONPATH", environment()["PYTHONPATH"]),))
    programs = {
        "sigbox": COMMAND,
        "cosign": (str(cosign_v3.client.installed()),),
        "sigstore": (sys.executable, "-P", "-m", "sigstore"),
    }
    done = machine.run(*programs["sigbox"], "trust", "import", kit, "--fingerprint", fingerprint)
    succeed(done)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert [line.split()[0] for line in lines] == [*programs, "tar", "sigbox"], "the last two make a mirror of the kit"
    for one in signed:
        for line in lines[: len(programs)]:
            for who, judge in ((ALICE, succeed), (MALLORY, refuse)):
                filled = line.replace("IDENTITY", who).replace("ISSUER", issuer).replace("FILE", str(one.artifact))
                program, *rest = shlex.split(filled)
                judge(machine.run(*programs[program], *rest))
