# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.faults.golden_data VERSION``: a data directory as this version writes it, into ``golden/VERSION.tar.xz``.

Made once, when a version is released, and never again: what later versions must open is what that one wrote. Its keys are of no use
to anybody. Beside ``data`` lie an artifact with its bundle, and what the log acknowledged.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.contract.test_login import run
from tests.faults.writers import Sent, parse_acknowledgement
from tests.stack_process import RunningStack, running_stack, sigbox

GOLDEN: Final = Path(__file__).with_name("golden")
EMAIL, PASSWORD = "alice@example.com", "the password of golden data"
ENTRIES: Final = 260
"""A complete tile, and some more."""


def sign(stack: RunningStack, artifact: Path, bundle: Path) -> None:
    """Sign as the account of the golden data."""
    options = ("--trust-config", stack.trust_config, "--identity-token", stack.token(EMAIL))
    done = sigbox("sign-blob", artifact, "--bundle", bundle, *options)
    assert done.returncode == 0, done.stderr


def make(folder: Path) -> None:
    """Everything that a golden archive holds, in ``folder``."""
    data = folder / "data"
    with running_stack(folder, "--data", data) as stack:
        added = run("user", "add", "--data", data, "--email", EMAIL, "--password-stdin", given=PASSWORD)
        assert added.returncode == 0, added.stderr
        client = sigbox("client", "add", "release", "--subject", "https://ci.example.com/release", "--data", data)
        assert client.returncode == 0, client.stderr
        with (folder / "acknowledged.jsonl").open("w") as told:
            for _ in range(ENTRIES):
                sent = Sent.make()
                with urllib.request.urlopen(f"{stack.url}/api/v2/log/entries", sent.request(), timeout=60) as answer:
                    told.write(json.dumps(asdict(parse_acknowledgement(sent, json.load(answer)))) + "\n")
        (folder / "artifact").write_text("golden\n")
        sign(stack, folder / "artifact", folder / "artifact.sigstore.json")
        (folder / "issuer").write_text(stack.oidc_issuer)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        with tarfile.open(GOLDEN / f"{sys.argv[1]}.tar.xz", "w:xz") as archive:
            for kept in ("data", "acknowledged.jsonl", "artifact", "artifact.sigstore.json", "issuer"):
                archive.add(Path(name) / kept, kept)


if __name__ == "__main__":
    main()
