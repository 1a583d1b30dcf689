# SPDX-License-Identifier: Apache-2.0
"""Rotated logs as the official clients see them: they sign into the new trees, and verify what lies in the old ones.

They were told the first root, once, before the rotation; trusted root and signing config come to them over TUF.
"""

from __future__ import annotations

import base64
import time
from itertools import product
from pathlib import Path

import pytest

from sigcore import keys
from sigcore.trustroot import parse_trusted_root
from stack.config import Home
from stack.generations import load_generations
from tests.interop.clients import GITSIGN
from tests.interop.conftest import needed
from tests.interop.places import ALICE, Done, Kind, Place, Signed, Tool, make_signed, refuse, succeed
from tests.interop.repository import Repository
from tests.interop.tools import PYTHON, SIGBOX, Cosign, SigstoreJs
from tests.stack_process import running_stack, sigbox

pytestmark = [pytest.mark.interop, pytest.mark.slow]


def log_of(signed: Signed) -> bytes:
    (entry,) = signed.content()["verificationMaterial"]["tlogEntries"]
    return base64.b64decode(entry["logId"]["keyId"])


def indexes_of(signed: Signed) -> tuple[int, int]:
    """Of the entry, and of the place in its proof."""
    (entry,) = signed.content()["verificationMaterial"]["tlogEntries"]
    return int(entry["logIndex"]), int(entry["inclusionProof"]["logIndex"])


@pytest.fixture(scope="module")
def gitsign() -> Path:
    with needed():
        return GITSIGN.installed()


def test_every_client_signs_into_the_new_trees_and_verifies_both(
    cosign_v3: Cosign, cosign_v2: Cosign, sigstore_js: SigstoreJs, gitsign: Path, tmp_path: Path
):
    tools: tuple[Tool, ...] = (cosign_v3, cosign_v2, PYTHON, sigstore_js, SIGBOX)
    with running_stack(tmp_path, "--data", tmp_path / "data") as stack:
        places = {tool.name: Place(stack, tmp_path / str(number)) for number, tool in enumerate(tools)}
        git = Place(stack, tmp_path / "git")
        for place in (*places.values(), git):
            place.folder.mkdir()
        repository = Repository(git, gitsign)

        def sign_all(when: str) -> list[Signed]:
            kinds = (Kind.MESSAGE_V2, Kind.MESSAGE_V1)
            return [
                make_signed(tool, places[tool.name], kind, f"{when}-{kind.version}")
                for tool, kind in product(tools, kinds)
            ]

        def commit() -> str:
            repository.commit(SIGSTORE_ID_TOKEN=stack.token(ALICE))
            return repository.run("git", "rev-parse", "HEAD").stdout.strip()

        signed, commits = sign_all("before"), [commit()]
        for log in ("ct", "rekor-v1", "rekor-v2"):
            succeed(sigbox("trust", "rotate", log, "--now", "--data", stack.data))
        ends = [rows[-2].validity.end for rows in load_generations(Home(stack.data)).values()]
        frozen = max(end.timestamp() for end in ends if end is not None)
        while time.time() <= frozen + 1:
            time.sleep(0.2)
        signed += sign_all("after")
        commits.append(commit())
        succeed(repository.verify(ALICE, stack.oidc_issuer, commits[1]))
        refuse(repository.verify(ALICE, stack.oidc_issuer, commits[0]))
        # gitsign is told one key of each log: for what was signed before the ones before, as docs/operating.md says.
        folder = stack.data / "public" / "keys"
        repository.environment["SIGSTORE_REKOR_PUBLIC_KEY"] = str(folder / "rekor_1.pub")
        repository.environment["SIGSTORE_CT_LOG_PUBLIC_KEY_FILE"] = str(folder / "ctfe_1.pub")
        succeed(repository.verify(ALICE, stack.oidc_issuer, commits[0]))
        refuse(repository.verify("mallory@example.com", stack.oidc_issuer, commits[0]))
        for tool, one in product(tools, signed):
            succeed(verify(tool, places[tool.name], one, stack.oidc_issuer))
        refuse(tools[0].verify(signed[0], "mallory@example.com", stack.oidc_issuer))
        logs = parse_trusted_root(stack.trusted_root.read_bytes()).logs
        for kind in (Kind.MESSAGE_V1, Kind.MESSAGE_V2):
            new, old = (log.log_id for log in logs if (log.log_id == keys.key_id(log.key)) == (kind.version == 1))
            for when, log_id in (("before", old), ("after", new)):
                assert {log_of(one) for one in signed if one.kind is kind and when in one.artifact.name} == {log_id}
        in_v1 = [one for one in signed if one.kind is Kind.MESSAGE_V1]
        assert [indexes_of(one) for one in in_v1] == [
            *((index, index) for index in range(1, len(tools) + 1)),
            *((len(tools) + 2 + index, index) for index in range(1, len(tools) + 1)),
        ], "over both trees, and in its own"


def verify(tool: Tool, place: Place, signed: Signed, issuer: str) -> Done:
    """By ``tool`` with what it was told in ``place``, whoever has signed."""
    return tool.verify(Signed(place, signed.artifact, signed.bundle, signed.kind), ALICE, issuer)
